"""Where a hospital keeps what its site needs: one folder, for its owner only."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from medfl.errors import RefusedError, StoreError


class Place:
    """The folder of a site.

    Parameters
    ----------
    folder
        Where it is; else what the environment's MEDFL_SITE_HOME says, else ``~/.medfl-site``.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or Path(os.environ.get("MEDFL_SITE_HOME") or "~/.medfl-site")).expanduser().absolute()

    @property
    def datasets(self) -> Path:
        """The file that says where the tables are."""
        return self.folder / "datasets.json"

    @property
    def policy(self) -> Path:
        """The site's policy."""
        return self.folder / "policy.toml"

    @property
    def log(self) -> Path:
        """The folder of the audit log."""
        return self.folder / "log"

    @property
    def studies(self) -> Path:
        """The folder of the studies that were asked for, and what was decided."""
        return self.folder / "studies"

    @property
    def pause(self) -> Path:
        """A file that is there while the site answers nobody."""
        return self.folder / "paused"

    @property
    def name(self) -> str:
        """The site's name at its hub, as enrolment has written it down; nothing before that."""
        try:
            name = json.loads((self.folder / "enrolment.json").read_text(encoding="utf-8"))["site"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return ""
        return name if isinstance(name, str) else ""

    def told(self, dataset: str) -> Path:
        """Return the folder where a policy remembers what was told of a data set."""
        return self.folder / "told" / dataset

    @property
    def outcomes(self) -> Path:
        """The folder where the site remembers of whose outcomes its catalogue told something, in any data set."""
        # No data set is called so.
        return self.told(".outcomes")

    @contextmanager
    def changing(self, folder: Path | None = None) -> Iterator[None]:
        """Make a folder, for its owner only, and keep other processes from changing what is in it.

        Parameters
        ----------
        folder
            One right inside; the site's own where None.

        Raises
        ------
        StoreError
            If it can be neither made nor written to.
        """
        inside = folder or self.folder
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            for one in (self.folder, inside):
                one.mkdir(mode=0o700, exist_ok=True)
            with FileLock(inside / ".lock", mode=0o600):
                yield
        except OSError as error:
            raise StoreError(
                "the site's folder cannot be used",
                where=str(inside),
                received=error.strerror or type(error).__name__,
                remedy="free some space, or name a folder of your own with --home or MEDFL_SITE_HOME",
            ) from error


def require_going_on(place: Place) -> None:
    """Refuse while the site is paused.

    Raises
    ------
    RefusedError
        If it is.
    """
    if place.pause.exists():
        raise RefusedError(
            "the site is paused by its own people",
            remedy="go on without it, or ask them to type: medfl site continue",
        )
