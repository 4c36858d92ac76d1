"""Whoever is signed in reaches what is theirs, also by a socket, as JSON, or by what was shared with them once."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from starlette.types import Message

from medfl.hub.pages.design.drafts import Drafts
from medfl.hub.people.entrance import COOKIE
from medfl.hub.people.permits import Role
from medfl.testing.pages import STUDY
from medfl.testing.people import GOOD, HOST, Browser, Consortium

HOSTILE = STUDY.replace("Is it <malignant> & so on?", "<script>alert(1)</script>")


def closed_with(hub: Consortium, browser: Browser, **headers: str) -> int:
    """Return the code with which a socket of a signed-in browser is closed."""
    said: list[Message] = []
    sent = {"host": HOST, "cookie": f"{COOKIE}={browser.cookies[COOKIE]}"} | headers

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        said.append(message)

    scope = {"type": "websocket", "path": "/live/0123456789ab", "raw_path": b"/live/0123456789ab", "scheme": "wss"}
    scope |= {"headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()]}
    scope |= {"subprotocols": [], "client": ("192.0.2.7", 1), "query_string": b""}
    asyncio.run(hub.app(scope, receive, send))
    return int(next(one["code"] for one in said if one["type"] == "websocket.close"))


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": f"https://{HOST}.evil.example"},
        {"origin": f"https://evil.example/{HOST}"},
        {"origin": "https://hub.example.org"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"origin": f"https://{HOST}", "sec_fetch_site": "same-site"},
        {"host": "evil.example"},
    ],
)
def test_a_page_of_another_origin_opens_no_socket_in_somebodys_session(
    headers: dict[str, str], hub: Consortium
) -> None:
    browser = hub.has("ada", Role.COORDINATOR).browser("ada")
    assert closed_with(hub, browser, origin=f"https://{HOST}", sec_fetch_site="same-origin") == 4404
    assert closed_with(hub, browser, **headers) == 1008


def test_what_was_shared_is_changed_and_no_more_and_ends_at_once(hub: Consortium) -> None:
    hub.has("ada", Role.RESEARCHER).has("bob", Role.RESEARCHER).has("eve", Role.RESEARCHER)
    ada, bob, eve = hub.browser("ada"), hub.browser("bob"), hub.browser("eve")
    draft = ada.post("/drafts", page="/new", text=HOSTILE).headers["location"]
    assert ada.post(f"{draft}/share", page="/account", names="bob").status_code == 303
    page = bob.get(draft)
    assert page.status_code == 200
    assert "<script>alert" not in page.text, "what somebody else wrote is text"

    def sets(who: Browser) -> int:
        revision = str(ada.get(f"/api{draft}").json()["draft"]["revision"])
        return who.post(f"{draft}/text", page="/account", text=f"# {revision}{HOSTILE}", revision=revision).status_code

    assert (sets(bob), sets(eve)) == (200, 403)
    for what in ("remove", "share"):
        assert bob.post(f"{draft}/{what}", page="/account", names="eve").status_code == 403
    copied = bob.post(f"{draft}/copy", page="/account").headers["location"]
    assert ada.get(copied).status_code == 403, "a copy belongs to who made it"
    assert ada.post(f"{draft}/share", page="/account", names="").status_code == 303
    assert (bob.get(draft).status_code, bob.get(f"/api{draft}").status_code, sets(bob)) == (403, 403, 403)
    for who, names in ((ada, {draft}), (bob, {copied}), (eve, set[str]())):
        assert {f"/drafts/{one['name']}" for one in who.get("/api/home").json()["drafts"]} == names


def test_who_asks_for_json_gets_no_more_than_the_page_and_needs_its_token(hub: Consortium) -> None:
    browser = hub.has("ada", Role.ADMIN).browser("ada")
    secret = re.search(r"<code>([A-Z2-7]{4}(?: [A-Z2-7]{4})+)</code>", browser.get("/account").text)
    assert secret
    told = browser.get("/account", accept="application/json")
    assert told.headers["content-type"] == "application/json"
    assert told.headers["cache-control"] == "no-store"
    assert told.json() == browser.get("/api/account").json()
    assert secret[1] not in told.text and secret[1].replace(" ", "") not in told.text
    answer = browser.ask("POST", "/people", headers={"accept": "application/json"}, data={"name": "eve"})
    assert answer.status_code == 403
    assert "did not come from a page of this session" in answer.json()["error"][0]["what"]


def test_room_for_a_draft_is_held_until_it_is_there(tmp_path: Path) -> None:
    """Many that come at the same moment are no more than one after another."""
    drafts = Drafts(tmp_path, most=1)
    with drafts.room(lambda name: True):
        with pytest.raises(Timeout):
            FileLock(tmp_path / "drafts.lock", mode=0o600).acquire(timeout=0)
        drafts.begin(STUDY)
    with pytest.raises(Exception, match="nobody may have more"), drafts.room(lambda name: True):
        raise AssertionError
    with drafts.room(lambda name: False):
        drafts.begin(STUDY)


def test_who_waits_in_a_session_does_not_wait_longer_for_asking(hub: Consortium) -> None:
    browser = hub.has("ada", Role.RESEARCHER).browser("ada")
    new = "nine brass kettles in a row"
    given = {"new": new, "again": new}
    told = [browser.post("/account/password", page="/account", old="wrong", **given).text.lower() for _ in range(30)]
    assert ["tried too often" in one for one in told].index(True) == 20
    hub.clock.now += 4
    assert browser.post("/account/password", page="/account", old=GOOD, **given).status_code == 200
