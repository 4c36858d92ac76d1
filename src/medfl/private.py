"""Files for their owner only: written whole or not at all, and refused where others can read them."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from logging import FileHandler
from pathlib import Path

from filelock import FileLock, Timeout

from medfl.errors import BusyError, EnrolmentError, StoreError


def write_private(path: Path, body: bytes) -> None:
    """Write a file of mode 600, durably: whoever is interrupted leaves the old one.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    try:
        make_private(path.parent)
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".draft")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(path)
        except OSError:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(
            "a file cannot be written",
            where=str(path),
            received=error.strerror or type(error).__name__,
            remedy="free some space, or choose a folder that you may write to with --home",
        ) from error


def make_private(folder: Path) -> None:
    """Make a folder of mode 700, unless it is there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def keep_private() -> None:
    """Let whatever this process and those that it starts write from now on be for its owner only."""
    os.umask(0o077)


def require_private(path: Path) -> None:
    """Refuse a file or a folder that others can read.

    Raises
    ------
    EnrolmentError
        If they can.
    """
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
    if mode & 0o077:
        right = "700" if path.is_dir() else "600"
        raise EnrolmentError(
            "a secret can be read by others",
            where=str(path),
            received=f"mode {mode:o}",
            remedy=f"chmod {right} {path}, and replace what is in it if somebody may have copied it",
        )


@contextmanager
def held(path: Path, *, what: str) -> Iterator[None]:
    """Hold a lock on a file until the end of the block, or of the process, whichever comes first.

    Parameters
    ----------
    path
        The file.
    what
        Who runs already if somebody else holds it, as in "this hub".

    Raises
    ------
    BusyError
        If somebody else does.
    """
    lock = FileLock(path, timeout=0, mode=0o600, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise BusyError(
            f"{what} runs already", where=str(path.parent), remedy="leave it running, or end it first"
        ) from None
    try:
        yield
    finally:
        lock.release()


class PrivateLog(FileHandler):
    """A log for its owner only."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "a", encoding=self.encoding)
