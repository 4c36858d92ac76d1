"""A person clicks: reads what a study wants, approves it, and the run goes on. By keyboard, too."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.site_page.conftest import NOW, Ward

from medfl.site_page.serving import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")


@pytest.fixture
def tab() -> Iterator[Any]:
    """A tab of a real browser; what a page may not load, or writes to the console, is an error."""
    sync = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with sync.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1100, "height": 800})
        opened.set_default_timeout(30_000)
        wrong: list[str] = []
        opened.on("console", lambda message: wrong.append(message.text))
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        yield opened
        browser.close()
        assert wrong == []


def test_a_study_is_read_and_approved_and_its_run_goes_on(tab: Any, page: Page, ward: Ward) -> None:
    tab.goto(page.link())
    pictured(tab, "site-studies")
    tab.click("text=waiting >> xpath=ancestor::tr >> css=a")
    assert "What is different from" in tab.inner_text("main")
    pictured(tab, "site-study")
    assert ward.run()[0] == 0
    tab.click("button:has-text('Approve')")
    assert f"Approved: tiny ({NOW.digest[:12]})" in tab.inner_text("[role=status]")
    assert ward.run() == (3, "")
    tab.click("text=Audit log")
    assert "The log is whole" in tab.inner_text("main")
    assert "by person" in tab.inner_text("main")
    pictured(tab, "site-log")


def test_all_can_be_done_by_keyboard_and_what_has_the_focus_can_be_seen(tab: Any, page: Page, ward: Ward) -> None:
    tab.goto(page.link())
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "To the content"
    for _ in range(20):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.textContent").strip() == "Pause":
            break
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert tab.evaluate(outline) == "solid"
    tab.keyboard.press("Enter")
    tab.wait_for_selector("text=The site is paused")
    assert ward.east.pause.exists()


@pytest.mark.parametrize("width", [390, 1100])
def test_no_page_is_wider_than_its_window(tab: Any, page: Page, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 800})
    tab.goto(page.link())
    for path in ("/", f"/studies/{NOW.digest}", "/data/ward", "/log", "/connection"):
        tab.goto(f"http://127.0.0.1:{page.port}{path}")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_anybody_from_reading_it(tab: Any, page: Page, scheme: str) -> None:
    """What axe finds: contrast, labels, headings, roles."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    tab.emulate_media(color_scheme=scheme)
    tab.goto(page.link())
    for path in ("/", f"/studies/{NOW.digest}", "/data", "/data/ward", "/budget", "/log", "/connection"):
        tab.goto(f"http://127.0.0.1:{page.port}{path}")
        found = axe.Axe().run(tab).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == [], path


def pictured(tab: Any, name: str) -> None:
    """Leave pictures of a page in light and dark, beside those of the hub's pages."""
    folder = Path(__file__).parents[2] / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in ("dark", "light"):
        tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        tab.screenshot(path=folder / f"{name}-{scheme}.png")
