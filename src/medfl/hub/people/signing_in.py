"""How somebody comes in: name, password and code are right all together, or nothing is said of which was wrong.

An unknown name costs the same work as a known one. Who fails again and again waits: an address as in
:mod:`medfl.hub.pace`, and a name, whether there is such an account or not: ever longer from the address that fails, and
for a moment from everywhere, so that nobody keeps the owner of a name out by guessing at it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from medfl.errors import RefusedError, UserError
from medfl.hub.pace import Pace, counted_as
from medfl.hub.people.accounts import digest
from medfl.hub.people.audit import Audit, By
from medfl.hub.people.book import Book
from medfl.hub.people.passwords import Hashes
from medfl.hub.people.second import new_secret, paper_codes, paper_hash, step_of
from medfl.hub.people.sessions import PeopleSessions

FREE = 5
"""Failures of one name in a row before it has to wait."""
FIRST, LONGEST, EVERYWHERE = 15.0, 900.0, 30.0
"""Seconds that it waits then; twice as long after each further failure, up to a quarter of an hour at the address that
failed, and to half a minute at all others. No name is locked for good: that would let anybody keep anybody out."""
FORGOTTEN = 86400.0
"""Seconds after which failures are forgotten."""


@dataclass(frozen=True, slots=True)
class Given:
    """What somebody typed; it is never shown."""

    name: str
    password: str
    code: str = ""

    def __repr__(self) -> str:
        return "Given(…)"


class SignIn:
    """Lets people in.

    Parameters
    ----------
    book, audit
        Where accounts are kept, and what happens is written down.
    sessions, hashes
        What people are given, and what compares passwords.
    pace
        Slows an address down.
    """

    def __init__(self, book: Book, audit: Audit, sessions: PeopleSessions, hashes: Hashes, pace: Pace) -> None:
        self._book, self._audit, self._sessions, self.hashes, self._pace = book, audit, sessions, hashes, pace

    def enter(self, given: Given, *, address: str, agent: str) -> str:
        """Return a new session's secret.

        Raises
        ------
        RefusedError
            If something was not right, in the same words whatever it was; or if it was tried too often.
        """
        name = given.name.strip().lower()[:80]
        # Counted before it is looked at, so that many at the same moment are no more guesses than one after another.
        wait = self._pace.wait(address) or self._waits(name, address)
        if wait > 0:
            # Not in the audit log: whoever knocks a thousand times a second must not fill the disk.
            raise _too_often(wait)
        if not self._right(name, given):
            self._pace.refused(address)
            # A name that nobody has may be a password, typed into the wrong field.
            who = name if self._is_known(name) else "an unknown name"
            self._audit.note(By("", "session", address), "sign-in", who, verdict="refused", why="not right")
            raise RefusedError(
                "name, password or code is not right",
                where="sign-in",
                remedy="try again; a code is asked for only from who has set up a second factor",
            )
        self._forgive(name, address)
        self._audit.note(By(name, "session", address), "sign-in", name)
        return self._sessions.begin(name, address=address, agent=agent)

    @contextmanager
    def counted(self, address: str) -> Iterator[None]:
        """Count what is not right in a block for an address, as where somebody guesses in a session that is open.

        Raises
        ------
        RefusedError
            If too much was refused from there already: then the block is not begun, and nothing is counted.
        """
        if (wait := self._pace.wait(address)) > 0:
            raise _too_often(wait)
        try:
            yield
        except UserError:
            self._pace.refused(address)
            raise

    def _right(self, name: str, given: Given) -> bool:
        query = "SELECT password, second, step, disabled FROM accounts WHERE name = ?"
        with self._book.reading() as database:
            found = database.execute(query, (name,)).fetchone()
        kept, second, step, disabled = found or ("", "", 0, 1)
        # In this order, so that the work is the same for every name.
        fits = self.hashes.fits(str(kept), given.password)
        if not fits or disabled:
            return False
        with self._book.open() as database:
            if second and not self._second(database, name, (str(second), int(step)), given.code):
                return False
            if self.hashes.is_old(str(kept)):
                fresh = self.hashes.of(given.password)
                database.execute("UPDATE accounts SET password = ? WHERE name = ?", (fresh, name))
        return True

    def _second(self, database: sqlite3.Connection, name: str, kept: tuple[str, int], code: str) -> bool:
        """Take a code, of an app or of paper: each is good once, also for two who come at the same moment."""
        step = step_of(kept[0], code, now=self._book.clock(), after=kept[1])
        if step is not None:
            query = "UPDATE accounts SET step = ? WHERE name = ? AND step < ?"
            return database.execute(query, (step, name, step)).rowcount == 1
        query = "DELETE FROM recovery WHERE account = ? AND hash = ?"
        return database.execute(query, (name, paper_hash(code))).rowcount == 1

    def _is_known(self, name: str) -> bool:
        with self._book.reading() as database:
            return database.execute("SELECT 1 FROM accounts WHERE name = ?", (name,)).fetchone() is not None

    def _waits(self, name: str, address: str) -> float:
        """Return the seconds that a name has to wait; where it need not, count an attempt as if it had failed."""
        now, longest = self._book.clock(), _counted(name, address)
        with self._book.open() as database:
            database.execute("DELETE FROM attempts WHERE until < ?", (now - FORGOTTEN,))
            query = "SELECT failures, until FROM attempts WHERE who = ?"
            kept = {who: database.execute(query, (who,)).fetchone() or (0, now) for who in longest}
            wait = max(float(until) - now for _, until in kept.values())
            if wait > 0:
                return wait
            for who, (failures, _) in kept.items():
                doubled = FIRST * 2.0 ** min(failures + 1 - FREE, 20)
                after = min(longest[who], doubled) if failures + 1 >= FREE else 0.0
                database.execute("INSERT OR REPLACE INTO attempts VALUES (?, ?, ?)", (who, failures + 1, now + after))
        return 0.0

    def _forgive(self, name: str, address: str) -> None:
        with self._book.open() as database:
            database.executemany("DELETE FROM attempts WHERE who = ?", [(who,) for who in _counted(name, address)])


def _counted(name: str, address: str) -> dict[str, float]:
    """Return what an attempt is counted by, and how long each may have to wait."""
    return {digest(f"{name}\n{counted_as(address)}"): LONGEST, digest(name): EVERYWHERE}


def _too_often(wait: float) -> RefusedError:
    return RefusedError(
        "this was tried too often",
        where="sign-in",
        received=f"{wait:.0f} s to wait",
        remedy="wait that long, then try again; an administrator can send a link to a new password",
    )


class SecondFactors:
    """Sets second factors up, and takes them off.

    Parameters
    ----------
    book, audit
        Where they are kept, and where changes are written down.
    """

    def __init__(self, book: Book, audit: Audit) -> None:
        self._book, self._audit = book, audit

    def propose(self, name: str) -> str:
        """Return the secret that is to be set up, the same until that is done; empty where one is set up."""
        with self._book.open() as database:
            query = "SELECT second, pending FROM accounts WHERE name = ?"
            second, pending = database.execute(query, (name,)).fetchone()
            if second:
                return ""
            secret = str(pending) or new_secret()
            database.execute("UPDATE accounts SET pending = ? WHERE name = ?", (secret, name))
        return secret

    def confirm(self, name: str, code: str, *, by: By) -> list[str]:
        """Set up what was proposed, and return codes for paper; they are not shown again.

        Raises
        ------
        UserError
            If the code is not the one that the app shows.
        """
        secret = self.propose(name)
        step = step_of(secret, code, now=self._book.clock(), after=0) if secret else None
        if step is None:
            raise UserError(
                "this is not the code that the app shows" if secret else "a second factor is set up already",
                where="code",
                remedy="wait for the next code, and see that the clock of the telephone is right",
            )
        codes = paper_codes()
        with self._book.open() as database:
            self._audit.note(by, "set-second-factor", name)
            query = "UPDATE accounts SET second = ?, pending = '', step = ? WHERE name = ?"
            database.execute(query, (secret, step, name))
            database.execute("DELETE FROM recovery WHERE account = ?", (name,))
            rows = [(name, paper_hash(one)) for one in codes]
            database.executemany("INSERT INTO recovery VALUES (?, ?)", rows)
        return codes

    def left(self, name: str) -> int:
        """Return how many codes for paper are left."""
        with self._book.reading() as database:
            query = "SELECT count(*) FROM recovery WHERE account = ?"
            return int(database.execute(query, (name,)).fetchone()[0])
