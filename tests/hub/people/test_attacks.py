"""What somebody tries who wants in, or more than is theirs: at the door, in a session, with a token, by headers."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from medfl.chain import FILE
from medfl.errors import StoreError
from medfl.hub.behind import Behind
from medfl.hub.people.audit import FOLDER, TERMINAL
from medfl.hub.people.entrance import BEFORE, COOKIE, PeopleEntrance
from medfl.hub.people.gate import safe_next
from medfl.hub.people.permits import Action, Role
from medfl.hub.people.signing_in import FREE, LONGEST, Given
from medfl.store.home import Home
from medfl.testing.pages import STUDY
from medfl.testing.people import GOOD, HOST, Browser, Consortium, consortium

WRONG = "name, password or code is not right"


def second_factor(hub: Consortium, browser: Browser) -> tuple[pyotp.TOTP, list[str]]:
    """Set a second factor up as a person does; return the app and the codes on paper."""
    page = browser.get("/account").text
    secret = re.findall(r"<code>([A-Z2-7 ]{39})</code>", page)[0].replace(" ", "")
    totp = pyotp.TOTP(secret)
    answer = browser.post("/account/second", page="/account", code=totp.at(int(hub.clock.now)))
    codes = re.findall(r"<li><code>([a-z0-9]{5}-[a-z0-9]{5})</code>", answer.text)
    assert len(codes) == 10
    hub.clock.now += 60
    return totp, codes


# At the door


def test_nobody_sees_a_page_before_they_have_signed_in(hub: Consortium) -> None:
    browser = hub.browser()
    answer = browser.get("/studies/x/watch?a=1&b=2")
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/sign-in?next=%2Fstudies%2Fx%2Fwatch%3Fa%3D1%26b%3D2",
    )
    assert browser.get("/api/home").status_code == 401
    assert browser.get("/", **{"hx-request": "true"}).status_code == 401
    assert browser.ask("POST", "/studies", data={"text": STUDY}).status_code == 401


def test_nobody_watches_who_has_not_signed_in(hub: Consortium) -> None:
    said: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        said.append(message)

    async def connected(headers: list[tuple[bytes, bytes]]) -> None:
        scope = {"type": "websocket", "path": "/live/x", "raw_path": b"/live/x", "query_string": b"", "scheme": "wss"}
        await hub.app(scope | {"headers": headers, "subprotocols": [], "client": ("192.0.2.7", 1)}, receive, send)

    host = (b"host", HOST.encode())
    for headers in ([], [host], [host, (b"origin", b"https://evil.example")], [(b"host", b"evil.example")]):
        asyncio.run(connected(headers))
        assert said.pop() == {"type": "websocket.close", "code": 1008}


def test_who_signs_in_comes_to_where_they_wanted(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER)
    answer = hub.browser().sign_in("ada", back="/new")
    assert (answer.status_code, answer.headers["location"]) == (303, "/new")


def test_a_wrong_name_and_a_wrong_password_and_a_wrong_code_read_the_same(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER).has("bob", Role.RESEARCHER)
    second_factor(hub, hub.browser("bob"))
    told = set()
    for name, password, code in (("eve", GOOD, ""), ("ada", "x", ""), ("bob", GOOD, "000000"), ("bob", GOOD, "")):
        answer = hub.browser().sign_in(name, password, code)
        assert answer.status_code == 403
        assert WRONG in answer.text.lower()
        told.add(re.sub(r'value="[^"]*"|[0-9a-f]{64}', "", answer.text))
    assert len(told) == 1


def test_an_unknown_name_costs_the_same_work(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER)
    work = hub.people.sign_in.hashes
    made = []
    for name in ("ada", "eve", ""):
        before = work.made
        hub.browser().sign_in(name, "not the right one")
        made.append(work.made - before)
    assert made == [1, 1, 1]


def test_a_name_waits_longer_and_longer_whether_it_is_known_or_not(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER)
    for name in ("ada", "eve"):
        for number in range(FREE):
            # From everywhere, so that it is not the address that waits.
            browser = replace(hub.browser(), address=f"192.0.2.{number}")
            assert WRONG in browser.sign_in(name, "wrong").text.lower()
        other = replace(hub.browser(), address="198.51.100.1")
        assert "tried too often" in other.sign_in(name).text.lower()
        hub.clock.now += 16
        assert WRONG in other.sign_in(name, "wrong").text.lower()
        hub.clock.now += 16
        assert "tried too often" in other.sign_in(name).text.lower()
        hub.clock.now += LONGEST
    assert hub.browser().sign_in("ada").status_code == 303


def test_nobody_is_kept_out_by_somebody_who_guesses_without_a_pause(hub: Consortium) -> None:
    """The address that guesses waits ever longer, and the owner of the name half a minute at most."""
    hub.has("ada", Role.RESEARCHER)
    thief, kept_out = replace(hub.browser(), address="198.51.100.9"), 0
    for _ in range(120):
        hub.clock.now += 10
        thief.sign_in("ada", "wrong")
    while hub.browser().sign_in("ada").status_code != 303:
        hub.clock.now += 10
        kept_out += 10
    assert kept_out <= 30


def test_a_whole_network_guesses_no_more_than_one_address(hub: Consortium) -> None:
    """Who has an address of IPv6 has 2⁶⁴ of them."""
    hub.has("ada", Role.RESEARCHER)
    for number in range(FREE + 2):
        assert WRONG in replace(hub.browser(), address=f"2001:db8::{number}").sign_in("ada", "wrong").text.lower()
        hub.clock.now += 31
    assert "tried too often" in replace(hub.browser(), address="2001:db8::ffff").sign_in("ada").text.lower()
    assert replace(hub.browser(), address="2001:db8:0:1::1").sign_in("ada").status_code == 303


def test_a_name_that_nobody_has_is_not_written_down(hub: Consortium) -> None:
    """It may be a password that was typed into the wrong field."""
    hub.browser().sign_in("my secret passphrase", "x")
    assert [entry.on for entry in hub.people.audit.read() if entry.verdict == "refused"] == ["an unknown name"]


def test_an_address_waits_that_tries_many_names(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER)
    for number in range(20):
        hub.browser().sign_in(f"name-{number}", "wrong")
    assert "tried too often" in hub.browser().sign_in("ada").text.lower()
    assert replace(hub.browser(), address="198.51.100.1").sign_in("ada").status_code == 303


def test_many_guesses_at_one_moment_are_counted_before_they_are_looked_at(
    hub: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.has("ada", Role.RESEARCHER)
    counted = []
    work = hub.people.sign_in.hashes
    fits = work.fits

    def slow(kept: str, password: str) -> bool:
        with hub.people.book.reading() as database:
            counted.append(database.execute("SELECT failures FROM attempts").fetchone()[0])
        return fits(kept, password)

    monkeypatch.setattr(work, "fits", slow)
    hub.browser().sign_in("ada", "wrong")
    hub.browser().sign_in("ada", "wrong")
    assert counted == [1, 2]


def test_a_session_that_somebody_planted_is_not_taken_over(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER)
    browser = hub.browser()
    browser.cookies.set(COOKIE, "planted", domain="hub.example.org")
    browser.sign_in("ada")
    assert browser.cookies[COOKIE] != "planted"
    assert BEFORE not in browser.cookies
    planted = hub.browser()
    planted.cookies.set(COOKIE, "planted", domain="hub.example.org")
    assert planted.get("/").status_code == 303


def test_each_sign_in_is_a_new_session_and_ends_the_one_before_it(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER).has("bob", Role.RESEARCHER)
    browser = hub.browser("ada")
    first = browser.cookies[COOKIE]
    token = browser.token("/account")
    sent = {"csrf": token, "name": "bob", "password": GOOD}
    assert browser.ask("POST", "/sign-in", data={**sent}).status_code == 303
    assert browser.cookies[COOKIE] != first
    assert hub.people.sessions.known(first) is None


def test_a_sign_in_from_another_page_is_refused(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER)
    browser = hub.browser()
    assert browser.ask("POST", "/sign-in", data={"name": "ada", "password": GOOD}).status_code == 403
    token = browser.token("/sign-in")
    sent: dict[str, str | list[str]] = {"name": "ada", "password": GOOD, "csrf": token}
    foreign = {"origin": "https://evil.example"}
    assert browser.ask("POST", "/sign-in", data=sent, headers=foreign).status_code == 403
    assert hub.browser().ask("POST", "/sign-in", data=sent).status_code == 403


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil", "javascript:alert(1)", "/a\nb", "", "/é"],
)
def test_a_sign_in_leads_nowhere_else(path: str, hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER)
    assert hub.browser().sign_in("ada", back=path).headers["location"] == "/"


@given(st.text(st.sampled_from("/\\:.@ \t\nabé%"), max_size=12))
def test_where_a_sign_in_leads_is_always_a_path_of_this_hub(path: str) -> None:
    found = safe_next(path)
    assert found.startswith("/")
    assert not found.startswith(("//", "/\\"))
    assert found.isprintable()


def test_another_name_of_the_hub_is_answered_nothing(hub: Consortium) -> None:
    answer = hub.browser().get("/sign-in", host="evil.example")
    assert answer.status_code == 421
    assert "evil" not in answer.text


def test_an_address_in_a_header_is_not_believed(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER)
    headers = {"x-forwarded-for": "203.0.113.9", "forwarded": "for=203.0.113.9", "x-real-ip": "203.0.113.9"}
    browser = hub.browser()
    sent: dict[str, str | list[str]] = {"csrf": browser.token("/sign-in"), "name": "ada", "password": GOOD}
    browser.ask("POST", "/sign-in", headers=headers, data=sent)
    assert {entry.address for entry in hub.people.audit.read() if entry.what == "sign-in"} == {"192.0.2.7"}


def test_behind_a_stated_web_server_each_has_their_own_patience(hub: Consortium) -> None:
    """Who guesses through it makes nobody else wait, and gains nothing by naming others."""
    hub.has("ada", Role.RESEARCHER)
    behind = Behind(hub.app, "10.0.0.1")

    def through(address: str, said: str) -> Browser:
        return Browser(behind, address=address, always={"x-forwarded-for": said})

    for number in range(30):
        through("10.0.0.1", f"192.0.2.{number}, 198.51.100.9").sign_in(f"name-{number}", "wrong")
    thief = through("10.0.0.1", "203.0.113.5, 198.51.100.9")
    assert "tried too often" in thief.sign_in("ada").text.lower()
    assert through("10.0.0.1", "198.51.100.1").sign_in("ada").status_code == 303
    for number in range(30):
        through("198.51.100.77", f"198.51.100.{number}").sign_in(f"name-{number}", "wrong")
    assert "tried too often" in through("198.51.100.77", "198.51.100.200").sign_in("ada").text.lower()
    kept = {entry.address for entry in hub.people.audit.read() if entry.what == "sign-in"}
    assert kept == {"198.51.100.9", "198.51.100.1", "198.51.100.77"}


def test_the_session_is_in_a_cookie_that_nothing_else_reads(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER)
    for cookie in hub.browser().sign_in("ada").headers.get_list("set-cookie"):
        assert cookie.startswith("__Host-")
        for word in ("HttpOnly", "Secure", "Path=/", "SameSite=lax"):
            assert word in cookie
        assert "Domain" not in cookie


def test_what_was_typed_is_not_shown_when_it_is_printed() -> None:
    assert "hush" not in repr(Given("ada", "hush", "123456"))


# In a session


def test_a_session_ends_by_idleness_and_by_age(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER)
    browser = hub.browser("ada")
    hub.clock.now += 3500
    assert browser.get("/").status_code == 200
    hub.clock.now += 3500
    assert browser.get("/").status_code == 200
    hub.clock.now += 3700
    assert browser.get("/").status_code == 303
    browser = hub.browser("ada")
    for _ in range(12 * 2 - 1):
        hub.clock.now += 1800
        assert browser.get("/").status_code == 200
    hub.clock.now += 1900
    assert browser.get("/").status_code == 303


def test_somebody_who_is_disabled_is_out_at_once_with_every_session_and_token(hub: Consortium) -> None:
    hub.has("ada", Role.ADMIN).has("bob", Role.RESEARCHER)
    browser, admin = hub.browser("bob"), hub.browser("ada")
    token = hub.people.tokens.make("bob", "cron", [Action.SEE_HOME], days=1, by=TERMINAL)
    bearer = {"authorization": f"Bearer {token}"}
    assert browser.get("/").status_code == hub.browser().get("/api/home", **bearer).status_code == 200
    assert admin.post("/people/bob/disable", page="/people").status_code == 303
    assert browser.get("/").status_code == 303
    assert hub.browser().get("/api/home", **bearer).status_code == 401
    assert hub.browser().sign_in("bob").status_code == 403
    assert admin.post("/people/bob/enable", page="/people").status_code == 303
    assert hub.browser().get("/api/home", **bearer).status_code == 401
    assert hub.browser().sign_in("bob").status_code == 303


def test_a_role_that_is_taken_away_is_gone_at_once(hub: Consortium) -> None:
    hub.has("ada", Role.ADMIN).has("bob", Role.RESEARCHER, Role.ADMIN)
    browser, admin = hub.browser("bob"), hub.browser("ada")
    assert browser.get("/people").status_code == browser.get("/new").status_code == 200
    assert admin.post("/people/bob/roles", page="/people", roles=["auditor"]).status_code == 303
    assert browser.get("/new").status_code == 403
    assert "an auditor reads everything and changes nothing" in browser.get("/new").text
    token = browser.token("/account")
    answer = browser.ask("POST", "/people", data={"csrf": token, "name": "eve", "roles": ["admin"]})
    assert answer.status_code == 403


def test_who_watches_by_a_socket_is_looked_up_again_and_again(hub: Consortium) -> None:
    from starlette.requests import HTTPConnection

    hub.has("ada", Role.ADMIN).has("bob", Role.COORDINATOR)
    browser = hub.browser("bob")
    entrance = hub.app.state.access.entrance
    assert isinstance(entrance, PeopleEntrance)
    headers = [(b"cookie", f"{COOKIE}={browser.cookies[COOKIE]}".encode())]
    socket = HTTPConnection({"type": "websocket", "headers": headers, "path": "/live/x"})
    assert entrance.actor(socket).roles == {Role.COORDINATOR}
    hub.people.accounts.disable("bob", by=TERMINAL)
    assert not entrance.actor(socket).name


def test_a_change_carries_the_token_of_its_own_session(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER).has("bob", Role.RESEARCHER)
    ada, bob = hub.browser("ada"), hub.browser("bob")
    for token in ("", "0" * 64, bob.token("/account")):
        answer = ada.ask("POST", "/studies", data={"csrf": token, "text": STUDY})
        assert answer.status_code == 403
        assert "did not come from a page of this session" in answer.text
    assert not hub.carries.asked
    assert ada.post("/studies", page="/account", text=STUDY).status_code == 303
    assert hub.carries.asked == ["launch tumours"]


def test_a_sign_out_ends_the_session_for_good(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER)
    browser = hub.browser("ada")
    kept = browser.cookies[COOKIE]
    assert browser.post("/sign-out", page="/account").status_code == 303
    assert COOKIE not in browser.cookies
    assert hub.people.sessions.known(kept) is None


def test_a_new_password_ends_all_other_sessions(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER)
    here, there = hub.browser("ada"), hub.browser("ada")
    new = "nine brass kettles in a row"
    assert here.post("/account/password", page="/account", old="wrong", new=new, again=new).status_code == 400
    assert here.post("/account/password", page="/account", old=GOOD, new=new, again="x").status_code == 400
    assert there.get("/").status_code == 200
    assert here.post("/account/password", page="/account", old=GOOD, new=new, again=new).status_code == 200
    assert (here.get("/").status_code, there.get("/").status_code) == (200, 303)
    assert hub.browser().sign_in("ada").status_code == 403
    assert hub.browser().sign_in("ada", new).status_code == 303


def test_one_ends_ones_own_sessions_and_nobody_elses(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER).has("bob", Role.RESEARCHER)
    here, there, bob = hub.browser("ada"), hub.browser("ada"), hub.browser("bob")
    (theirs,) = [one["name"] for one in bob.get("/api/account").json()["sessions"]]
    here.post("/account/sessions/end", page="/account", session=theirs)
    assert bob.get("/").status_code == 200
    (other,) = [one["name"] for one in here.get("/api/account").json()["sessions"] if not one["here"]]
    here.post("/account/sessions/end", page="/account", session=other)
    assert (here.get("/").status_code, there.get("/").status_code) == (200, 303)


def test_a_reset_voids_the_password_and_the_sessions(hub: Consortium) -> None:
    hub.has("ada", Role.ADMIN).has("bob", Role.RESEARCHER)
    bob = hub.browser("bob")
    answer = hub.browser("ada").post("/people/bob/reset", page="/people")
    link = re.findall(r"/welcome\?token=[\w-]+", answer.text)[0]
    assert bob.get("/").status_code == 303
    assert hub.browser().sign_in("bob").status_code == 403
    fresh = "nine brass kettles in a row"
    token = link.partition("=")[2]
    answer = hub.browser().post("/welcome", page=link, token=token, password=fresh, again=fresh)
    assert answer.headers["location"] == "/sign-in?done=password"
    assert hub.browser().sign_in("bob", fresh).status_code == 303
    assert hub.browser().get(link).status_code == 403


# The second factor


def test_a_code_is_asked_for_and_good_once(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER)
    totp, codes = second_factor(hub, hub.browser("ada"))
    assert hub.browser().sign_in("ada").status_code == 403
    code = totp.at(int(hub.clock.now))
    assert hub.browser().sign_in("ada", code=code).status_code == 303
    assert hub.browser().sign_in("ada", code=code).status_code == 403
    assert hub.browser().sign_in("ada", code=codes[3].upper()).status_code == 303
    assert hub.browser().sign_in("ada", code=codes[3]).status_code == 403
    assert hub.browser("").get("/sign-in").status_code == 200


def test_a_right_code_does_not_replace_the_password(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER)
    totp, codes = second_factor(hub, hub.browser("ada"))
    assert hub.browser().sign_in("ada", "wrong", codes[0]).status_code == 403
    assert hub.browser().sign_in("ada", GOOD, codes[0]).status_code == 303, "a wrong password uses no code up"
    assert hub.browser().sign_in("ada", "wrong", totp.at(int(hub.clock.now))).status_code == 403


def test_who_must_have_a_second_factor_reaches_nothing_before(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir(mode=0o700)
    (tmp_path / "hub" / "people.toml").write_text('second_factor = ["admin"]\n', encoding="utf-8")
    with Home(tmp_path / "store") as home:
        hub = consortium(tmp_path / "hub", home).has("ada", Role.ADMIN).has("bob", Role.RESEARCHER)
        assert hub.browser("bob").get("/").status_code == 200
        browser = hub.browser()
        assert browser.sign_in("ada").headers["location"] == "/account"
        assert browser.get("/people").status_code == 403
        assert "asks for a second factor" in browser.get("/people").text
        token = hub.people.tokens.make("ada", "cron", [Action.SEE_PEOPLE], days=1, by=TERMINAL)
        assert hub.browser().get("/api/people", authorization=f"Bearer {token}").status_code == 403
        second_factor(hub, browser)
        assert browser.get("/people").status_code == 200


# With a token


def test_a_token_does_what_it_is_for_and_nothing_else(hub: Consortium) -> None:
    hub.has("ada", Role.ADMIN, Role.RESEARCHER)
    browser = hub.browser("ada")
    sent: dict[str, str | list[str]] = {"label": "cron", "days": "3", "scope": ["see-home", "launch-study"]}
    page = browser.post("/account/tokens", page="/account", **sent).text
    token = re.findall(r"medfl_[\w-]{43}", page)[0]
    assert token not in browser.get("/account").text
    bearer, program = {"authorization": f"Bearer {token}"}, hub.browser()
    assert program.get("/api/home", **bearer).status_code == 200
    answer = program.get("/api/people", **bearer)
    assert answer.status_code == 403
    assert answer.json()["error"][0]["what"] == "this token was not made to see who is here"
    assert program.ask("POST", "/studies", headers=bearer, data={"text": STUDY}).status_code == 303
    answer = program.ask("POST", "/people", headers=bearer, data={"name": "eve", "roles": ["admin"]})
    assert answer.status_code == 403
    assert "a token may not change accounts" in answer.text
    hub.clock.now += 3 * 86400 + 1
    assert program.get("/api/home", **bearer).status_code == 401


def test_a_token_is_not_made_for_what_no_token_may(hub: Consortium) -> None:
    hub.has("ada", Role.ADMIN)
    sent: dict[str, str | list[str]] = {"label": "x", "days": "3", "scope": ["change-people", "nonsense"]}
    answer = hub.browser("ada").post("/account/tokens", page="/account", **sent)
    assert answer.status_code == 400
    assert "no token" in answer.text


def test_a_wrong_token_is_not_made_good_by_a_cookie(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER)
    browser = hub.browser("ada")
    for sent in ("Bearer medfl_x", "Bearer", "Basic YWRhOng=", "medfl_x"):
        assert browser.get("/", authorization=sent).status_code == 401
    secret = browser.cookies[COOKIE]
    assert hub.browser().get("/", authorization=f"Bearer {secret}").status_code == 401


def test_who_guesses_tokens_waits(hub: Consortium) -> None:
    found = [hub.browser().get("/api/home", authorization=f"Bearer medfl_{n}").status_code for n in range(21)]
    assert found == [401] * 20 + [429]


def test_a_revoked_token_is_none(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER)
    token = hub.people.tokens.make("ada", "cron", [Action.SEE_HOME], days=1, by=TERMINAL)
    browser = hub.browser("ada")
    (line,) = browser.get("/api/account").json()["tokens"]
    browser.post("/account/tokens/revoke", page="/account", token=line["name"])
    assert hub.browser().get("/api/home", authorization=f"Bearer {token}").status_code == 401


# What is somebody else's


def test_a_draft_is_its_owners_and_theirs_with_whom_it_is_shared(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER).has("bob", Role.RESEARCHER).has("uma", Role.AUDITOR)
    ada, bob, uma = hub.browser("ada"), hub.browser("bob"), hub.browser("uma")
    path = ada.post("/drafts", page="/account", text=STUDY).headers["location"]
    home = [len(one.get("/api/home").json()["drafts"]) for one in (ada, bob, uma)]
    assert home == [1, 0, 1]
    assert [one.get(path).status_code for one in (ada, bob, uma)] == [200, 403, 200]
    for change in ("set", "text", "remove", "share", "look", "copy"):
        sent = {"revision": "1", "path": "study.name", "value": "x", "names": "bob"}
        assert bob.ask("POST", f"{path}/{change}", data={"csrf": bob.token("/account"), **sent}).status_code == 403
    assert ada.post(f"{path}/share", page=f"{path}/share", names="bob eve").status_code == 400
    assert ada.post(f"{path}/share", page=f"{path}/share", names="bob").status_code == 303
    assert bob.get(path).status_code == 200
    sent = {"revision": "1", "text": STUDY + "\n# bob\n"}
    assert bob.post(f"{path}/text", page="/account", **sent).status_code == 200
    assert bob.post(f"{path}/remove", page="/account").status_code == 403
    assert uma.post(f"{path}/text", page="/account", **sent).status_code == 403
    assert ada.post(f"{path}/share", page=f"{path}/share", names="").status_code == 303
    assert bob.get(path).status_code == 403


# What is written down


def test_every_sign_in_refusal_and_change_is_written_down(hub: Consortium) -> None:
    hub.has("ada", Role.ADMIN).has("bob", Role.AUDITOR)
    bob = hub.browser("bob")
    bob.get("/new")
    hub.browser().sign_in("bob", "wrong")
    hub.browser("ada").post("/people/bob/roles", page="/people", roles=["researcher"])
    bob.post("/studies", page="/account", text=STUDY)
    told = [(one.who, one.what, one.on, one.verdict) for one in hub.people.audit.read()]
    assert told == [
        ("", "add-account", "ada", "done"),
        ("ada", "set-password", "ada", "done"),
        ("", "add-account", "bob", "done"),
        ("bob", "set-password", "bob", "done"),
        ("bob", "sign-in", "bob", "done"),
        ("bob", "begin-draft", "/new", "refused"),
        ("", "sign-in", "bob", "refused"),
        ("ada", "sign-in", "ada", "done"),
        ("ada", "change-roles", "bob", "done"),
        ("bob", "launch-study", "/studies", "allowed"),
    ]
    (change,) = [one for one in hub.people.audit.read() if one.what == "change-roles"]
    assert change.why == "auditor → researcher"
    assert hub.people.audit.verify().trouble == ""


def test_a_line_that_is_changed_or_cut_off_is_noticed_on_the_page(hub: Consortium) -> None:
    hub.has("ada", Role.ADMIN)
    browser = hub.browser("ada")
    assert "The chain is whole" in browser.get("/audit?look=true").text
    path = hub.people.book.path.parent / FOLDER / FILE
    whole = path.read_text()
    path.write_text(whole.replace("set-password", "set-passw0rd"))
    assert "The chain is broken" in browser.get("/audit?look=true").text
    path.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    assert browser.get("/api/audit?look=true").json()["trouble"].startswith("the end was cut off")


def test_nothing_is_changed_that_cannot_be_written_down(hub: Consortium) -> None:
    hub.has("ada", Role.ADMIN, Role.RESEARCHER)
    browser = hub.browser("ada")
    token = browser.token("/account")
    (hub.people.book.path.parent / FOLDER / "head.json").write_text("{}")
    assert browser.ask("POST", "/studies", data={"csrf": token, "text": STUDY}).status_code == 500
    assert not hub.carries.asked
    with pytest.raises(StoreError, match="audit log is damaged"):
        hub.people.accounts.set_roles("ada", [Role.AUDITOR, Role.ADMIN], [], by=TERMINAL)
    assert hub.people.accounts.named("ada").roles == {Role.ADMIN, Role.RESEARCHER}


def test_the_log_is_found_through_and_taken_along(hub: Consortium) -> None:
    hub.has("ada", Role.ADMIN).has("bob", Role.RESEARCHER)
    browser = hub.browser("ada")
    told = browser.get("/api/audit?words=bob+add").json()
    assert [one["on"] for one in told["entries"]] == ["bob"]
    lines = [json.loads(line) for line in browser.get("/audit.jsonl").text.splitlines()]
    assert [line["line"] for line in lines] == list(range(1, len(lines) + 1))
    assert [line["before"] for line in lines[1:]] == [line["hash"] for line in lines[:-1]]
    assert lines[-1]["what"] == "take-audit"
    assert hub.browser("bob").get("/audit").status_code == 403


@pytest.mark.parametrize("block", [1, 7, 256, 2**16])
def test_the_log_is_read_from_its_end(block: int, hub: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medfl.chain._BLOCK", block)
    for number in range(12):
        hub.people.audit.note(TERMINAL, "x" * (17 * number), f"{number}")
    path = hub.people.book.path.parent / FOLDER / FILE
    with path.open("ab") as file:
        file.write(b'{"cut off by a')
    assert [entry.on for entry in hub.people.audit.last(1000)] == [str(one) for one in reversed(range(12))]
    assert [entry.on for entry in hub.people.audit.last(2)] == ["11", "10"]


def test_what_elsewhere_sends_is_shown_as_text(hub: Consortium) -> None:
    hub.has("ada", Role.ADMIN)
    browser = hub.browser()
    browser.sign_in("<script>alert(1)</script>", "wrong")
    headers = {"user-agent": "<img src=x onerror=alert(1)>"}
    sent: dict[str, str | list[str]] = {"csrf": browser.token("/sign-in"), "name": "ada", "password": GOOD}
    browser.ask("POST", "/sign-in", headers=headers, data=sent)
    for path in ("/audit", "/account", "/people"):
        page = browser.get(path).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page


def test_whoever_has_not_signed_in_may_choose_a_language(hub: Consortium) -> None:
    browser = hub.browser()
    sent: dict[str, str | list[str]] = {"language": "fr", "back": "/sign-in", "csrf": browser.token("/sign-in")}
    answer = browser.ask("POST", "/language", data=sent)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert "Se connecter" in browser.get("/sign-in").text
    assert hub.browser().ask("POST", "/language", data={"language": "fr"}).status_code == 403
