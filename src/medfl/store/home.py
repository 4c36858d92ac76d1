"""Where results live: the journal, the artefacts, and who is working on what."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import quote

from filelock import FileLock, Timeout

from medfl.errors import BusyError
from medfl.store.artefacts import FileArtefacts
from medfl.store.trouble import no_access

if TYPE_CHECKING:
    from medfl.store.sql import SqlJournal

GRACE = 0.5
"""Seconds to wait for a lock: another process that only looks whether a run is busy holds it for an instant."""


class Home:
    """A folder with everything that was run.

    Parameters
    ----------
    folder
        Where it is; else what the environment's MEDFL_HOME says, else ``~/.medfl``. Made for its owner only.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or Path(os.environ.get("MEDFL_HOME") or "~/.medfl")).expanduser().absolute()
        self._made(self.folder)
        self.artefacts = FileArtefacts(self.folder / "artefacts")

    @cached_property
    def journal(self) -> SqlJournal:
        """The journal: behind the URL in the environment's MEDFL_JOURNAL, else ``journal.db`` in the folder."""
        from medfl.store.sql import SqlJournal  # SQLAlchemy takes 0.2 s to import, and few commands need it

        return SqlJournal.open(os.environ.get("MEDFL_JOURNAL") or self.folder / "journal.db")

    @contextmanager
    def lock(self, run: str) -> Iterator[None]:
        """Work on a run or an execution, and keep others from it until done or dead.

        Raises
        ------
        BusyError
            If another process works on it.
        """
        path = self._lock_file(run)
        self._made(path.parent)
        lock = FileLock(path, timeout=GRACE, mode=0o600, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise BusyError(
                f"another process is working on {run}",
                where=str(path),
                remedy=f"see how far it is: medfl runs; or end that process (fuser {path} names it) and try again",
            ) from None
        except OSError as error:
            raise no_access(error, path) from error
        try:
            yield
        finally:
            lock.release()

    def is_busy(self, run: str) -> bool:
        """Say whether some process is working on a run now."""
        path = self._lock_file(run)
        if not path.exists():
            return False
        lock = FileLock(path, timeout=0, mode=0o600, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            return True
        except OSError as error:
            raise no_access(error, path) from error
        lock.release()
        return False

    def ask_to_stop(self, execution: str, *, now: bool = False) -> None:
        """Ask whoever works on an execution to stop, and keep everybody from it until it is resumed.

        Parameters
        ----------
        execution
            What is to stop.
        now
            Whether the round that is going on is given up; else it is finished first.
        """
        path = self._stop_file(execution)
        self._made(path.parent)
        try:
            path.touch(mode=0o600)
            if now:
                path.with_suffix(".now").touch(mode=0o600)
        except OSError as error:
            raise no_access(error, path) from error

    def asked_to_stop(self, execution: str) -> Literal["", "after the round", "now"]:
        """Say whether an execution is to stop, and when."""
        path = self._stop_file(execution)
        if not path.exists():
            return ""
        return "now" if path.with_suffix(".now").exists() else "after the round"

    def let_go_on(self, execution: str) -> None:
        """Let an execution that was stopped go on, unless it is only about to end."""
        if self.is_busy(execution):
            return
        path = self._stop_file(execution)
        for one in (path.with_suffix(".now"), path, path.with_suffix(".note")):
            one.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the journal; it opens again if it is used again."""
        if "journal" in self.__dict__:
            self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stop_file(self, execution: str) -> Path:
        return self.folder / "stops" / f"{quote(execution, safe='')}.stop"

    def _lock_file(self, run: str) -> Path:
        # Quoted, because a run's name may come from a command line or an address: it must not leave the folder.
        return self.folder / "locks" / f"{quote(run, safe='')}.lock"

    def _made(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise no_access(error, folder) from error
