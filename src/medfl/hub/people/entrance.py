"""Who asks at a consortium's hub: a browser with a session in its cookie, or a program with a token."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace

from starlette.requests import HTTPConnection

from medfl.errors import RefusedError
from medfl.hub.people.accounts import Account
from medfl.hub.people.audit import By
from medfl.hub.people.permits import NOBODY, Actor, How, Role
from medfl.hub.people.sessions import PeopleSessions
from medfl.hub.people.tokens import Tokens

COOKIE = "__Host-medfl"
"""Browsers take it only over TLS, from this host, and for all of it (RFC 6265bis, section 4.1.3.2)."""
BEFORE = "__Host-medfl-before"
"""Of a browser that is not signed in yet: what its sign-in page belongs to."""
_BEARER = "bearer "
_ASKED, _FIRST = "medfl.actor", "medfl.before"


@dataclass(frozen=True, slots=True)
class PeopleEntrance:
    """The entrance of a consortium's pages.

    Parameters
    ----------
    sessions, tokens
        Who was let in.
    second_factor
        Roles that have to set a second factor up first.
    """

    sessions: PeopleSessions
    tokens: Tokens
    second_factor: frozenset[Role] = frozenset()

    def actor(self, connection: HTTPConnection) -> Actor:
        """Return who asks, as their account is at this moment; nobody where nobody is signed in."""
        if connection.scope["type"] == "http":
            # Once a request; whoever watches by a socket is looked up again and again.
            if _ASKED not in connection.scope:
                connection.scope[_ASKED] = self._found(connection)
            found: Actor = connection.scope[_ASKED]
            return found
        return self._found(connection)

    def token(self, connection: HTTPConnection) -> str:
        """Return what a form of this session has to send along: made of the session, and of no use without it."""
        secret = connection.cookies.get(COOKIE) or self.before(connection)
        return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest()

    def require(self, connection: HTTPConnection, sent: str) -> None:
        """Refuse a change with which something else was sent; a token of a program is sent by no browser by itself.

        Raises
        ------
        RefusedError
            If it was.
        """
        if bearer_of(connection) is not None and self.actor(connection).how is How.TOKEN:
            return
        has_secret = bool(connection.cookies.get(COOKIE) or connection.cookies.get(BEFORE))
        if not has_secret or not hmac.compare_digest(sent.encode(), self.token(connection).encode()):
            raise RefusedError(
                "this change did not come from a page of this session",
                where=connection.url.path,
                remedy="load the page again, and do it there",
            )

    def before(self, connection: HTTPConnection) -> str:
        """Return what the sign-in page of this browser belongs to; a new one where there is none yet."""
        known = connection.cookies.get(BEFORE, "")
        if known:
            return known
        return str(connection.scope.setdefault(_FIRST, secrets.token_urlsafe(32)))

    def _found(self, connection: HTTPConnection) -> Actor:
        token = bearer_of(connection)
        if token is not None:
            # Never both: a wrong token is not made good by a cookie.
            known = self.tokens.known(token)
            if known is None:
                return NOBODY
            account, scope = known
            return replace(self._held(account, vouched=bool(account.issuer)), how=How.TOKEN, scope=scope)
        secret = connection.cookies.get(COOKIE, "")
        session = self.sessions.known(secret, use=connection.scope["type"] == "http")
        return NOBODY if session is None else self._held(session.account, vouched=session.provider)

    def _held(self, account: Account, *, vouched: bool) -> Actor:
        """Return somebody, who is held up where a second factor is missing that nobody else has asked for."""
        actor = Actor(name=account.name, title=account.title, roles=account.roles, sites=account.sites)
        if vouched or account.has_second or not actor.roles & self.second_factor:
            return actor
        return replace(actor, barred="this hub asks for a second factor here: set one up on page /account first")


def look_again(connection: HTTPConnection) -> None:
    """Have the account read once more within this request, which has changed what it may do."""
    connection.scope.pop(_ASKED, None)


def bearer_of(connection: HTTPConnection) -> str | None:
    """Return the token that a program sent; None where it is no program."""
    sent = connection.headers.get("authorization")
    if sent is None:
        return None
    return sent[len(_BEARER) :].strip() if sent.lower().startswith(_BEARER) else ""


def by(actor: Actor, connection: HTTPConnection) -> By:
    """Return who asks and from where; the address is that of the connection, whatever headers say."""
    return By(actor.name, str(actor.how), connection.client.host if connection.client else "")
