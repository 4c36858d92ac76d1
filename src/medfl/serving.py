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


class Server(uvicorn.Server):
    """Serves an application.

    Parameters
    ----------
    config
        What and how.
    ready
        Is called once, when it listens.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], Any]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin, and say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()


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
        return socket.create_server((bind, port), family=family, backlog=2048)
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
