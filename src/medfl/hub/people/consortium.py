"""All that a consortium's hub knows of its people, and what stands before its pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from starlette.middleware import Middleware

from medfl.hub.pace import Pace
from medfl.hub.people.access import Access
from medfl.hub.people.accounts import Accounts
from medfl.hub.people.audit import FOLDER, Audit
from medfl.hub.people.book import FILE, Book
from medfl.hub.people.entrance import PeopleEntrance
from medfl.hub.people.gate import Gate, Noting
from medfl.hub.people.owners import Owners
from medfl.hub.people.passwords import Hashes
from medfl.hub.people.provider import ProviderSignIn
from medfl.hub.people.rules import PeopleRules, rules_of
from medfl.hub.people.sessions import PeopleSessions
from medfl.hub.people.signing_in import SecondFactors, SignIn
from medfl.hub.people.tokens import Tokens
from medfl.store.views import RunView


@dataclass(frozen=True, slots=True)
class People:
    """The people of a hub.

    Parameters
    ----------
    name
        What people call the hub.
    rules
        What is asked of them.
    accounts, sessions, tokens, second
        Who they are, and how they come in.
    sign_in, pace
        Lets them in, and slows down who is refused.
    audit, book
        What they did, and where all of it is kept.
    provider
        The sign-in of an institution, where there is one.
    """

    name: str
    rules: PeopleRules
    accounts: Accounts
    sessions: PeopleSessions
    tokens: Tokens
    second: SecondFactors
    sign_in: SignIn
    pace: Pace
    audit: Audit
    book: Book
    provider: ProviderSignIn | None = None

    @classmethod
    def at(
        cls,
        folder: Path,
        *,
        name: str,
        clock: Callable[[], float] = time.time,
        hashes: Hashes | None = None,
        pace: Pace | None = None,
    ) -> People:
        """Return the people of the hub in a folder; nothing is written before somebody is added.

        Parameters
        ----------
        folder
            The hub's.
        name
            What people call the hub.
        clock, hashes, pace
            Tells seconds since 1970, does the work on passwords, and slows addresses down; for tests.

        Raises
        ------
        SpecError
            If something is wrong in ``people.toml``.
        """
        rules, audit, book = rules_of(folder), Audit(folder / FOLDER), Book(folder / FILE, clock)
        work, pace = hashes or Hashes(), pace or Pace()
        idle, longest = rules.idle_minutes * 60.0, rules.longest_hours * 3600.0
        sessions = PeopleSessions(book, idle=idle, longest=longest)
        return cls(
            name=name,
            rules=rules,
            accounts=Accounts(book, audit, work),
            sessions=sessions,
            tokens=Tokens(book, audit),
            second=SecondFactors(book, audit),
            sign_in=SignIn(book, audit, sessions, work, pace),
            pace=pace,
            audit=audit,
            book=book,
            provider=None if rules.provider is None else ProviderSignIn(rules.provider, clock),
        )

    def before(
        self, *, hosts: Iterable[str], runs: Callable[[], Iterable[RunView]], open_to_all: tuple[str, ...]
    ) -> tuple[Access, Middleware]:
        """Return what the pages ask about people, and what stands before them.

        Parameters
        ----------
        hosts
            By what browsers reach the hub, as in "hub.example.org:8443".
        runs
            Gives all runs of the store.
        open_to_all
            Beginnings of paths that need no session, such as stylesheets.
        """
        entrance = PeopleEntrance(self.sessions, self.tokens, self.rules.second_factor)
        access = Access(entrance, Owners(self.book, self.accounts, runs), Noting(self.audit))
        return access, Middleware(
            Gate, entrance=entrance, hosts=frozenset(hosts), pace=self.pace, open_to_all=open_to_all
        )
