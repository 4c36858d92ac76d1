"""Whose studies and drafts are, with whom they are shared, and which sites they name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from threading import Lock

from medfl.errors import NotFoundError
from medfl.hub.people.accounts import Accounts
from medfl.hub.people.book import Book
from medfl.hub.people.permits import Actor, Kind, Thing
from medfl.store.views import RunView


class Owners:
    """What belongs to whom at a hub.

    It is read once and kept: a list of a thousand studies asks a thousand times. Only the process that serves the pages
    writes it, and of these there is one.

    Parameters
    ----------
    book
        Where it is kept.
    accounts
        With whom things can be shared.
    runs
        Gives all runs of the store: they tell which sites a study names.
    """

    def __init__(self, book: Book, accounts: Accounts, runs: Callable[[], Iterable[RunView]]) -> None:
        self._book, self._accounts, self._runs = book, accounts, runs
        self._turn = Lock()
        self._sites: dict[str, frozenset[str]] = {}
        self._owned: dict[tuple[str, str], tuple[str, frozenset[str]]] | None = None

    def of(self, kind: Kind, name: str) -> Thing:
        """Return what is known of a thing; what nobody on the pages began has no owner."""
        with self._turn:
            if self._owned is None:
                self._owned = self._read()
            owner, shared = self._owned.get((kind, name), ("", frozenset[str]()))
        sites = self._named_by(name) if kind == "study" else frozenset[str]()
        return Thing(kind=kind, name=name, owner=owner, shared=shared, sites=sites)

    def begun(self, kind: Kind, name: str, actor: Actor) -> None:
        """Remember who began something; nobody takes over what somebody else began."""
        with self._turn:
            with self._book.open() as database:
                database.execute("INSERT OR IGNORE INTO owned VALUES (?, ?, ?, '[]')", (kind, name, actor.name))
            self._owned = None

    def share(self, kind: Kind, name: str, shared: frozenset[str]) -> None:
        """Set with which accounts something is shared, instead of those before.

        Raises
        ------
        NotFoundError
            If there is no such account.
        """
        known = {account.name for account in self._accounts.every() if not account.disabled}
        if missing := sorted(shared - known):
            raise NotFoundError(
                "there is no such account to share with", received=missing[0][:80], remedy="ask them for its name"
            )
        with self._turn:
            with self._book.open() as database:
                database.execute("INSERT OR IGNORE INTO owned VALUES (?, ?, '', '[]')", (kind, name))
                query = "UPDATE owned SET shared = ? WHERE kind = ? AND name = ?"
                database.execute(query, (json.dumps(sorted(shared)), kind, name))
            self._owned = None

    def _read(self) -> dict[tuple[str, str], tuple[str, frozenset[str]]]:
        with self._book.reading() as database:
            rows = database.execute("SELECT kind, name, owner, shared FROM owned").fetchall()
        return {(kind, name): (owner, frozenset(json.loads(shared))) for kind, name, owner, shared in rows}

    def _named_by(self, execution: str) -> frozenset[str]:
        """Return the sites that an execution names: they never change, and are read once."""
        with self._turn:
            if execution not in self._sites:
                for run in self._runs():
                    self._sites[run.execution] = self._sites.get(run.execution, frozenset()) | sites_of(run)
            return self._sites.get(execution, frozenset())


def sites_of(run: RunView) -> frozenset[str]:
    """Return the sites that a run's study names."""
    named = run.spec.get("data", {}).get("sites") or {}
    arms = [arm.get("data", {}).get("sites") or {} for arm in run.spec.get("arm", ()) if isinstance(arm, dict)]
    return frozenset(run.sites).union(run.members, named, *arms)
