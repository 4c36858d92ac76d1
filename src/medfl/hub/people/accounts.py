"""Accounts: who has one, what they are, and the links by which they come to a password."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from medfl.errors import NotFoundError, RefusedError, UserError, did_you_mean
from medfl.hub.people.audit import Audit, By
from medfl.hub.people.book import Book
from medfl.hub.people.passwords import Hashes, require_good
from medfl.hub.people.permits import Role

NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,79}")
LINK = 3 * 86400.0
"""Seconds for which a link to a password holds."""
_COLUMNS = "name, title, roles, sites, disabled, made, seen, password, second, pending, step, issuer, subject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody who may sign in; what only the sign-in needs is not shown when it is printed.

    Parameters
    ----------
    name, title
        As it is typed, and as people read it.
    roles, sites
        What they are, and the sites that they speak for as a data owner.
    disabled
        Whether they are kept out.
    made, seen
        When it was made and last used, in seconds since 1970; 0 for never.
    has_password, has_second
        Whether they have set a password, and a second factor.
    issuer
        The institution whose sign-in vouches for them; empty where none does.
    """

    name: str
    title: str
    roles: frozenset[Role]
    sites: frozenset[str]
    disabled: bool
    made: float
    seen: float
    has_password: bool
    has_second: bool
    issuer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody for whom an institution vouches.

    Parameters
    ----------
    issuer, subject
        The institution, and who they are there for good.
    name, title
        What they are called there now.
    roles, sites
        As the institution's groups tell them today.
    """

    issuer: str
    subject: str
    name: str
    title: str
    roles: frozenset[Role]
    sites: frozenset[str]


class Accounts:
    """The accounts of a hub.

    Parameters
    ----------
    book, audit
        Where they are kept, and where changes are written down.
    hashes
        Makes and compares what is kept of passwords.
    """

    def __init__(self, book: Book, audit: Audit, hashes: Hashes) -> None:
        self._book, self._audit, self._hashes = book, audit, hashes

    def add(self, name: str, title: str, roles: Iterable[Role], sites: Iterable[str], *, by: By) -> str:
        """Make an account, and return the token of a link that is good once, to choose a password.

        Raises
        ------
        UserError
            If the name is taken or none, or no role is given.
        """
        known, spoken = frozenset(roles), frozenset(sites)
        _require_name(name)
        _require_roles(known, spoken)
        with self._book.open() as database:
            if database.execute("SELECT 1 FROM accounts WHERE name = ?", (name,)).fetchone():
                raise UserError("there is such an account already", where=name, remedy="choose another name")
            self._audit.note(by, "add-account", name, why=_told(known, spoken))
            database.execute(
                "INSERT INTO accounts (name, title, roles, sites, made) VALUES (?, ?, ?, ?, ?)",
                (name, _title(title, name), _list(known), _list(spoken), self._book.clock()),
            )
            return self._linked(database, name)

    def named(self, name: str) -> Account:
        """Return an account.

        Raises
        ------
        NotFoundError
            If there is none of this name.
        """
        with self._book.reading() as database:
            return _named(database, name)

    def every(self) -> list[Account]:
        """Return all accounts by name."""
        with self._book.reading() as database:
            rows = database.execute(f"SELECT {_COLUMNS} FROM accounts ORDER BY name").fetchall()  # noqa: S608 - fixed
        return [account_of(row) for row in rows]

    def set_roles(self, name: str, roles: Iterable[Role], sites: Iterable[str], *, by: By) -> Account:
        """Give an account these roles and sites instead of its own; what it does next is held to them.

        Raises
        ------
        UserError
            If no role is left, or no administrator.
        """
        known, spoken = frozenset(roles), frozenset(sites)
        _require_roles(known, spoken)
        with self._book.open() as database:
            before = _named(database, name)
            if Role.ADMIN not in known:
                _require_other_admin(database, before)
            change = f"{_told(before.roles, before.sites)} → {_told(known, spoken)}"
            self._audit.note(by, "change-roles", name, why=change)
            database.execute(
                "UPDATE accounts SET roles = ?, sites = ? WHERE name = ?", (_list(known), _list(spoken), name)
            )
            return _named(database, name)

    def disable(self, name: str, *, by: By) -> Account:
        """Keep somebody out: their sessions and tokens end with the next thing that they ask.

        Raises
        ------
        UserError
            If they are the last administrator.
        """
        with self._book.open() as database:
            _require_other_admin(database, _named(database, name))
            self._audit.note(by, "disable-account", name)
            database.execute("UPDATE accounts SET disabled = 1 WHERE name = ?", (name,))
            for table in ("sessions", "tokens", "links"):
                database.execute(f"DELETE FROM {table} WHERE account = ?", (name,))  # noqa: S608 - one of three above
            return _named(database, name)

    def enable(self, name: str, *, by: By) -> Account:
        """Let somebody in again who was kept out."""
        with self._book.open() as database:
            _named(database, name)
            self._audit.note(by, "enable-account", name)
            database.execute("UPDATE accounts SET disabled = 0 WHERE name = ?", (name,))
            return _named(database, name)

    def reset(self, name: str, *, second: bool, by: By) -> str:
        """Return the token of a link to a new password; sessions end, and the old password is good no longer.

        Parameters
        ----------
        name
            The account.
        second
            Whether its second factor is forgotten, too.
        by
            Who asked.

        Raises
        ------
        RefusedError
            If the account is disabled.
        """
        with self._book.open() as database:
            if _named(database, name).disabled:
                raise RefusedError("this account is disabled", where=name, remedy="enable it first")
            self._audit.note(by, "reset-account", name, why="with its second factor" if second else "")
            database.execute("UPDATE accounts SET password = '' WHERE name = ?", (name,))
            if second:
                database.execute("UPDATE accounts SET second = '', pending = '', step = 0 WHERE name = ?", (name,))
                database.execute("DELETE FROM recovery WHERE account = ?", (name,))
            # A token that somebody else made for themselves meanwhile would outlive the new password.
            for table in ("sessions", "tokens"):
                database.execute(f"DELETE FROM {table} WHERE account = ?", (name,))  # noqa: S608 - one of these two
            return self._linked(database, name)

    def linked(self, token: str) -> Account:
        """Return whose link it is, and leave it as it is.

        Raises
        ------
        RefusedError
            If it is none, was used, or is too old.
        """
        with self._book.reading() as database:
            return self._of_link(database, token)

    def take_link(self, token: str, password: str, *, by: By) -> Account:
        """Set the password of whoever has a link, and void the link.

        Raises
        ------
        RefusedError
            If it is none, was used, or is too old.
        UserError
            If the password is easy to guess.
        """
        whose = self.linked(token)
        require_good(password, name=whose.name)
        kept = self._hashes.of(password)
        with self._book.open() as database:
            account = self._of_link(database, token)
            self._audit.note(By(account.name, "link", by.address), "set-password", account.name)
            database.execute("UPDATE accounts SET password = ? WHERE name = ?", (kept, account.name))
            database.execute("DELETE FROM links WHERE account = ?", (account.name,))
            return account

    def change_password(self, name: str, old: str, new: str, *, by: By) -> None:
        """Set a new password for somebody who knows the old one; all other sessions are ended by who calls this.

        Raises
        ------
        RefusedError
            If the old one is not right.
        UserError
            If the new one is easy to guess.
        """
        with self._book.reading() as database:
            kept = str(database.execute("SELECT password FROM accounts WHERE name = ?", (name,)).fetchone()[0])
        if not self._hashes.fits(kept, old):
            self._audit.note(by, "change-password", name, verdict="refused", why="the old password was not right")
            raise RefusedError("the old password is not right", where="old password", remedy="type it once more")
        require_good(new, name=name)
        fresh = self._hashes.of(new)
        with self._book.open() as database:
            self._audit.note(by, "change-password", name)
            database.execute("UPDATE accounts SET password = ? WHERE name = ?", (fresh, name))

    def provided(self, who: Identity, *, address: str) -> Account:
        """Make the account of somebody for whom an institution vouches, or bring it up to date.

        Raises
        ------
        RefusedError
            If the account is disabled, the name is somebody else's, or the institution gives no role here any more.
        """
        account = self._provided(who, By(who.name, "provider", address))
        if account is None or not account.roles:
            remedy = "ask an administrator of this hub which groups have one"
            raise RefusedError("your institution gives you no role at this hub", where="sign-in", remedy=remedy)
        return account

    def _provided(self, who: Identity, by: By) -> Account | None:
        with self._book.open() as database:
            query = f"SELECT {_COLUMNS} FROM accounts WHERE issuer = ? AND subject = ?"  # noqa: S608 - fixed
            row = database.execute(query, (who.issuer, who.subject)).fetchone()
            if row is None:
                return self._first(database, who, by=by) if who.roles else None
            account = account_of(row)
            if account.disabled:
                raise RefusedError("this account is disabled", where=account.name, remedy="ask an administrator")
            if (account.roles, account.sites) != (who.roles, who.sites):
                change = f"{_told(account.roles, account.sites)} → {_told(who.roles, who.sites)}"
                self._audit.note(by, "change-roles", account.name, why=change)
            database.execute(
                "UPDATE accounts SET title = ?, roles = ?, sites = ? WHERE name = ?",
                (_title(who.title, account.name), _list(who.roles), _list(who.sites), account.name),
            )
            for table in () if who.roles else ("sessions", "tokens"):
                database.execute(f"DELETE FROM {table} WHERE account = ?", (account.name,))  # noqa: S608 - one of these
            return _named(database, account.name)

    def _first(self, database: sqlite3.Connection, who: Identity, *, by: By) -> Account:
        _require_name(who.name)
        if database.execute("SELECT 1 FROM accounts WHERE name = ?", (who.name,)).fetchone():
            # Never joined by name alone: whoever chooses names at the institution would take accounts over.
            raise RefusedError(
                "there is an account of this name already, which is not your institution's",
                where=who.name,
                remedy="sign in with its password, or ask an administrator for another name at your institution",
            )
        self._audit.note(by, "add-account", who.name, why=_told(who.roles, who.sites))
        row = (who.name, _title(who.title, who.name), _list(who.roles), _list(who.sites), self._book.clock())
        database.execute(
            "INSERT INTO accounts (name, title, roles, sites, made, issuer, subject) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*row, who.issuer, who.subject),
        )
        return _named(database, who.name)

    def _linked(self, database: sqlite3.Connection, name: str) -> str:
        token = secrets.token_urlsafe(32)
        database.execute("DELETE FROM links WHERE account = ?", (name,))
        database.execute("INSERT INTO links VALUES (?, ?, ?)", (digest(token), name, self._book.clock() + LINK))
        return token

    def _of_link(self, database: sqlite3.Connection, token: str) -> Account:
        query = "SELECT account, expires FROM links WHERE hash = ?"
        found = database.execute(query, (digest(token),)).fetchone()
        if found is None or self._book.clock() > found[1]:
            raise RefusedError(
                "this link was used before, or is too old",
                remedy="ask an administrator of this hub for another: medfl hub account reset NAME",
            )
        return _named(database, str(found[0]))


def digest(secret: str) -> str:
    """Return what is kept of a secret that was drawn at random: there is nothing to guess, and a plain hash will do."""
    return hashlib.sha256(secret.encode()).hexdigest()


def account_of(row: Iterable[object]) -> Account:
    """Return an account of its columns."""
    name, title, roles, sites, disabled, made, seen, password, second, _, _, issuer, _ = row
    return Account(
        name=str(name),
        title=str(title),
        roles=frozenset(map(Role, json.loads(str(roles)))),
        sites=frozenset(json.loads(str(sites))),
        disabled=bool(disabled),
        made=float(str(made)),
        seen=float(str(seen)),
        has_password=bool(password),
        has_second=bool(second),
        issuer=str(issuer),
    )


def _named(database: sqlite3.Connection, name: str) -> Account:
    row = database.execute(f"SELECT {_COLUMNS} FROM accounts WHERE name = ?", (name,)).fetchone()  # noqa: S608 - fixed
    if row is None:
        names = [str(one) for (one,) in database.execute("SELECT name FROM accounts")]
        raise NotFoundError(
            "there is no such account",
            received=name[:80],
            remedy=did_you_mean(name, names) or "see which there are: medfl hub account list",
        )
    return account_of(row)


def _require_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise UserError(
            "this cannot be the name of an account",
            where="name",
            received=repr(name[:80]),
            remedy="take small letters and digits, with . _ - + @ between them, as in ada or ada@example.org",
        )


def _require_roles(roles: frozenset[Role], sites: frozenset[str]) -> None:
    if not roles:
        raise UserError("an account has at least one role", where="roles", remedy=f"choose of {', '.join(Role)}")
    if sites and Role.DATA_OWNER not in roles:
        raise UserError(
            "only a data owner speaks for sites", where="sites", remedy="give the role data owner, too, or no site"
        )


def _require_other_admin(database: sqlite3.Connection, account: Account) -> None:
    others = database.execute("SELECT roles FROM accounts WHERE disabled = 0 AND name != ?", (account.name,))
    if Role.ADMIN in account.roles and not any(Role.ADMIN in json.loads(str(roles)) for (roles,) in others):
        raise UserError(
            "this is the last administrator",
            where=account.name,
            remedy="give somebody else the role admin first: nobody could give it back",
        )


def _title(title: str, name: str) -> str:
    return " ".join(title.split())[:120] or name


def _list(words: Iterable[str]) -> str:
    return json.dumps(sorted(words))


def _told(roles: Iterable[Role], sites: Iterable[str]) -> str:
    spoken = ", ".join(sorted(sites))
    return ", ".join(sorted(roles)) + (f" for {spoken}" if spoken else "")
