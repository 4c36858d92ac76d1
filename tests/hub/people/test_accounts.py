"""Accounts: links that are good once, long passwords, an administrator who cannot be lost, and no secret in clear."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from medfl.errors import MedflError, NotFoundError, RefusedError, StoreError, UserError
from medfl.hub.people.accounts import LINK
from medfl.hub.people.audit import TERMINAL
from medfl.hub.people.book import Book
from medfl.hub.people.consortium import People
from medfl.hub.people.passwords import SHORTEST, WORST, Hashes, require_good
from medfl.hub.people.permits import Action, Role
from medfl.hub.people.rules import rules_of
from medfl.hub.people.second import paper_hash, step_of
from medfl.hub.people.tokens import MOST
from medfl.testing.people import GOOD, Consortium, cheap


def test_an_account_begins_with_a_link_that_is_good_once(hub: Consortium) -> None:
    token = hub.people.accounts.add("ada", "Ada L", [Role.ADMIN], [], by=TERMINAL)
    assert hub.people.accounts.linked(token).title == "Ada L"
    hub.people.accounts.take_link(token, GOOD, by=TERMINAL)
    with pytest.raises(RefusedError, match="used before"):
        hub.people.accounts.take_link(token, GOOD, by=TERMINAL)


def test_a_link_grows_old(hub: Consortium) -> None:
    token = hub.people.accounts.add("ada", "", [Role.ADMIN], [], by=TERMINAL)
    hub.clock.now += LINK + 1
    with pytest.raises(RefusedError, match="too old"):
        hub.people.accounts.linked(token)


@pytest.mark.parametrize("name", ["", "Ada", "../x", "a b", "-a", "a" * 81, "ada\n"])
def test_a_name_is_plain(name: str, hub: Consortium) -> None:
    with pytest.raises(UserError, match="cannot be the name"):
        hub.people.accounts.add(name, "", [Role.AUDITOR], [], by=TERMINAL)


def test_an_account_has_a_role_and_only_data_owners_have_sites(hub: Consortium) -> None:
    with pytest.raises(UserError, match="at least one role"):
        hub.people.accounts.add("ada", "", [], [], by=TERMINAL)
    with pytest.raises(UserError, match="only a data owner"):
        hub.people.accounts.add("ada", "", [Role.AUDITOR], ["mayo"], by=TERMINAL)
    hub.has("ada", Role.DATA_OWNER, sites=("mayo",))
    with pytest.raises(UserError, match="such an account already"):
        hub.people.accounts.add("ada", "", [Role.AUDITOR], [], by=TERMINAL)
    with pytest.raises(NotFoundError, match="no such account"):
        hub.people.accounts.named("eve")


def test_the_last_administrator_stays(hub: Consortium) -> None:
    hub.has("ada", Role.ADMIN).has("bob", Role.RESEARCHER)
    with pytest.raises(UserError, match="last administrator"):
        hub.people.accounts.disable("ada", by=TERMINAL)
    with pytest.raises(UserError, match="last administrator"):
        hub.people.accounts.set_roles("ada", [Role.RESEARCHER], [], by=TERMINAL)
    hub.people.accounts.set_roles("bob", [Role.ADMIN], [], by=TERMINAL)
    assert hub.people.accounts.disable("ada", by=TERMINAL).disabled
    with pytest.raises(UserError, match="last administrator"):
        hub.people.accounts.disable("bob", by=TERMINAL)


@pytest.mark.parametrize("password", ["short", "a" * 40, *sorted(WORST)[:6], "ada ada ada ada", "x" * 300])
def test_a_password_that_is_easy_to_guess_is_refused_and_not_told(password: str) -> None:
    with pytest.raises(UserError) as told:
        require_good(password, name="ada")
    assert password not in str(told.value)
    assert told.value.complaints[0].remedy


@given(st.text(st.characters(exclude_categories=["C"]), min_size=SHORTEST, max_size=64))
def test_any_characters_make_a_password(password: str) -> None:
    try:
        require_good(password, name="ada")
    except UserError as error:
        assert "among the first" in str(error) or "characters" in str(error)


def test_passwords_are_kept_as_the_rfc_says() -> None:
    kept = Hashes().of(GOOD)
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert Hashes().fits(kept, GOOD)
    assert not Hashes().fits(kept, GOOD + "x")


def test_two_keyboards_type_one_password() -> None:
    kept = cheap().of("cafe\u0301 au lait, deux")
    assert cheap().fits(kept, "café au lait, deux")


def test_a_hash_of_other_parameters_is_made_anew_at_the_next_sign_in(hub: Consortium) -> None:
    hub.has("ada", Role.ADMIN)
    old = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(GOOD)
    with hub.people.book.open() as database:
        database.execute("UPDATE accounts SET password = ?", (old,))
    assert hub.browser().sign_in("ada").status_code == 303
    with hub.people.book.reading() as database:
        (kept,) = database.execute("SELECT password FROM accounts").fetchone()
    assert "m=8,t=1" in kept
    assert hub.browser().sign_in("ada").status_code == 303


def test_no_secret_is_kept_in_clear(hub: Consortium) -> None:
    hub.has("ada", Role.ADMIN)
    browser = hub.browser("ada")
    link = hub.people.accounts.add("bob", "", [Role.AUDITOR], [], by=TERMINAL)
    token = hub.people.tokens.make("ada", "cron", [Action.SEE_HOME], days=1, by=TERMINAL)
    secrets = [GOOD, link, token, *browser.cookies.values()]
    assert len(secrets) >= 4
    folder = hub.people.book.path.parent
    for path in folder.rglob("*"):
        if path.is_file():
            body = path.read_bytes()
            assert not [one for one in secrets if one.encode() in body], path
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_what_others_can_read_is_refused(hub: Consortium) -> None:
    hub.has("ada", Role.ADMIN)
    hub.people.book.path.chmod(0o644)
    with pytest.raises(MedflError, match="can be read by others"):
        hub.people.accounts.every()


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    path.touch(mode=0o600)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 2")
    with pytest.raises(StoreError, match="newer version"), Book(path).reading():
        pass


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    path.touch(mode=0o600)
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="cannot be read or written"), Book(path).reading():
        pass


def test_a_code_is_right_for_a_while_and_once() -> None:
    # The secret and the moments of RFC 6238, appendix B; the last six digits of its codes.
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for moment, code in ((59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")):
        assert step_of(secret, code, now=moment, after=0) == moment // 30
        assert step_of(secret, f"{code[:3]} {code[3:]}", now=moment + 30, after=0) == moment // 30
        assert step_of(secret, code, now=moment + 90, after=0) is None
        assert step_of(secret, code, now=moment, after=moment // 30) is None
    for wrong in ("", "12345", "1234567", "28708x", "２８７０８２"):
        assert step_of(secret, wrong, now=59, after=0) is None


@given(st.text(max_size=30))
def test_a_code_on_paper_may_be_typed_as_one_likes(text: str) -> None:
    assert paper_hash("abcde-fgh23") == paper_hash(" ABCDE FGH23 ")
    assert len(paper_hash(text)) == 64


def test_an_account_has_so_many_tokens(hub: Consortium) -> None:
    hub.has("ada", Role.ADMIN)
    for number in range(MOST):
        hub.people.tokens.make("ada", f"{number}", [Action.SEE_HOME], days=1, by=TERMINAL)
    with pytest.raises(UserError, match="too many tokens"):
        hub.people.tokens.make("ada", "one more", [Action.SEE_HOME], days=1, by=TERMINAL)
    hub.clock.now += 2 * 86400
    hub.people.tokens.make("ada", "later", [Action.SEE_HOME], days=1, by=TERMINAL)


@pytest.mark.parametrize(
    ("label", "scope", "days", "told"),
    [
        (" ", [Action.SEE_HOME], 1, "says what it is for"),
        ("x", [], 1, "at least one action"),
        ("x", [Action.CHANGE_PEOPLE], 1, "no token"),
        ("x", [Action.SEE_HOME], 0, "1 to 366 days"),
        ("x", [Action.SEE_HOME], 367, "1 to 366 days"),
    ],
)
def test_a_token_is_for_something_and_a_time(
    label: str, scope: list[Action], days: int, told: str, hub: Consortium
) -> None:
    hub.has("ada", Role.ADMIN)
    with pytest.raises(UserError, match=told):
        hub.people.tokens.make("ada", label, scope, days=days, by=TERMINAL)


def test_rules_are_read_and_what_is_wrong_in_them_is_told(tmp_path: Path) -> None:
    assert rules_of(tmp_path).idle_minutes == 60
    file = tmp_path / "people.toml"
    file.write_text('second_factor = ["admin"]\nidle_minutes = 30\n', encoding="utf-8")
    assert rules_of(tmp_path).second_factor == {Role.ADMIN}
    for text, told in (
        ("= x", "no TOML"),
        ("idle = 3", "no such key"),
        ("idle_minutes = 0", "greater than or equal to 1"),
        ('[provider]\nname = "x"\nissuer = "http://x.org"\nclient_id = "m"\nclient_secret = "hush"', "https"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(MedflError, match=told) as error:
            People.at(tmp_path, name="x")
        assert "hush" not in str(error.value)
    file.write_text(text.replace("http://", "https://"), encoding="utf-8")
    file.chmod(0o640)
    with pytest.raises(MedflError, match="can be read by others"):
        rules_of(tmp_path)
    file.chmod(0o600)
    assert rules_of(tmp_path).provider is not None
