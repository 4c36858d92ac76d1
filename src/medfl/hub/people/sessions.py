"""Sessions of browsers: kept by their hash, ended by idleness, by age, by their owner, or with their account."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from medfl.hub.people.accounts import Account, account_of, digest
from medfl.hub.people.book import Book

FRESH = 60.0
"""Seconds within which a second use of a session is not written down."""
AGENT = 120
"""Characters that are kept of what a browser says that it is."""
_SHORT = 16


@dataclass(frozen=True, slots=True)
class Known:
    """A session that goes on.

    Parameters
    ----------
    account
        Whose it is, as the account is now.
    provider
        Whether an institution's sign-in let them in, which asks for a second factor itself.
    """

    account: Account
    provider: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLine:
    """A session, as its owner sees it.

    Parameters
    ----------
    name
        By which it is ended; it lets nobody in.
    began, used
        In seconds since 1970.
    address, agent
        From where, and what the browser says that it is.
    here
        Whether it is the one that asks.
    """

    name: str
    began: float
    used: float
    address: str
    agent: str
    here: bool


class PeopleSessions:
    """The sessions of a hub's people.

    Parameters
    ----------
    book
        Where they are kept.
    idle, longest
        Seconds after which one ends in which nothing was asked, and after which it ends in any case.
    """

    def __init__(self, book: Book, *, idle: float, longest: float) -> None:
        self._book, self._idle, self._longest = book, idle, longest

    def begin(self, name: str, *, address: str, agent: str, provider: bool = False) -> str:
        """Return a new session's secret for an account."""
        secret, now = secrets.token_urlsafe(32), self._book.clock()
        with self._book.open() as database:
            row = (digest(secret), name, now, now, address, agent[:AGENT], int(provider))
            database.execute(
                "DELETE FROM sessions WHERE used < ? OR began < ?", (now - self._idle, now - self._longest)
            )
            database.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            database.execute("UPDATE accounts SET seen = ? WHERE name = ?", (now, name))
        return secret

    def known(self, secret: str, *, use: bool = True) -> Known | None:
        """Return whose session goes on, and remember that it was used; None for one that has ended or never was."""
        if not secret:
            return None
        now = self._book.clock()
        query = (
            "SELECT s.used, s.began, s.provider, a.name, a.title, a.roles, a.sites, a.disabled, a.made, a.seen, "
            "a.password, a.second, a.pending, a.step, a.issuer, a.subject "
            "FROM sessions s JOIN accounts a ON a.name = s.account WHERE s.hash = ?"
        )
        with self._book.reading() as database:
            row = database.execute(query, (digest(secret),)).fetchone()
        if row is None:
            return None
        used, began, provider, *columns = row
        account = account_of(columns)
        if now - used > self._idle or now - began > self._longest or account.disabled:
            self.end(secret)
            return None
        if use and now - used > FRESH:
            with self._book.open() as database:
                database.execute("UPDATE sessions SET used = ? WHERE hash = ?", (now, digest(secret)))
                database.execute("UPDATE accounts SET seen = ? WHERE name = ?", (now, account.name))
        return Known(account, bool(provider))

    def end(self, secret: str) -> None:
        """End a session."""
        with self._book.open() as database:
            database.execute("DELETE FROM sessions WHERE hash = ?", (digest(secret),))

    def of(self, name: str, *, here: str = "") -> list[SessionLine]:
        """Return the sessions of an account, the last used first; `here` is the secret of the one that asks."""
        now, mine = self._book.clock(), digest(here)
        query = "SELECT hash, began, used, address, agent FROM sessions WHERE account = ? ORDER BY used DESC, hash"
        with self._book.reading() as database:
            rows = database.execute(query, (name,)).fetchall()
        return [
            SessionLine(name=kept[:_SHORT], began=began, used=used, address=address, agent=agent, here=kept == mine)
            for kept, began, used, address, agent in rows
            if now - used <= self._idle and now - began <= self._longest
        ]

    def end_one(self, name: str, session: str) -> None:
        """End one session of an account, by the name that its owner sees."""
        with self._book.open() as database:
            query = "DELETE FROM sessions WHERE account = ? AND substr(hash, 1, ?) = ?"
            database.execute(query, (name, _SHORT, session))

    def end_others(self, name: str, here: str) -> None:
        """End all sessions of an account but the one that asks."""
        with self._book.open() as database:
            database.execute("DELETE FROM sessions WHERE account = ? AND hash != ?", (name, digest(here)))
