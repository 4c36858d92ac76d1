"""Tokens of programs: shown once, kept by their hash, for a few actions and a time, within what their account may."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from medfl.errors import UserError
from medfl.hub.people.accounts import Account, account_of, digest
from medfl.hub.people.audit import Audit, By
from medfl.hub.people.book import Book
from medfl.hub.people.permits import RULES, Action

BEGINNING = "medfl_"
"""By which scanners of published code find one that was lost."""
LONGEST = 366
"""Days."""
MOST = 20
"""Tokens of one account."""
FRESH = 60.0
_SHORT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLine:
    """A token, as its owner sees it.

    Parameters
    ----------
    name
        By which it is revoked; it lets nobody in.
    label
        What it is for, in its owner's words.
    scope
        What it may do.
    made, expires, used
        In seconds since 1970; 0 for never.
    """

    name: str
    label: str
    scope: tuple[Action, ...]
    made: float
    expires: float
    used: float


class Tokens:
    """The tokens of a hub's people.

    Parameters
    ----------
    book, audit
        Where they are kept, and where changes are written down.
    """

    def __init__(self, book: Book, audit: Audit) -> None:
        self._book, self._audit = book, audit

    def make(self, name: str, label: str, scope: Iterable[Action], *, days: int, by: By) -> str:
        """Return a new token of an account; it is not shown again.

        Raises
        ------
        UserError
            If it is for nothing, for what no token may do, or for too long, or there are too many.
        """
        wanted = frozenset(scope)
        _require_possible(label, wanted, days)
        token, now = BEGINNING + secrets.token_urlsafe(32), self._book.clock()
        with self._book.open() as database:
            database.execute("DELETE FROM tokens WHERE expires < ?", (now,))
            (many,) = database.execute("SELECT count(*) FROM tokens WHERE account = ?", (name,)).fetchone()
            if many >= MOST:
                raise UserError(
                    "these are too many tokens",
                    where="tokens",
                    received=str(many),
                    remedy="revoke one that is not used",
                )
            self._audit.note(by, "make-token", label, why=f"{', '.join(sorted(wanted))}; {days} days")
            row = (digest(token), name, label.strip()[:80], json.dumps(sorted(wanted)), now, now + days * 86400.0, 0.0)
            database.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return token

    def known(self, token: str) -> tuple[Account, frozenset[Action]] | None:
        """Return whose token it is and what it may do; None for one that has ended or never was."""
        now = self._book.clock()
        query = (
            "SELECT t.scope, t.expires, t.used, a.name, a.title, a.roles, a.sites, a.disabled, a.made, a.seen, "
            "a.password, a.second, a.pending, a.step, a.issuer, a.subject "
            "FROM tokens t JOIN accounts a ON a.name = t.account WHERE t.hash = ?"
        )
        with self._book.reading() as database:
            row = database.execute(query, (digest(token),)).fetchone()
        if row is None or not token.startswith(BEGINNING):
            return None
        scope, expires, used, *columns = row
        account = account_of(columns)
        if now > expires or account.disabled:
            return None
        if now - used > FRESH:
            with self._book.open() as database:
                database.execute("UPDATE tokens SET used = ? WHERE hash = ?", (now, digest(token)))
        # An action that a later version does not know any more is left out.
        return account, frozenset(Action(one) for one in json.loads(scope) if one in set(Action))

    def of(self, name: str) -> list[TokenLine]:
        """Return the tokens of an account, the newest first."""
        query = "SELECT hash, label, scope, made, expires, used FROM tokens WHERE account = ? ORDER BY made DESC, hash"
        with self._book.reading() as database:
            rows = database.execute(query, (name,)).fetchall()
        return [
            TokenLine(
                name=kept[:_SHORT],
                label=label,
                scope=tuple(Action(one) for one in json.loads(scope) if one in set(Action)),
                made=made,
                expires=expires,
                used=used,
            )
            for kept, label, scope, made, expires, used in rows
        ]

    def revoke(self, name: str, token: str, *, by: By) -> None:
        """End a token of an account, by the name that its owner sees."""
        with self._book.open() as database:
            query = "DELETE FROM tokens WHERE account = ? AND substr(hash, 1, ?) = ?"
            if database.execute(query, (name, _SHORT, token)).rowcount:
                self._audit.note(by, "revoke-token", token)


def possible() -> tuple[Action, ...]:
    """Return all that a token may be made for."""
    return tuple(action for action in Action if RULES[action].by_token)


def _require_possible(label: str, scope: frozenset[Action], days: int) -> None:
    what = ""
    if not label.strip():
        what = "a token says what it is for"
    elif not scope:
        what = "a token is for at least one action"
    elif not scope <= set(possible()):
        what = "people who are signed in may do this, and no token"
    elif not 1 <= days <= LONGEST:
        what = f"a token holds for 1 to {LONGEST} days"
    if what:
        raise UserError(
            what, where="token", received=", ".join(sorted(scope))[:200] or "nothing", remedy="choose again"
        )
