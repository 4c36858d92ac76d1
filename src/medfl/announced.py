"""A web server that is a part of a program: it says when it listens, and ends with code 0 when it is told to."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from medfl.errors import EngineError


class Announced(uvicorn.Server):
    """Serves as uvicorn does, and calls ``ready`` once it listens."""

    ready: Callable[[], Any]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            self.ready()


def listening(bind: str, port: int, *, who: str) -> socket.socket:
    """Return a socket that listens.

    Parameters
    ----------
    bind, port
        The address of this machine, and the port there; a free one where 0.
    who
        What is going to listen, for the error's sentence.

    Raises
    ------
    EngineError
        If the machine does not let it.
    """
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    try:
        found = socket.create_server((bind, port), family=family, backlog=2048)
        # Head and body of an answer are written apart: without this, each waits 40 ms for the other end's sign.
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found
    except (OSError, OverflowError) as error:
        raise EngineError(
            f"{who} cannot listen here",
            where=f"[{bind}]:{port}" if ":" in bind else f"{bind}:{port}",
            received=getattr(error, "strerror", None) or str(error),
            remedy="end what listens there (ss -ltnp shows it), or choose another port with --port",
        ) from error


@contextmanager
def ending_well() -> Iterator[None]:
    """End with code 0 on TERM: the server ends in order and then raises the signal once more."""

    def nothing(signum: int, frame: FrameType | None) -> None:
        pass

    try:
        before = signal.signal(signal.SIGTERM, nothing)
    except ValueError:  # Not the main thread, where no signals arrive.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
