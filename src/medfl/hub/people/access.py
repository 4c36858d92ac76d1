"""How the table of permits stands before the pages: every address declares what it does, or nobody reaches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, cast

from fastapi import Depends
from fastapi.dependencies.models import Dependant
from starlette.exceptions import WebSocketException
from starlette.requests import HTTPConnection

from medfl.errors import RefusedError
from medfl.hub.people.permits import RULES, Action, Actor, Kind, Thing, Verdict, verdict
from medfl.hub.people.permits import require as require_permit

PARAMETERS: dict[str, str] = {"study": "execution", "draft": "name", "site": "site"}
"""What an address calls what it is about."""


class Entrance(Protocol):
    """Who stands before the pages, and whether a change comes from them."""

    def actor(self, connection: HTTPConnection) -> Actor:
        """Return who asks; somebody without a name or a role where nobody is signed in."""
        ...

    def token(self, connection: HTTPConnection) -> str:
        """Return what a form of this session has to send along with a change."""
        ...

    def require(self, connection: HTTPConnection, sent: str) -> None:
        """Refuse a change with which something else was sent.

        Raises
        ------
        RefusedError
            If it was.
        """
        ...


class Things(Protocol):
    """Whose things are, and which sites they are about."""

    def of(self, kind: Kind, name: str) -> Thing:
        """Return what is known of a study (by its execution), a draft or a site; also of one that is not there."""
        ...

    def begun(self, kind: Kind, name: str, actor: Actor) -> None:
        """Remember who began something."""
        ...

    def share(self, kind: Kind, name: str, shared: frozenset[str]) -> None:
        """Set with which accounts something is shared, instead of those before."""
        ...


def _nothing(connection: HTTPConnection, actor: Actor, action: Action, found: Verdict) -> None:
    """Write nothing down."""


@dataclass(frozen=True, slots=True)
class Access:
    """What the pages ask about people: it lies in ``app.state.access``.

    Parameters
    ----------
    entrance
        Who asks.
    things
        What about.
    notes
        Is told each verdict on an address, and the action that it declares.
    """

    entrance: Entrance
    things: Things
    notes: Callable[[HTTPConnection, Actor, Action, Verdict], None] = _nothing

    def require(self, actor: Actor, action: Action, name: str = "") -> None:
        """Refuse what somebody may not do to what is called so.

        Raises
        ------
        RefusedError
            With the reason.
        """
        require_permit(actor, action, self._thing(action, name))

    def verdict(self, actor: Actor, action: Action, name: str = "") -> Verdict:
        """Say whether somebody may do something to what is called so, and why."""
        return verdict(actor, action, self._thing(action, name))

    def allows(self, actor: Actor, action: Action, name: str = "") -> bool:
        """Say whether somebody may do something to what is called so, as for a list or a button."""
        return bool(self.verdict(actor, action, name))

    def _thing(self, action: Action, name: str) -> Thing | None:
        about = RULES[action].about
        return self.things.of(about, name) if about and name else None


class Permit:
    """Stands before an address: lets through who may do what it does.

    Parameters
    ----------
    action
        What it does.
    """

    def __init__(self, action: Action) -> None:
        self.action = action
        about = RULES[action].about
        self.parameter = PARAMETERS[about] if about else ""

    def __call__(self, connection: HTTPConnection) -> Actor:
        """Return who asks, if they may."""
        access = access_of(connection)
        actor = access.entrance.actor(connection)
        name = str(connection.path_params.get(self.parameter, "")) if self.parameter else ""
        found = access.verdict(actor, self.action, name)
        access.notes(connection, actor, self.action, found)
        if not found and connection.scope["type"] == "websocket":
            raise WebSocketException(code=1008, reason=found.reason[:100])
        access.require(actor, self.action, name)
        return actor


def may(action: Action) -> Any:
    """Return the declaration of what an address does, for ``dependencies=[may(…)]`` of a route."""
    return Depends(Permit(action))


def asking(connection: HTTPConnection) -> Actor:
    """Return who asks, for a page that shows each person what is theirs."""
    return access_of(connection).entrance.actor(connection)


Who = Annotated[Actor, Depends(asking)]


def declared(connection: HTTPConnection) -> None:
    """Refuse an address that does not declare what it does; it stands before all of an application.

    Raises
    ------
    RefusedError
        If it does not, or declares more than one thing.
    """
    route = connection.scope.get("route")
    if len(permits_of(getattr(route, "dependant", None))) != 1:
        raise RefusedError(
            "this address does not say who may use it, and so nobody may",
            where=connection.url.path[:120],
            remedy="tell the makers of MEDfl: the route needs dependencies=[may(Action…)]",
        )


def reads_logs(access: Access, who: Actor, site: str) -> bool:
    """Say whether somebody may read what a site tells of its work: who keeps the hub, and who speaks for the site."""
    return access.allows(who, Action.SEE_SETTINGS) or site in who.sites


def permits_of(dependant: Dependant | None) -> list[Permit]:
    """Return what a route declares."""
    if dependant is None:
        return []
    return [one.call for one in dependant.dependencies if isinstance(one.call, Permit)]


def access_of(connection: HTTPConnection) -> Access:
    """Return what an application asks about people."""
    return cast(Access, connection.app.state.access)


Asked = Annotated[Access, Depends(access_of)]
