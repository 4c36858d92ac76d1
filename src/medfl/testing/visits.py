"""The pages of a consortium without a network: the test says who asks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import httpx
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from medfl.errors import RefusedError
from medfl.hub.people.access import Access
from medfl.hub.people.permits import NOBODY, Actor, Kind, Role, Thing

TOKEN = "token"  # noqa: S105 - what a form of these pages sends along


class Visit:
    """An entrance at which the test says who asks, and things that are whose the test says."""

    def __init__(self) -> None:
        self.who = NOBODY
        self.owner: dict[tuple[Kind, str], str] = {}

    def come(self, name: str, *roles: Role, sites: Iterable[str] = ()) -> None:
        """Let somebody ask from now on."""
        self.who = Actor(name=name, title=name.title(), roles=frozenset(roles), sites=frozenset(sites))

    def actor(self, connection: HTTPConnection) -> Actor:
        """Return who asks."""
        return self.who

    def token(self, connection: HTTPConnection) -> str:
        """Return what a form has to send along."""
        return TOKEN

    def require(self, connection: HTTPConnection, sent: str) -> None:
        """Refuse a change without the token.

        Raises
        ------
        RefusedError
            If it has none.
        """
        if sent != TOKEN:
            raise RefusedError("no token")

    def of(self, kind: Kind, name: str) -> Thing:
        """Return whose a thing is."""
        return Thing(kind=kind, name=name, owner=self.owner.get((kind, name), "eve"))

    def begun(self, kind: Kind, name: str, actor: Actor) -> None:
        """Remember who began something."""
        self.owner[kind, name] = actor.name

    def share(self, kind: Kind, name: str, shared: frozenset[str]) -> None:
        """Share nothing."""

    @property
    def access(self) -> Access:
        """What an application asks."""
        return Access(self, self)


class NoGuard:
    """Lets everybody through."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a connection through."""
        await self._app(scope, receive, send)


OPEN_DOOR = Middleware(NoGuard)


def asked(app: ASGIApp, method: str, path: str, *, host: str = "127.0.0.1", **more: Any) -> httpx.Response:
    """Ask an application once, by the name of this machine."""

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"https://{host}") as client:
            return await client.request(method, path, **more)

    return asyncio.run(ask())


def posted(app: ASGIApp, path: str, **words: str) -> httpx.Response:
    """Send a form of a page."""
    return asked(app, "POST", path, data={"csrf": TOKEN, **words})
