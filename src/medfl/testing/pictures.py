"""Pictures of pages in a real browser, which are held to WCAG 2.2 AA on the way: for tests."""

from __future__ import annotations

from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def pictured(page: Page, name: str, folder: Path, *, checked: bool = True) -> None:
    """Leave pictures of a page in light and dark, and hold it to WCAG 2.2 AA in both.

    Raises
    ------
    AssertionError
        With what whoever cannot see or point well would miss.
    """
    page.evaluate("scrollTo(0, 0)")  # or its bar is in the middle of the picture
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.screenshot(path=folder / f"{name}-{scheme}.png", full_page=True)
        if checked:
            found = Axe().run(page, options={"runOnly": RULES})
            if found.violations_count:
                raise AssertionError(found.generate_report())
    page.emulate_media(color_scheme="light")
