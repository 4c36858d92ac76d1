"""Somebody watches a run of many sites in a real browser: live, through a lost connection, and with a hand on it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from medfl.events import Event
from medfl.hub.pages.application import OPEN, application
from medfl.hub.pages.bench import Bench
from medfl.hub.people.alone import alone
from medfl.loopback import Sessions
from medfl.steering import Steering
from medfl.store.home import Home
from medfl.testing.pages import Carriers, looked, serving
from medfl.testing.wall import EXECUTION, RUN, beginning, one_round

SITES = 50
LIVE = 5.0
"""Seconds within which an event must be seen, however busy the machine; bench/watching.py holds the real limit."""
PAINTED = 5000.0
"""The same in milliseconds for the first paint."""
WATCH = f"/studies/{EXECUTION}/watch"


class Wall:
    """A run that a test writes on, and its pages, which can be taken away and brought back."""

    def __init__(self, home: Home) -> None:
        self.home, self._sessions, self._stack = home, Sessions(), ExitStack()
        self.port = 0

    def serve(self) -> None:
        """Serve the pages, at the same port as before."""
        listener = self._stack.enter_context(socket.create_server(("127.0.0.1", self.port)))
        self.port = int(listener.getsockname()[1])
        bench = Bench(self.home, looked, looked, Carriers(self.home), self.home.is_busy, steers=Steering(self.home))
        app = application(bench, *alone(self._sessions, port=self.port, open_to_all=OPEN))
        self._stack.enter_context(serving(app, listener))

    def away(self) -> None:
        """Take the pages away, with all connections."""
        self._stack.close()

    def link(self) -> str:
        return f"http://127.0.0.1:{self.port}{self._sessions.link()}"

    def rounds(self, first: int, last: int) -> None:
        """Write rounds down."""
        for number in range(first, last + 1):
            self.home.journal.append([event for some in one_round(number, SITES) for event in some])


@pytest.fixture
def wall(tmp_path: Path) -> Iterator[Wall]:
    with Home(tmp_path) as home, home.lock(EXECUTION), home.lock(RUN):
        home.journal.append(beginning(SITES, 40))
        wall = Wall(home)
        wall.rounds(1, 8)
        wall.serve()
        yield wall
        wall.away()


@pytest.fixture
def seen(browser: Browser, wall: Wall) -> Iterator[Page]:
    context: BrowserContext = browser.new_context(
        base_url=f"http://127.0.0.1:{wall.port}", viewport={"width": 1280, "height": 900}, locale="en-GB"
    )
    page, wrong = context.new_page(), list[str]()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(wall.link())
    page.goto(WATCH)
    expect(page.locator("#panel-0 svg")).to_be_visible()
    yield page
    context.close()
    assert not wrong


def test_a_lost_connection_loses_nothing_and_tells_nothing_twice(wall: Wall, seen: Page) -> None:
    expect(seen.locator("#happened")).to_contain_text("Round 8 is stored")
    wall.away()
    expect(seen.locator("#lost")).to_be_visible()
    wall.rounds(9, 11)
    wall.serve()
    expect(seen.locator("#happened")).to_contain_text("Round 11 is stored", timeout=60_000)
    expect(seen.locator("#lost")).to_be_hidden()
    expect(seen.locator("#tiles")).to_contain_text("11 of 40")
    texts = seen.locator("#happened li").all_inner_texts()
    assert sum("Round 9 is stored" in text for text in texts) == 1
    assert sum("Round 11 is stored" in text for text in texts) == 1
    for name in ("standing", "tiles", "course", "sites", "times", "happened", "runs"):
        assert seen.locator(f"#{name}").count() == 1
    assert seen.locator("#sites tbody tr").count() == SITES


def test_an_event_is_seen_soon_after_it_was_written(wall: Wall, seen: Page) -> None:
    late = []
    for number in range(9, 14):
        wall.rounds(number, number)
        began = monotonic()
        expect(seen.locator("#happened")).to_contain_text(f"Round {number} is stored")
        late.append(monotonic() - began)
    print(f"an event was seen after {sorted(late)[2] * 1e3:.0f} ms (median), {max(late) * 1e3:.0f} ms at most")
    assert max(late) < LIVE


def test_the_first_paint_comes_soon(wall: Wall, seen: Page) -> None:
    seen.goto(WATCH)
    painted = seen.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    print(f"first paint after {painted:.0f} ms")
    assert 0 < painted < PAINTED


@pytest.mark.parametrize("width", [1280, 820, 390])
def test_a_dashboard_of_fifty_sites_fits_its_window(width: int, wall: Wall, seen: Page, screenshots: Path) -> None:
    wall.home.journal.append(_part(9))
    expect(seen.locator("#tiles")).to_contain_text("9 of 40")
    seen.set_viewport_size({"width": width, "height": 900})
    assert seen.evaluate("document.documentElement.scrollWidth") <= width
    for scheme in ("light", "dark"):
        seen.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        seen.screenshot(path=screenshots / f"watch-50-{width}-{scheme}.png", full_page=True)
        if width == 1280:
            accessible(seen)


def test_a_site_is_left_out_by_hand(wall: Wall, seen: Page, screenshots: Path) -> None:
    seen.get_by_role("link", name="Leave a site out…").click()
    seen.get_by_label("Site").select_option("hospital-07")
    seen.get_by_role("button", name="See what follows").click()
    expect(seen.get_by_text("From the next round on hospital-07 is not asked any more.")).to_be_visible()
    accessible(seen)
    seen.screenshot(path=screenshots / "drop-light.png", full_page=True)
    seen.get_by_label("Why?").fill("its server is <replaced>")
    seen.get_by_role("button", name="Leave hospital-07 out").click()
    expect(seen.locator("#standing")).to_contain_text("From the next round on without: hospital-07")
    seen.get_by_role("link", name="Leave a site out…").click()
    assert "hospital-07" not in seen.get_by_label("Site").inner_text()


def test_a_click_while_events_rain_in_is_not_lost(wall: Wall, seen: Page) -> None:
    """The button is pressed on one page and let go on a newer one: it must be the same button."""
    button = seen.get_by_role("link", name="Leave a site out…")
    for number in (9, 10, 11):
        box = button.bounding_box()
        assert box is not None
        seen.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        seen.mouse.down()
        wall.rounds(number, number)
        expect(seen.locator("#happened")).to_contain_text(f"Round {number} is stored")
        seen.mouse.up()
        expect(seen.get_by_role("heading", name="Leave a site out")).to_be_visible()
        seen.go_back()


def test_what_happened_is_filtered(wall: Wall, seen: Page, screenshots: Path) -> None:
    seen.get_by_role("link", name="All that happened").click()
    expect(seen.get_by_role("heading", name="events")).to_be_visible()
    seen.get_by_label("Site").select_option("hospital-03")
    seen.get_by_role("button", name="Show").click()
    expect(seen.get_by_role("heading", name="8 events")).to_be_visible()
    expect(seen.locator(".happened li").first).to_contain_text("hospital-03 answered round 8")
    accessible(seen)
    seen.screenshot(path=screenshots / "events-light.png", full_page=True)


def _part(number: int) -> list[Event]:
    """Return the first half of a round."""
    return [event for some in list(one_round(number, SITES))[:3] for event in some]


def accessible(page: Page) -> None:
    """Hold a page to WCAG 2.2 AA."""
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})
    assert found.violations_count == 0, found.generate_report()
