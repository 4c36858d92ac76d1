"""The hub as a process: one HTTPS port, until it is told to end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

from medfl.channel import LARGEST
from medfl.errors import MissingExtraError
from medfl.hub.bell import hang
from medfl.hub.noting import Printable, Sparing
from medfl.hub.place import HubPlace
from medfl.private import PrivateLog

try:
    import uvicorn
    import websockets  # noqa: F401 - the server needs it to wake sites, and would say so only at its start
    from starlette.types import ASGIApp

    from medfl.announced import Announced, ending_well, listening
    from medfl.hub.behind import Behind
    from medfl.hub.door import Doors, Parting, Patient, strict
    from medfl.hub.fleet import Fleet
    from medfl.hub.web import application
except ImportError as missing:
    raise MissingExtraError(
        "the hub's service is not installed",
        received=str(missing),
        remedy="pip install 'medfl[hub]'",
    ) from missing

ROOM = 500
"""Connections that are served at once: two for each site, one of them to wake it."""
KEPT = 20
"""Seconds for which an idle connection is kept: longer than sites keep theirs, so that none is cut while it is used."""
SIGN = 20.0
"""Seconds between two signs of life to a site that is connected, and for its answer to one."""
ALL = "0.0.0.0"  # noqa: S104 - hospitals come from outside; what is served is what this package says
"""Where a hub listens unless told otherwise."""


class Service:
    """Serves a hub.

    Parameters
    ----------
    hub
        Its folder.
    bind
        The address of this machine to listen on.
    port
        The port there; the one in the invitations where None.
    fleet
        Passes the calls of enrolled sites on to a SuperLink; without one the hub only enrols.
    pages
        What people see in a browser at the same port.
    """

    def __init__(
        self,
        hub: HubPlace,
        *,
        bind: str = ALL,
        port: int | None = None,
        fleet: Fleet | None = None,
        pages: ASGIApp | None = None,
    ) -> None:
        hub.renew()
        hang(hub.folder)
        self._hub, self._socket = hub, listening(bind, hub.about.port if port is None else port, who="the hub")
        config = uvicorn.Config(
            Behind(application(hub, fleet=fleet, pages=pages), hub.behind),
            http=Patient,
            ws=Parting,
            ws_max_size=LARGEST,
            ws_per_message_deflate=False,
            ws_ping_interval=SIGN,
            ws_ping_timeout=SIGN,
            loop="asyncio",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=ROOM,
            timeout_keep_alive=KEPT,
            timeout_graceful_shutdown=5,
            ssl_certfile=hub.certificate,
            ssl_keyfile=hub.key,
        )
        self._server = Announced(_behind_a_door(config, hub.behind))

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def run(self, ready: Callable[[], Any]) -> None:
        """Serve until told to end, by :meth:`end` or by the signals TERM and INT.

        Parameters
        ----------
        ready
            Is called once, when it listens.
        """
        self._server.ready = ready
        with self._socket, _logged(self._hub), ending_well():
            self._server.run(sockets=[self._socket])

    def end(self) -> None:
        """End it, from another thread."""
        self._server.should_exit = True


def _behind_a_door(config: uvicorn.Config, proxy: str) -> uvicorn.Config:
    """Let no connection reach HTTP before it is encrypted as the hub wants it; of a proxy come those of all others."""
    config.load()
    if config.ssl is not None:
        doors = Doors(strict(config.ssl), proxy)
        config.ssl = None  # Else the server would encrypt once more.

        def door(**words: Any) -> asyncio.Protocol:
            return doors.door(lambda: Patient(**words))

        config.http_protocol_class = cast(type[asyncio.Protocol], door)
    return config


@contextmanager
def _logged(hub: HubPlace) -> Iterator[None]:
    """Write what the hub does into its log, with what its server says of itself."""
    handler = PrivateLog(hub.log, delay=True, encoding="utf-8")
    handler.setFormatter(Printable("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(Sparing())
    with ExitStack() as stack:
        stack.callback(handler.close)
        for name, level in ((__package__, logging.INFO), ("uvicorn.error", logging.WARNING)):
            stack.enter_context(_into(handler, logging.getLogger(name), level))
        yield


@contextmanager
def _into(handler: logging.Handler, log: logging.Logger, least: int) -> Iterator[None]:
    level, propagate = log.level, log.propagate
    log.setLevel(least)
    log.propagate = False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate
