"""In which language a page is read: what its reader chose on a page, else what the browser asks for."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Annotated

from babel.core import negotiate_locale
from fastapi import APIRouter, Form, params
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from medfl.hub.pages.forms import forms
from medfl.hub.people.access import may
from medfl.hub.people.permits import Action

ENGLISH = "en"
LANGUAGES: Mapping[str, str] = MappingProxyType({ENGLISH: "English", "fr": "Français"})
"""Each by the name that it gives itself."""
COOKIE = "medfl-language"
YEAR = 365 * 24 * 3600
_READER: ContextVar[str] = ContextVar("reader", default=ENGLISH)


def reading() -> str:
    """Return the language of whoever is answered just now."""
    return _READER.get()


def language_of(connection: HTTPConnection) -> str:
    """Return the language in which somebody reads; a page names its own when it asks for its changes.

    With a socket browsers send the languages that they are set to, whatever a page of theirs was asked for in.
    """
    named = connection.query_params.get("language", "") if connection.scope["type"] == "websocket" else ""
    chosen = named or connection.cookies.get(COOKIE, "")
    return chosen if chosen in LANGUAGES else _asked_for(connection.headers.get("accept-language", ""))


class Reading:
    """Notes before an application (ASGI) in which language its answer is read.

    Parameters
    ----------
    app
        What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note it, and pass the connection on."""
        if scope["type"] in ("http", "websocket"):
            # Not taken back: each connection has a context of its own, and what fails is told of in it, too.
            _READER.set(language_of(HTTPConnection(scope)))
        await self._app(scope, receive, send)


def choosing(guarded: params.Depends) -> APIRouter:
    """Return the address at which a reader chooses a language; `guarded` stands before it."""
    routes = forms(guarded)

    # Whoever may try to sign in reads the page on which they do.
    @routes.post("/language", dependencies=[may(Action.SIGN_IN)])
    def choose(
        language: Annotated[str, Form(max_length=8)], back: Annotated[str, Form(max_length=2000)] = "/"
    ) -> Response:
        """Choose the language of the pages."""
        answer = RedirectResponse(_ours(back), status_code=303)
        if language in LANGUAGES:
            answer.set_cookie(COOKIE, language, max_age=YEAR, httponly=True, samesite="lax")
        return answer

    return routes


def _asked_for(header: str) -> str:
    """Return the language that a header Accept-Language likes best of ours (RFC 9110, section 12.5.4)."""
    liked: list[tuple[float, str]] = []
    for entry in header.split(","):
        name, _, more = entry.strip().partition(";")
        try:
            quality = float(more.partition("=")[2]) if more else 1.0
        except ValueError:
            continue
        if quality > 0:
            liked.append((-quality, name.strip()))
    ordered = [name for _, name in sorted(liked, key=lambda one: one[0])]
    found = negotiate_locale(ordered, list(LANGUAGES), sep="-")
    return found if found is not None and found in LANGUAGES else ENGLISH


def _ours(path: str) -> str:
    """Return a path of ours; what would lead elsewhere leads to the first page."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"
