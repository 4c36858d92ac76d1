"""Serves the page on 127.0.0.1, to nobody else, until it is ended."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from medfl.errors import EngineError, MissingExtraError
from medfl.loopback import Sessions
from medfl.site.enrolled import SiteHome

try:
    import uvicorn

    from medfl.announced import Announced
    from medfl.site_page.app import application
except ImportError as missing:
    raise MissingExtraError(
        "what serves the site's page is not installed", received=str(missing), remedy="pip install 'medfl[flower]'"
    ) from missing

LOOPBACK = "127.0.0.1"


class Page:
    """The page of one site.

    Parameters
    ----------
    home
        The site's folder.
    port
        The port to listen on; a free one where 0.

    Raises
    ------
    EngineError
        If it cannot listen there.
    """

    def __init__(self, home: SiteHome, *, port: int = 0) -> None:
        try:
            self._socket = socket.create_server((LOOPBACK, port))
        except OSError as error:
            raise EngineError(
                "the page cannot be served here",
                where=f"{LOOPBACK}:{port}",
                received=error.strerror or str(error),
                remedy="choose another port with --port, or leave it out",
            ) from error
        self._sessions = Sessions()
        self.port = int(self._socket.getsockname()[1])
        self._server = Announced(
            uvicorn.Config(
                application(home, sessions=self._sessions, port=self.port),
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=2,
            )
        )

    def link(self) -> str:
        """Return an address that lets one browser in, once."""
        return f"http://{LOOPBACK}:{self.port}{self._sessions.link()}"

    def run(self, ready: Callable[[], Any]) -> None:
        """Serve until Ctrl-C, TERM or :meth:`end`.

        Parameters
        ----------
        ready
            Is called once, when it listens.
        """
        self._server.ready = ready
        with self._socket:
            self._server.run(sockets=[self._socket])

    def end(self) -> None:
        """End it, from another thread."""
        self._server.should_exit = True
