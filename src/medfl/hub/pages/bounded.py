"""What stands before a hub's pages at its port: bounded uploads that come in time, and HTTPS from now on.

Under which names a hub is reached, who somebody is and what they may do is asked behind it. What sites call does not
come through here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medfl.loopback import dressed, said

LARGEST = 2**20
"""Bytes of the largest form: a study's text is a fifth of that."""
PATIENCE = 20.0
"""Seconds that a form may take to come."""
HEADERS: Mapping[str, str] = MappingProxyType(
    {"Strict-Transport-Security": "max-age=31536000", "X-Robots-Tag": "noindex, nofollow"}
)


class Bounded:
    """Stands before an application (ASGI) that is served over TLS to whoever reaches it.

    Parameters
    ----------
    app
        The pages.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a connection through, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _too_much(Headers(scope=scope))
        if answer is None:
            await self._app(scope, _in_time(receive), _over_tls(send))
        else:
            await answer(scope, receive, dressed(_over_tls(send)))


def _too_much(headers: Headers) -> Response | None:
    """Return what to say to somebody who sends more than a page does, or does not say how much."""
    size = headers.get("content-length", "")
    if "transfer-encoding" in headers:
        answer = said(HTTPStatus.LENGTH_REQUIRED, "This does not say how long it is.", "Send a form of a page.")
    elif size and (not size.isdecimal() or int(size) > LARGEST):
        most = f"Send {LARGEST // 2**20} MB at most."
        answer = said(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "This is larger than any form here.", most)
    else:
        return None
    # What is not read any more is not waited for.
    answer.headers["Connection"] = "close"
    return answer


def _in_time(receive: Receive) -> Receive:
    """Return what takes a body in that comes in time; of one that does not, whoever sends it is taken to have left."""
    whole, until = False, asyncio.get_running_loop().time() + PATIENCE

    async def came() -> Message:
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

    return came


def _over_tls(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sent
