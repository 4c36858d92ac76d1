"""Whose studies are, with whom they are shared, and which sites they name: over a store with a study that was run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from medfl import simulate
from medfl.errors import NotFoundError
from medfl.hub.people.audit import TERMINAL
from medfl.hub.people.book import Book
from medfl.hub.people.owners import Owners
from medfl.hub.people.permits import HERE, Actor, Role
from medfl.spec.reading import parse
from medfl.store.home import Home
from medfl.testing.pages import STUDY
from medfl.testing.people import Consortium, consortium


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Consortium, str]]:
    folder: Path = tmp_path_factory.mktemp("owners")
    results = simulate(parse(STUDY, source="study.toml"), home=folder / "store", progress=False)
    with Home(folder / "store") as home:
        yield consortium(folder / "hub", home), results.execution


def test_a_data_owner_sees_the_studies_of_their_sites_and_changes_none(run: tuple[Consortium, str]) -> None:
    hub, execution = run[0].emptied(), run[1]
    hub.has("ada", Role.DATA_OWNER, sites=("site-02",)).has("bob", Role.DATA_OWNER, sites=("mayo",))
    ada, bob = hub.browser("ada"), hub.browser("bob")
    for path in (f"/studies/{execution}/results", f"/api/studies/{execution}/watch"):
        assert [one.get(path).status_code for one in (ada, bob)] == [200, 403]
    assert [len(one.get("/api/home").json()["finished"]) for one in (ada, bob)] == [1, 0]
    assert ada.post(f"/studies/{execution}/go-on", page="/account").status_code == 403
    hub.people.accounts.set_roles("ada", [Role.DATA_OWNER], ["mayo"], by=TERMINAL)
    assert ada.get(f"/studies/{execution}/results").status_code == 403


def test_a_study_that_nobody_on_the_pages_began_is_seen_by_who_sees_all(run: tuple[Consortium, str]) -> None:
    hub, execution = run[0].emptied(), run[1]
    found = {}
    for role in (Role.ADMIN, Role.COORDINATOR, Role.RESEARCHER, Role.AUDITOR):
        name = str(role)
        hub.has(name, role)
        browser = hub.browser(name)
        found[role] = (
            browser.get(f"/studies/{execution}/results").status_code,
            len(browser.get("/api/home").json()["finished"]),
        )
    assert found == {
        Role.ADMIN: (403, 0),
        Role.COORDINATOR: (200, 1),
        Role.RESEARCHER: (403, 0),
        Role.AUDITOR: (200, 1),
    }


def test_a_coordinator_shares_a_study_with_a_researcher(run: tuple[Consortium, str]) -> None:
    hub, execution = run[0].emptied(), run[1]
    hub.has("ada", Role.COORDINATOR).has("bob", Role.RESEARCHER)
    path, bob = f"/studies/{execution}/share", hub.browser("bob")
    assert bob.get(f"/studies/{execution}/results").status_code == 403
    assert hub.browser("ada").post(path, page=path, names=" Bob,").status_code == 303
    assert bob.get(f"/studies/{execution}/results").status_code == 200
    assert bob.get(path).status_code == 403, "what is shared is not passed on"
    assert hub.browser("ada").post(path, page=path, names="").status_code == 303
    assert bob.get(f"/studies/{execution}/results").status_code == 403


def test_a_list_of_a_thousand_reads_the_file_once(
    tmp_path: Path, hub: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, read = Book(tmp_path / "people.db"), list[str]()
    connected = book._connected

    def counted() -> sqlite3.Connection:
        read.append("once more")
        return connected()

    monkeypatch.setattr(book, "_connected", counted)
    owners = Owners(book, hub.people.accounts, lambda: ())
    owners.begun("study", "a", Actor(name="ada", title="", roles=frozenset()))
    owners.begun("study", "a", Actor(name="bob", title="", roles=frozenset()))
    assert owners.of("study", "a").owner == "ada"
    for number in range(1000):
        owners.of("draft", f"{number}")
    assert len(read) == 3, "twice to write, and once to read"


def test_nothing_is_shared_with_nobody(hub: Consortium) -> None:
    things = hub.app.state.access.things
    hub.has("ada", Role.RESEARCHER).has("bob", Role.ADMIN)
    with pytest.raises(NotFoundError, match="no such account"):
        things.share("draft", "x", frozenset({"eve"}))
    things.begun("draft", "x", HERE)
    things.share("draft", "x", frozenset({"ada"}))
    assert things.of("draft", "x").shared == {"ada"}
