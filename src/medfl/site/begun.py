"""Which table each run began with, so that it goes on with the same one in whatever process of the site."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from medfl.errors import RefusedError, StoreError
from medfl.privacy.durable import write_durably

if TYPE_CHECKING:
    import pandas as pd

RUNS = 64
"""Runs of which it is known."""
Stamp: TypeAlias = str | tuple[int, ...]
"""What changes when a table does: moment and size of a file, a digest of what a database gave."""


class BegunWith:
    """What is known of the tables of runs that began here.

    Parameters
    ----------
    file
        Where it is kept; one that cannot be read is as good as none.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known = _read(file)

    def stamp(self, run: str, dataset: str, now: Stamp) -> Stamp:
        """Return what a run's table was stamped with when it began, which is now where the run is new.

        Parameters
        ----------
        run
            The run's id.
        dataset
            The digest of where and how the data set is read.
        now
            What it would be stamped with now.

        Raises
        ------
        StoreError
            If it cannot be written down.
        """
        before = self._known.pop((run, dataset), None)
        self._known = dict([*self._known.items(), ((run, dataset), before or now)][-RUNS:])
        if before is None:
            self._keep()
        return before or now

    def require_same(self, run: str, dataset: str, table: pd.DataFrame) -> pd.DataFrame:
        """Return what a database gave, if it gave the same when the run began.

        Raises
        ------
        RefusedError
            If it did not.
        """
        # Pandas takes long to import, and whoever only refuses has no need of it.
        from pandas.util import hash_pandas_object

        now = hashlib.sha256(json.dumps([list(map(str, table.columns)), len(table)]).encode())
        now.update(hash_pandas_object(table, index=False).to_numpy().tobytes())
        if self.stamp(run, f"{dataset}/rows", now.hexdigest()) != now.hexdigest():
            raise changed()
        return table

    def _keep(self) -> None:
        words = [[*key, stamp] for key, stamp in self._known.items()]
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(self._file, json.dumps(words))
        except OSError as error:
            raise StoreError(
                "the site cannot write down which table a run began with",
                where=str(self._file),
                received=error.strerror or type(error).__name__,
                remedy="free some space, or mend the permissions of the folder",
            ) from error


def changed() -> RefusedError:
    """Return the error of a run whose table is another one by now."""
    return RefusedError("the table has changed since this run began", remedy="start the run anew")


def _read(file: Path) -> dict[tuple[str, str], Stamp]:
    try:
        words = json.loads(file.read_text(encoding="utf-8"))
        return {(run, name): stamp if isinstance(stamp, str) else tuple(stamp) for run, name, stamp in words}
    except (OSError, ValueError, TypeError):
        return {}
