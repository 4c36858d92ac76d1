"""The pages of one person on their own machine: they came by a link that was good once, and everything is theirs."""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.requests import HTTPConnection

from medfl.errors import RefusedError
from medfl.hub.people.access import Access
from medfl.hub.people.permits import HERE, Actor, Kind, Thing
from medfl.loopback import Guard, Sessions


def alone(sessions: Sessions, *, port: int, open_to_all: tuple[str, ...]) -> tuple[Access, Middleware]:
    """Return what the pages ask about people, and what stands before them, on 127.0.0.1.

    Parameters
    ----------
    sessions
        Who was let in.
    port
        The port that browsers see.
    open_to_all
        Beginnings of paths that need no session, such as stylesheets.
    """
    guard = Middleware(Guard, sessions=sessions, port=port, open_to_all=open_to_all)
    return Access(Alone(sessions), Mine()), guard


class Alone:
    """Whoever the guard on 127.0.0.1 let through.

    Parameters
    ----------
    sessions
        Who was let in.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def actor(self, connection: HTTPConnection) -> Actor:
        """Return the one person."""
        return HERE

    def token(self, connection: HTTPConnection) -> str:
        """Return what a form of this session has to send along with a change."""
        return self._sessions.token(connection)

    def require(self, connection: HTTPConnection, sent: str) -> None:
        """Refuse a change with which something else was sent.

        Raises
        ------
        RefusedError
            If it was.
        """
        self._sessions.require(connection, sent)


class Mine:
    """Whose things are on a machine of one person."""

    def of(self, kind: Kind, name: str) -> Thing:
        """Return the thing; nobody needs to own it."""
        return Thing(kind=kind, name=name)

    def begun(self, kind: Kind, name: str, actor: Actor) -> None:
        """Remember nothing: there is one person."""

    def share(self, kind: Kind, name: str, shared: frozenset[str]) -> None:
        """Refuse: there is nobody else.

        Raises
        ------
        RefusedError
            Always.
        """
        raise RefusedError(
            "there is nobody here to share with", remedy="share on the pages of a consortium's hub: medfl hub start"
        )
