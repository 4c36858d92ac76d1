"""Ends a process whose parent is gone: the pipe on its standard input is closed then."""

from __future__ import annotations

import os
import signal
from threading import Thread
from typing import BinaryIO


def end_with(pipe: BinaryIO) -> None:
    """End this process as soon as the pipe is closed at its other end."""

    def wait() -> None:
        while pipe.read(4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=wait, daemon=True).start()
