"""How a run's process tells the hub's service that a site has work: a named pipe in the hub's folder.

A ring is a hint and nothing more: whoever misses one asks by itself a little later, so none has to be kept.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from medfl.errors import StoreError

NAME = "bell"
MOST = 2**16
"""Bytes that are read at once."""


def ring(folder: Path, site: str) -> None:
    """Tell the service of the hub in this folder, if it runs, that a request for a site lies at the SuperLink."""
    # Without a reader it cannot be opened, and a full pipe cannot be written: then nobody is told.
    with suppress(OSError):
        pipe = os.open(folder / NAME, os.O_WRONLY | os.O_NONBLOCK)
        try:
            # So short a line is written whole, however many processes write.
            os.write(pipe, f"{site}\n".encode())
        finally:
            os.close(pipe)


def hang(folder: Path) -> None:
    """Make the pipe, before the service begins.

    Raises
    ------
    StoreError
        If there can be none in the folder.
    """
    path = folder / NAME
    try:
        # One that was left behind may be held by somebody else, or be something else.
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
    except OSError as error:
        raise StoreError(
            "the hub's folder cannot hold a named pipe",
            where=str(path),
            received=error.strerror or type(error).__name__,
            remedy="keep the hub's folder on a local disk of Linux or macOS",
        ) from error


@contextmanager
def heard(folder: Path, told: Callable[[str], None]) -> Iterator[None]:
    """Call ``told`` with a site's name, in the running event loop, whenever the bell is rung for it."""
    # Opened for both, so that it does not end when the last writer has gone.
    pipe, loop = os.open(folder / NAME, os.O_RDWR | os.O_NONBLOCK), asyncio.get_running_loop()

    def read() -> None:
        with suppress(BlockingIOError):
            for site in os.read(pipe, MOST).split():
                told(site.decode(errors="replace"))

    loop.add_reader(pipe, read)
    try:
        yield
    finally:
        loop.remove_reader(pipe)
        os.close(pipe)
