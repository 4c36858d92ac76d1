"""A consortium's own pages in a real browser: sites, an invitation, an approval by telephone, a launch, the queue."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Page, expect

from medfl.channel import Decision, Hardware, State
from medfl.consortium import bench_of
from medfl.hub.asked import Answer, Asked
from medfl.hub.pages.application import application
from medfl.hub.pages.bounded import Bounded
from medfl.hub.people.permits import Role
from medfl.hub.place import HubPlace
from medfl.hub.presence import Presence
from medfl.hub.told import Told
from medfl.store.home import Home
from medfl.testing.hub import application as applying
from medfl.testing.hub import invited, made
from medfl.testing.pages import serving
from medfl.testing.pictures import pictured
from medfl.testing.visits import OPEN_DOOR, Visit
from medfl.versions import here

SITES = ("north", "harbour", "lake")
PARIS = ZoneInfo("Europe/Paris")
DIGEST = "a" * 64
STUDY = """
[study]
name = "readmission"
question = "Who will be back in hospital within 30 days of going home?"

[data]
target = "readmitted"
sites = { north = "medicine", harbour = "readmission", lake = "ward" }

[algorithm]
kind = "fedavg"
rounds = 20
"""
COLUMNS = [
    {"name": "age", "kind": "numeric", "unit": "years", "minimum": 30.0, "maximum": 100.0, "categories": []},
    {"name": "creatinine", "kind": "numeric", "unit": "µmol/l", "minimum": 0.0, "maximum": 300.0, "categories": []},
    {"name": "admission", "kind": "categorical", "categories": ["emergency", "planned"], "description": "How it began"},
    {"name": "readmitted", "kind": "categorical", "categories": ["no", "yes"], "description": "Back within 30 days"},
]


@dataclass
class Opened:
    """The pages of a hub, in a window."""

    hub: HubPlace
    page: Page
    visit: Visit
    digits: str


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> HubPlace:
    """Return a hub with three sites, one of them away, and one that waits."""
    hub = made(tmp_path_factory.mktemp("consortium") / "hub", "Northern Hearts")
    for name in SITES:
        invitation = hub.register.invite(name, hub.invitation, seconds=3600)
        hub.register.apply(applying(invitation), invitation.authority)
        hub.register.approve(name, hub.authority)
    told = Told(speaks=here(), state=State("training", "4f2a9c1b-1", "train", 7, rounds=20), known=True)
    told.lines = [
        {"at": time.time() - 60 + number, "text": f"train of run 4f2a9c1b-1, round {number}: answered in 0.8 s"}
        for number in range(1, 7)
    ]
    entry = {"target": "readmitted", "rows": 2400, "columns": COLUMNS, "other_columns": ["ward"]}
    held = ["ranges of columns were widened to round numbers (releases.ranges in the site's policy)"]
    told.datasets = {"medicine": {**entry, "policy": held, "balance": {"parts": {"no": 8, "yes": 2}, "of": 10}}}
    told.hardware = Hardware(16, 64, gpu=True)
    told.keep(hub.folder, "north")
    Told(speaks=here(), state=State("idle"), known=False).keep(hub.folder, "harbour")
    return hub


@pytest.fixture
def opened(hub: HubPlace, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Open the hub's pages as a coordinator; whatever the console complains of fails the test."""
    # Who is connected stays so, however long a slow machine takes.
    monkeypatch.setattr("medfl.hub.presence.STALE", 3600.0)
    name = f"St Mary's {time.time_ns() % 10**6}"
    invitation = invited(hub, name)
    digits = hub.register.apply(applying(invitation), invitation.authority).fingerprint
    Presence.at(hub.folder).keep(hub.folder, {"north", "harbour"})
    visit, wrong = Visit(), list[str]()
    visit.come("ada", Role.COORDINATOR, Role.RESEARCHER)
    with Home(hub.folder) as home, socket.create_server(("127.0.0.1", 0)) as listener:
        pages = Bounded(application(bench_of(hub, home), visit.access, OPEN_DOOR))
        with serving(pages, listener):
            context = browser.new_context(
                base_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
                viewport={"width": 1280, "height": 860},
                locale="en-GB",
                timezone_id="Europe/Paris",
            )
            page = context.new_page()
            page.on("console", lambda told: wrong.append(told.text) if told.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            yield Opened(hub, page, visit, digits)
            context.close()
    hub.register.revoke(name, hub.authority)
    # A form that is refused is told by the browser, too.
    assert [one for one in wrong if "400 (Bad Request)" not in one] == []


def test_a_hospital_is_invited_and_approved_by_telephone(opened: Opened, screenshots: Path) -> None:
    page = opened.page
    page.goto("/sites")
    expect(page.get_by_role("row", name="north")).to_contain_text("connected")
    pictured(page, "sites", screenshots)
    page.get_by_label("The digits as you hear them").fill("12345 67890")
    page.get_by_role("button", name="Approve St Mary's").click()
    expect(page.get_by_role("alert")).to_contain_text("these are not the digits of the keys that came")
    pictured(page, "sites-wrong-digits", screenshots)
    page.get_by_label("The digits as you hear them").fill(opened.digits)
    page.get_by_role("button", name="Approve St Mary's").click()
    expect(page.get_by_text(opened.digits)).to_be_visible()
    page.goto("/sites")
    page.get_by_label("What people call it").fill("Bay Clinic")
    page.get_by_role("button", name="Make an invitation").click()
    expect(page.get_by_label("The invitation", exact=True)).not_to_be_empty()
    page.locator("#invitation").evaluate("one => { one.value = 'medfl-…'; }")
    pictured(page, "invited", screenshots)
    page.goto("/sites/north")
    expect(page.get_by_text("µmol/l")).to_be_visible()
    pictured(page, "site", screenshots)


def test_a_launch_follows_what_sites_decide_and_is_put_off(opened: Opened, screenshots: Path) -> None:
    page, hub = opened.page, opened.hub
    page.request.post("/drafts", form={"csrf": "token", "text": STUDY})
    page.goto("/")
    page.get_by_role("link", name="readmission").first.click()
    page.get_by_role("button", name="Look at the plan").click()
    expect(page.get_by_text("lake for its data set ward; it is not connected now")).to_be_visible()
    pictured(page, "plan-consortium", screenshots)
    page.get_by_role("button", name="Launch the study").click()
    expect(page.get_by_text("It waits for lake to connect.")).to_be_visible()
    (entry,) = hub.queue.entries()
    now = time.time()
    said = {"north": Answer("approved", "", now), "harbour": Answer("waiting", "", now), "lake": Answer("unanswered")}
    Asked(now, {site: {DIGEST: one} for site, one in said.items()}, 1).keep(hub.folder, entry.execution)
    expect(page.get_by_text("It waits for the people of harbour")).to_be_visible()
    evening = (datetime.now(PARIS) + timedelta(days=30)).replace(hour=18, minute=0, second=0, microsecond=0)
    typed = f"{evening:%Y-%m-%dT%H:%M}"
    page.get_by_label("Not before").fill(typed)
    page.get_by_role("button", name="Change the time").click()
    expect(page.locator(".launching time").first).to_have_text(re.compile("18:00$"))
    assert hub.queue.entries()[0].not_before == evening.timestamp(), "an hour or two earlier by the world's clock"
    expect(page.get_by_label("Not before")).to_have_value(typed)
    pictured(page, "launch", screenshots)
    told = Told.at(hub.folder, "harbour")
    told.decisions = {DIGEST: Decision("refused", "no ethics vote yet", time.time())}
    told.keep(hub.folder, "harbour")
    expect(page.get_by_role("row", name="harbour")).to_contain_text("no ethics vote yet")
    page.get_by_role("link", name="See the queue").click()
    expect(page.get_by_role("row", name="readmission")).to_contain_text("ada")
    pictured(page, "queue", screenshots)
    page.get_by_role("button", name="Take readmission out").click()
    expect(page.get_by_text("Stopped.", exact=True)).to_be_visible()
    assert hub.queue.waiting() == []
