"""The executions that a hub has taken on and not finished: a file each, so that none is forgotten when it is killed."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from pathlib import Path

from medfl.private import make_private, write_private

_NAME = re.compile(r"(\d{20})-([0-9a-f]{1,64})")


class Queue:
    """Executions, the one that came first before the others.

    Parameters
    ----------
    folder
        Where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, execution: str, study: str) -> None:
        """Take an execution on; it goes on until it is taken off."""
        if execution not in self.waiting():
            make_private(self._folder)
            write_private(self._folder / f"{time.time_ns():020}-{execution}", json.dumps({"study": study}).encode())

    def waiting(self) -> list[str]:
        """Return what is not finished."""
        return [execution for execution, _ in self._files()]

    def went_on(self, execution: str) -> None:
        """Note that an execution has finished a round."""
        for name, path in self._files():
            if name == execution:
                # Needs no room on the disk.
                path.touch()

    def moved(self, execution: str) -> int:
        """Return when an execution was taken on or last finished a round, in nanoseconds; 0 where it is not here."""
        found = [path for name, path in self._files() if name == execution]
        with suppress(FileNotFoundError):
            return max(path.stat().st_mtime_ns for path in found) if found else 0
        return 0

    def done(self, execution: str) -> None:
        """Take an execution off."""
        for name, path in self._files():
            if name == execution:
                path.unlink(missing_ok=True)

    def _files(self) -> list[tuple[str, Path]]:
        if not self._folder.is_dir():
            return []
        found = ((_NAME.fullmatch(path.name), path) for path in sorted(self._folder.iterdir()))
        return [(name[2], path) for name, path in found if name is not None]
