"""The guard of a page that is for one person on this machine: the hub's on a laptop, a hospital's own.

Any other program here can reach a port on 127.0.0.1, and so can any page that is open in the same browser. So the page
answers only under its own name (DNS rebinding), only who came by a link that is good once and was given a session for
it, and takes no change without the session's token (cross-site request forgery).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from html import escape
from http import HTTPStatus
from time import monotonic
from types import MappingProxyType
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medfl.errors import RefusedError

ENTER = "/enter"
COOKIE = "medfl-session"
FIELD, HEADER = "csrf", "x-csrf-token"
IDLE = 12 * 3600.0
"""Seconds after which a session ends in which nothing was asked."""
LARGEST = 2**16
"""Bytes of the largest form."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        # Not "no-referrer": with it browsers send "Origin: null" along with forms of the page itself.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Cache-Control": "no-store",
    }
)
"""Sent with every answer that does not say otherwise itself."""


class Sessions:
    """Who was let in, and the link that lets the next one in.

    Parameters
    ----------
    now
        Seconds of a clock that only goes forward.
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now, self._secret = now, secrets.token_bytes(32)
        self._link = ""
        self._seen: dict[str, float] = {}

    def link(self) -> str:
        """Return a path that lets one browser in, once; the one before it is void."""
        self._link = secrets.token_urlsafe(32)
        return f"{ENTER}?token={self._link}"

    def enter(self, token: str) -> str | None:
        """Return a new session for the link's token, and void the link; None for any other."""
        if not self._link or not hmac.compare_digest(token.encode(), self._link.encode()):
            return None
        self._link = ""
        session = secrets.token_urlsafe(32)
        self._seen[session] = self._now()
        return session

    def known(self, session: str) -> bool:
        """Say whether a session goes on, and remember that it was used."""
        last = self._seen.get(session)
        if last is None or self._now() - last > IDLE:
            self._seen.pop(session, None)
            return False
        self._seen[session] = self._now()
        return True

    def leave(self, session: str) -> None:
        """End a session."""
        self._seen.pop(session, None)

    def token(self, connection: HTTPConnection) -> str:
        """Return what a form or a script of this session has to send along with a change."""
        session = connection.cookies.get(COOKIE, "")
        return hmac.new(self._secret, session.encode(), hashlib.sha256).hexdigest()

    async def require_token(self, request: Request) -> None:
        """Refuse a change that does not carry the session's token, in a form's field ``csrf`` or a header.

        Raises
        ------
        RefusedError
            If it does not.
        """
        sent = request.headers.get(HEADER)
        self.require(request, (await fields(request)).get(FIELD, "") if sent is None else sent)

    def require(self, request: HTTPConnection, sent: str) -> None:
        """Refuse a change with which something else was sent than the session's token.

        Raises
        ------
        RefusedError
            If it was.
        """
        if not hmac.compare_digest(sent.encode(), self.token(request).encode()):
            raise RefusedError(
                "this change did not come from a page of this session",
                where=request.url.path,
                remedy="load the page again, and do it there",
            )


class Guard:
    """Stands before an application (ASGI) and answers whoever may not reach it.

    Parameters
    ----------
    app
        What is guarded.
    sessions
        Who was let in.
    port
        The port that browsers see.
    open_to_all
        Beginnings of paths that need no session, such as stylesheets.
    """

    def __init__(self, app: ASGIApp, *, sessions: Sessions, port: int, open_to_all: tuple[str, ...] = ()) -> None:
        self._app, self._sessions, self._open = app, sessions, open_to_all
        self._hosts = frozenset(f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a connection through, or answer it here."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        answer = self._answer(connection)
        if answer is None:
            await self._app(scope, receive, dressed(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await answer(scope, receive, dressed(send))

    def _answer(self, connection: HTTPConnection) -> Response | None:
        """Return what to say to somebody who is not let through; None for all others."""
        headers, path = connection.headers, connection.url.path
        if headers.get("host", "") not in self._hosts:
            return said(HTTPStatus.MISDIRECTED_REQUEST, "This page has no such name.", "Open 127.0.0.1 instead.")
        if not same_origin(connection, self._hosts):
            return said(HTTPStatus.FORBIDDEN, "This was asked for by another page.", "Do it on the page itself.")
        if path == ENTER:
            return self._entered(connection.query_params.get("token", ""))
        if path.startswith(self._open) and self._open:
            return None
        if self._sessions.known(connection.cookies.get(COOKIE, "")):
            return None
        return said(
            HTTPStatus.FORBIDDEN,
            "You are not signed in here.",
            "Open the link that the command printed; it is good once. Start the command again for another.",
        )

    def _entered(self, token: str) -> Response:
        session = self._sessions.enter(token)
        if session is None:
            return said(HTTPStatus.FORBIDDEN, "This link was used before.", "Start the command again for another.")
        answer = RedirectResponse("/", status_code=HTTPStatus.SEE_OTHER)
        answer.set_cookie(COOKIE, session, httponly=True, samesite="strict", path="/")
        return answer


def same_origin(connection: HTTPConnection, hosts: frozenset[str]) -> bool:
    """Say whether a change or a WebSocket was asked for by a page of one of these hosts, as far as the browser says."""
    if connection.scope["type"] == "http" and connection.scope["method"] in SAFE:
        return True
    origin, site = connection.headers.get("origin"), connection.headers.get("sec-fetch-site")
    if origin is not None and urlsplit(origin).netloc not in hosts:
        return False
    return site in (None, "same-origin", "none")


async def fields(request: Request) -> dict[str, str]:
    """Return the fields of a form that a page of this session has sent; of one that comes twice, the last.

    Raises
    ------
    RefusedError
        If it is larger than any of ours.
    """
    size = request.headers.get("content-length", "")
    if not size.isdecimal() or int(size) > LARGEST:
        raise RefusedError(
            "this is no form of this page",
            where=request.url.path,
            received=f"{size[:20] or 'unknown'} bytes",
            remedy="load the page again, and do it there",
        )
    text = (await request.body()).decode(errors="replace")
    return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=100))


def dressed(send: Send) -> Send:
    """Return what sends an answer with the headers that protect it."""

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return dressed


def said(status: HTTPStatus, what: str, remedy: str) -> HTMLResponse:
    """Return a page of two sentences, which needs nothing else."""
    body = (
        "<!doctype html><html lang=en><meta charset=utf-8><title>MEDfl</title>"
        f"<h1>{escape(what)}</h1><p>{escape(remedy)}</p></html>"
    )
    return HTMLResponse(body, status_code=status)
