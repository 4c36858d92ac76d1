"""Files for their owner only: written whole or not at all, and refused where others can read them."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from logging import FileHandler, LogRecord
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


LARGEST, OLDER = 10_000_000, 4
"""Bytes of a log from which on a new file is begun, and how many older ones are kept."""


class PrivateLog(FileHandler):
    """A log for its owner only, in files of bounded size: ``site.log``, then ``site.log.1``, which is older, and so on.

    Several processes may write to the same one.
    """

    def emit(self, record: LogRecord) -> None:
        """Write a record, into a new file if the old one is full."""
        if self.stream is not None and self._is_elsewhere():
            self.stream.close()
            self.stream = None  # It is opened with the next record.
        super().emit(record)
        if self.stream is not None and self.stream.tell() > LARGEST:
            turn(Path(self.baseFilename))

    def _is_elsewhere(self) -> bool:
        """Say whether the file was moved away since it was opened, by whichever process found it full."""
        try:
            there = Path(self.baseFilename).stat()
        except OSError:
            return True
        return self.stream is None or not os.path.samestat(there, os.fstat(self.stream.fileno()))

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "a", encoding=self.encoding)


def turn(log: Path, *, held: bool = False) -> None:
    """Move a log aside if it is full, and the older ones with it; the oldest goes. What cannot be moved stays.

    Parameters
    ----------
    log
        The newest file.
    held
        Whether a program holds it open, for appending, that would not notice: it is copied and emptied then.
    """
    with suppress(OSError), FileLock(f"{log}.lock", mode=0o600):
        # Another process may have been quicker.
        if log.stat().st_size > LARGEST:
            for number in range(OLDER, 0, -1):
                newer = log.with_name(f"{log.name}.{number - 1}") if number > 1 else log
                older = log.with_name(f"{log.name}.{number}")
                if newer == log and held:
                    shutil.copy(newer, older)
                    os.truncate(newer, 0)
                elif newer.exists():
                    newer.replace(older)
