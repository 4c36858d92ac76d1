"""What stands before the pages at a hub's port: its own names only, bounded uploads, and the headers that protect.

Who somebody is, and what they may do, is asked behind it. What sites call does not come through here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from http import HTTPStatus
from types import MappingProxyType
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medfl.loopback import HEADERS as PROTECTING
from medfl.loopback import SAFE, dressed, said

log = logging.getLogger(__name__)
LARGEST = 2**20
"""Bytes of the largest form: a study's text is a fifth of that."""
PATIENCE = 20.0
"""Seconds that a form may take to come."""
HEADERS: Mapping[str, str] = MappingProxyType(
    {**PROTECTING, "Strict-Transport-Security": "max-age=31536000", "X-Robots-Tag": "noindex"}
)


class Gate:
    """Stands before an application (ASGI) that is served to a consortium, over TLS.

    Parameters
    ----------
    app
        The pages.
    names
        By what the hub is reached: names and addresses of its machine.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app, self._names = app, frozenset(name.lower().strip("[]") for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a connection through, or answer it here."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        answer = self._answer(connection)
        if answer is None:
            inward = _bounded(receive) if scope["type"] == "http" else receive
            await self._app(scope, inward, dressed(send, HEADERS))
            return
        who = connection.client.host if connection.client else "?"
        log.warning("refused %s a page: %s", who, HTTPStatus(answer.status_code).phrase.lower())
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await answer(scope, receive, dressed(send, HEADERS))

    def _answer(self, connection: HTTPConnection) -> Response | None:
        """Return what to say to somebody who is not let through; None for all others."""
        host = connection.headers.get("host", "")
        if _name(f"//{host}") not in self._names:
            return said(HTTPStatus.MISDIRECTED_REQUEST, "This hub has no such name.", "Open it by its own name.")
        if not _from_here(connection, host):
            return said(HTTPStatus.FORBIDDEN, "This was asked for by another page.", "Do it on the page itself.")
        size = connection.headers.get("content-length", "")
        if "transfer-encoding" in connection.headers:
            return said(HTTPStatus.LENGTH_REQUIRED, "This does not say how long it is.", "Send a form of a page.")
        if size and (not size.isdecimal() or int(size) > LARGEST):
            most = f"Send {LARGEST // 2**20} MB at most."
            return said(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "This is larger than any form here.", most)
        return None


def _from_here(connection: HTTPConnection, host: str) -> bool:
    """Say whether a change or a WebSocket was asked for by a page of this host, as far as the browser says."""
    if connection.scope["type"] == "http" and connection.scope["method"] in SAFE:
        return True
    origin, site = connection.headers.get("origin"), connection.headers.get("sec-fetch-site")
    if origin is not None and _place(origin) != host:
        return False
    return site in (None, "same-origin", "none")


def _place(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _name(place: str) -> str:
    """Return the host of an address, without its port."""
    try:
        return urlsplit(place).hostname or ""
    except ValueError:
        return ""


def _bounded(receive: Receive) -> Receive:
    """Return what takes a body in that comes in time; of one that does not, whoever sends it is taken to have left."""
    whole = False
    until = asyncio.get_running_loop().time() + PATIENCE

    async def bounded() -> Message:
        nonlocal whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            whole = True
            return {"type": "http.disconnect"}
        whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    return bounded
