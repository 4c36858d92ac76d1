"""A web server that says when it listens."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import uvicorn


class Announced(uvicorn.Server):
    """Serves as uvicorn does, and calls ``ready`` once it listens."""

    ready: Callable[[], Any]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            self.ready()
