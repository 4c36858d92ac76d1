"""The executions that a hub has taken on and not finished: a file each, so that none is forgotten when it is killed."""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from medfl.enrolment import json_of
from medfl.errors import NotFoundError, PlanError, WireError
from medfl.private import make_private, write_private

LONGEST_WAIT = 366 * 86400.0
"""Seconds for which a study may be put off at most."""
_NAME = re.compile(r"(\d{20})-([0-9a-f]{1,64})")


@dataclass(frozen=True, slots=True)
class Entry:
    """One execution that is taken on.

    Parameters
    ----------
    execution, study
        Its id, and the study's name.
    by
        The account that launched it on the pages; empty where a command did.
    not_before
        When it may begin, in seconds since 1970; 0 for at once.
    since
        When it was taken on, in seconds since 1970.
    """

    execution: str
    study: str = ""
    by: str = ""
    not_before: float = 0.0
    since: float = 0.0


class Queue:
    """Executions, the one whose turn is next before the others: the one that came first, unless somebody moved it.

    Parameters
    ----------
    folder
        Where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, execution: str, study: str, *, by: str = "", not_before: float = 0.0) -> None:
        """Take an execution on; it goes on until it is taken off."""
        if execution not in self.waiting():
            make_private(self._folder)
            path = self._folder / f"{time.time_ns():020}-{execution}"
            write_private(path, _text(Entry(execution, study, by, not_before, time.time())))

    def waiting(self) -> list[str]:
        """Return what is not finished."""
        return [execution for execution, _ in self._files()]

    def entries(self) -> list[Entry]:
        """Return what is not finished, with all that is known of it."""
        return [_read(execution, path) for execution, path in self._files()]

    def move(self, execution: str, *, up: bool) -> None:
        """Let an execution change places with the one before it, or behind it; at the end of the line nothing happens.

        Raises
        ------
        NotFoundError
            If it is not here.
        """
        files = self._files()
        at = next((place for place, (name, _) in enumerate(files) if name == execution), None)
        if at is None:
            raise _not_here(execution)
        other = at + (-1 if up else 1)
        if 0 <= other < len(files):
            (mine, here), (whose, there) = files[at], files[other]
            # Whoever is killed between the two leaves both in the line, in one order or the other.
            _renamed(here, f"{there.name[:20]}-{mine}")
            _renamed(there, f"{here.name[:20]}-{whose}")

    def put_off(self, execution: str, not_before: float) -> None:
        """Let an execution begin no sooner than this, in seconds since 1970; 0 for at once.

        Raises
        ------
        NotFoundError
            If it is not here.
        PlanError
            If that is more than a year ahead.
        """
        require_soon(not_before)
        found = [path for name, path in self._files() if name == execution]
        if not found:
            raise _not_here(execution)
        before, moved = _read(execution, found[0]), found[0].stat().st_mtime_ns
        write_private(found[0], _text(replace(before, not_before=not_before)))
        # When it last finished a round is still so.
        os.utime(found[0], ns=(moved, moved))

    def went_on(self, execution: str) -> None:
        """Note that an execution has finished a round."""
        for name, path in self._files():
            if name == execution:
                # Needs no room on the disk; and makes no file anew that was moved or taken off meanwhile.
                with suppress(FileNotFoundError):
                    os.utime(path)

    def moved(self, execution: str) -> int:
        """Return when an execution was taken on or last finished a round, in nanoseconds; 0 where it is not here."""
        found = [path for name, path in self._files() if name == execution]
        with suppress(FileNotFoundError):
            return max(path.stat().st_mtime_ns for path in found) if found else 0
        return 0

    def done(self, execution: str) -> None:
        """Take an execution off."""
        # Again, since it may be moved meanwhile.
        while found := [path for name, path in self._files() if name == execution]:
            for path in found:
                path.unlink(missing_ok=True)

    def _files(self) -> list[tuple[str, Path]]:
        if not self._folder.is_dir():
            return []
        found = ((_NAME.fullmatch(path.name), path) for path in sorted(self._folder.iterdir()))
        return [(name[2], path) for name, path in found if name is not None]


def require_soon(not_before: float) -> None:
    """Refuse a time at which nobody remembers the study.

    Raises
    ------
    PlanError
        If it is more than a year ahead.
    """
    if not_before > time.time() + LONGEST_WAIT:
        raise PlanError(
            "this is more than a year ahead",
            where="not before",
            received=time.strftime("%Y-%m-%d", time.gmtime(min(not_before, 2e11))),
            remedy="choose a time within a year, or launch the study later",
        )


def _text(entry: Entry) -> bytes:
    return json.dumps({name: value for name, value in asdict(entry).items() if name != "execution"}).encode()


def _read(execution: str, path: Path) -> Entry:
    """Return what a file says; of one that says nothing, only that it is there."""
    with suppress(OSError, WireError, ValueError, TypeError):
        said = json_of(path.read_bytes())
        times = (float(said.get("not_before") or 0), float(said.get("since") or 0))
        return Entry(execution, str(said.get("study", "")), str(said.get("by", "")), *times)
    return Entry(execution)


def _renamed(path: Path, name: str) -> None:
    # It may be done, and taken off, meanwhile.
    with suppress(FileNotFoundError):
        path.rename(path.with_name(name))


def _not_here(execution: str) -> NotFoundError:
    return NotFoundError(
        "this study does not wait in the queue", received=execution[:80], remedy="see page /queue for what does"
    )
