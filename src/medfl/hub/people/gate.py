"""The guard of a consortium's pages: only under the hub's own names, only who is signed in, no change from outside."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from medfl.hub.pace import Pace
from medfl.hub.people.audit import Audit
from medfl.hub.people.entrance import PeopleEntrance, bearer_of, by
from medfl.hub.people.permits import Action, Actor, Verdict
from medfl.loopback import SAFE, dressed, said, same_origin

SIGN_IN = "/sign-in"
PUBLIC = frozenset({SIGN_IN, "/language", "/sign-in/provider", "/sign-in/back", "/welcome"})
"""What somebody reaches who is not signed in."""
OWN = frozenset({Action.SIGN_IN, Action.CHANGE_ACCOUNT, Action.CHANGE_PEOPLE})
"""What writes into the audit log itself, with more than an address can tell."""


class Gate:
    """Stands before an application (ASGI) and answers whoever may not reach it.

    Parameters
    ----------
    app
        What is guarded.
    entrance
        Who asks.
    hosts
        The names, with ports, that browsers use.
    pace
        Slows down who comes with tokens that are none.
    open_to_all
        Beginnings of paths that need no session, such as stylesheets.
    """

    def __init__(
        self, app: ASGIApp, *, entrance: PeopleEntrance, hosts: frozenset[str], pace: Pace, open_to_all: tuple[str, ...]
    ) -> None:
        self._app, self._entrance, self._pace, self._open = app, entrance, pace, open_to_all
        # Browsers leave the port out where it is the one of https.
        self._hosts = hosts | {host.removesuffix(":443") for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a connection through, or answer it here."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        answer = await self._answer(HTTPConnection(scope))
        if answer is None:
            await self._app(scope, receive, dressed(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await answer(scope, receive, dressed(send))

    async def _answer(self, connection: HTTPConnection) -> Response | None:
        """Return what to say to somebody who is not let through; None for all others."""
        path = connection.url.path
        if connection.headers.get("host", "") not in self._hosts:
            return said(HTTPStatus.MISDIRECTED_REQUEST, "This hub has no such name.", "Open it under its own name.")
        if not same_origin(connection, self._hosts):
            return said(HTTPStatus.FORBIDDEN, "This was asked for by another page.", "Do it on the page itself.")
        if path.startswith(self._open) and self._open:
            return None
        address = connection.client.host if connection.client else ""
        program = bearer_of(connection) is not None
        if program and self._pace.wait(address) > 0:
            return _none(HTTPStatus.TOO_MANY_REQUESTS, "too many tokens that are none came from this address")
        actor = await run_in_threadpool(self._entrance.actor, connection)
        if actor.name or path in PUBLIC:
            return None
        if program:
            self._pace.refused(address)
            return _none(HTTPStatus.UNAUTHORIZED, "this token is none, or is good no longer")
        if path.startswith("/api/") or not _is_page(connection):
            return _none(HTTPStatus.UNAUTHORIZED, "nobody is signed in")
        query = f"?{connection.url.query}" if connection.url.query else ""
        back = "" if path == "/" else f"?next={quote(path + query, safe='')}"
        return RedirectResponse(SIGN_IN + back, status_code=HTTPStatus.SEE_OTHER)


class Noting:
    """Writes down what people set about to do, and what they were refused.

    Parameters
    ----------
    audit
        The log.
    """

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    def __call__(self, connection: HTTPConnection, actor: Actor, action: Action, found: Verdict) -> None:
        """Write a line for a refusal, and for a change before it is made: what cannot be written is not done."""
        where = connection.url.path
        if not found:
            self._audit.note(by(actor, connection), action, where, verdict="refused", why=found.reason)
        elif connection.scope["type"] == "http" and connection.scope["method"] not in SAFE and action not in OWN:
            self._audit.note(by(actor, connection), action, where, verdict="allowed", why=found.reason)


def safe_next(path: str) -> str:
    """Return where somebody goes after the sign-in: an address of this hub, whatever came along, or the first page."""
    plain = path.isascii() and path.isprintable() and "\\" not in path
    return path if plain and path.startswith("/") and not path.startswith("//") else "/"


def _is_page(connection: HTTPConnection) -> bool:
    """Say whether a person reads the answer: a part of a page that htmx asks for is no page of its own."""
    is_get = connection.scope["type"] == "http" and connection.scope["method"] in SAFE
    return is_get and "hx-request" not in connection.headers


def _none(status: HTTPStatus, what: str) -> Response:
    remedy = "sign in at /sign-in, or send a token of page /account as: Authorization: Bearer …"
    words = {"what": what, "where": "", "received": "", "remedy": remedy}
    return JSONResponse({"error": [words]}, status_code=status, headers={"WWW-Authenticate": "Bearer"})
