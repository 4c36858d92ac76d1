"""``medfl hub account`` and ``medfl hub audit``, as they are typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from medfl.chain import FILE
from medfl.hub.people.audit import FOLDER, TERMINAL
from medfl.hub.people.consortium import People
from medfl.hub.place import HubPlace
from medfl.testing.command import Said, typed
from medfl.testing.hub import invited, made
from medfl.testing.people import GOOD, cheap

Types = Callable[..., Said]


@pytest.fixture
def hub(tmp_path: Path) -> HubPlace:
    return made(tmp_path / "hub")


@pytest.fixture
def types(hub: HubPlace) -> Types:
    return lambda *words: typed("hub", *words, "--home", hub.folder)


def test_the_first_administrator_comes_by_a_link(hub: HubPlace, types: Types) -> None:
    assert "medfl hub account add NAME --role admin" in types("account", "list").out
    said = types("account", "add", "ada", "--role", "admin", "--title", "Ada L")
    assert said.code == 0
    link = urlsplit(said.out.strip())
    assert (link.scheme, link.netloc) == ("https", f"{hub.about.host}:{hub.about.port}")
    (token,) = parse_qs(link.query)["token"]
    people = People.at(hub.folder, name="hub", hashes=cheap())
    assert people.accounts.take_link(token, GOOD, by=TERMINAL).name == "ada"
    (line,) = types("account", "list").out.splitlines()[1:]
    assert line.split() == ["ada", "admin", "never", "none", "Ada", "L"]
    (told,) = types("account", "list", "--json").json
    assert (told["name"], told["roles"], told["has_password"]) == ("ada", ["admin"], True)


def test_accounts_are_changed_and_what_cannot_be_is_said(hub: HubPlace, types: Types) -> None:
    invited(hub, "mayo")
    types("account", "add", "ada", "--role", "admin")
    said = types("account", "add", "bob", "--role", "data-owner", "--site", "mayo", "--json")
    assert said.json["account"] == "bob"
    assert types("account", "roles", "bob", "--role", "researcher").out == "bob (bob) is researcher from now on.\n"
    assert "disabled" in types("account", "disable", "bob").out
    assert types("account", "reset", "bob").code == 2
    assert types("account", "enable", "bob").code == 0
    assert "/welcome?token=" in types("account", "reset", "bob", "--second-factor").out
    for words, told in (
        (("account", "disable", "ada"), "last administrator"),
        (("account", "roles", "eve", "--role", "auditor"), "no such account"),
        (("account", "add", "eve"), "at least one role"),
        (("account", "add", "eve", "--role", "data-owner", "--site", "nowhere"), "knows no such site"),
        (("account", "add", "Eve!", "--role", "auditor"), "cannot be the name"),
    ):
        said = types(*words, "--json")
        assert (said.code, "Traceback" in said.err) == (2, False)
        assert told in said.json["error"]["complaints"][0]["what"]


def test_the_log_is_shown_and_looked_through(hub: HubPlace, types: Types) -> None:
    assert "Nothing yet" in types("audit").out
    types("account", "add", "ada", "--role", "admin")
    types("account", "add", "bob", "--role", "auditor")
    assert [line.split("  ")[1:4] for line in types("audit").out.splitlines()] == [
        ["the terminal", "add-account", "ada"],
        ["the terminal", "add-account", "bob"],
    ]
    assert [one["on"] for one in types("audit", "--find", "bob", "--json").json] == ["bob"]
    whole = types("audit", "--verify", "--json").json
    assert (whole["lines"], whole["trouble"]) == (2, "")
    assert types("audit", "--hash", whole["hash"]).code == 0
    said = types("audit", "--hash", "0" * 64)
    assert (said.code, "no line has the hash" in said.err) == (1, True)
    path = hub.folder / FOLDER / FILE
    path.write_text(path.read_text().replace("auditor", "admin"))
    said = types("audit", "--verify", "--json")
    assert said.code == 1
    assert "not as it was written" in said.json["error"]["complaints"][0]["what"]


def test_without_a_hub_it_is_said_that_there_is_none(tmp_path: Path) -> None:
    for words in (("account", "list"), ("audit",)):
        said = typed("hub", *words, "--home", tmp_path / "none")
        assert (said.code, "Traceback" in said.err) == (2, False)
