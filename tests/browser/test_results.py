"""Results in a real browser: one threshold moves everything that hangs on it, and what is seen can be taken along."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from zipfile import ZipFile

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from medfl.testing.pictures import pictured

SOON = 120_000
"""Milliseconds for a study; it takes five seconds on a quiet machine."""
CHARTS = ("roc", "pr", "decision")


@pytest.fixture
def results(page: Page) -> Page:
    """The results of a study; it is carried out at the first use."""
    page.goto("/")
    if page.get_by_role("heading", name="Finished").count() == 0:
        page.get_by_role("link", name="Do four hospitals learn more together than alone?").click()
        page.get_by_role("button", name="Start the study").click()
        page.get_by_role("link", name="See the results").click(timeout=SOON)
    else:
        page.locator(".study a").first.click()
    expect(page.get_by_role("heading", name="Where to draw the line")).to_be_visible()
    return page


def drawn(page: Page, chart: str) -> str:
    """Return what is drawn in a chart."""
    return page.locator(f"#{chart} svg").inner_html()


def test_the_threshold_moves_three_curves_and_the_counts_together(results: Page, screenshots: Path) -> None:
    before = {chart: drawn(results, chart) for chart in CHARTS}
    rates = results.locator(".rates").inner_text()
    cut = results.get_by_role("slider", name="Threshold")
    cut.focus()
    for _ in range(3):
        cut.press("PageUp")
    for chart in CHARTS:
        assert drawn(results, chart) != before[chart], chart
    assert results.locator(".rates").inner_text() != rates
    number = results.get_by_label("Threshold as a number")
    assert float(number.input_value()) > 0.5
    expect(cut).to_have_attribute("aria-valuetext", re.compile(r"^0\.\d+$"))
    number.fill("0.1")
    number.press("Enter")
    assert cut.input_value() == "0.1"
    results.get_by_role("button", name="As in the study").click()
    assert number.input_value() == "0.500"
    assert {chart: drawn(results, chart) for chart in CHARTS} == before
    assert results.locator(".rates").inner_text() == rates
    pictured(results, "results-threshold", screenshots)


def test_every_chart_has_its_numbers_behind_it(results: Page) -> None:
    shown = results.locator(".chart")
    behind = results.locator(".behind summary")
    assert shown.count() >= 7
    for place in range(behind.count()):
        summary = behind.nth(place)
        summary.focus()
        summary.press("Enter")
    expect(results.locator(".behind table th[scope=row]").first).to_be_visible()
    tables = results.locator(".behind details")
    assert tables.count() == tables.and_(results.locator("[open]")).count()
    results.set_viewport_size({"width": 820, "height": 900})
    assert results.evaluate("document.documentElement.scrollWidth") <= 820
    results.set_viewport_size({"width": 1280, "height": 860})


def test_figures_and_tables_are_taken_along(results: Page, tmp_path: Path) -> None:
    svg = saved(results, results.get_by_role("link", name="SVG decision"), tmp_path)
    assert svg.read_text(encoding="utf-8").startswith("<?xml")
    png = saved(results, results.get_by_role("link", name="PNG decision"), tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG")
    table = saved(results, results.get_by_role("link", name="CSV Thresholds"), tmp_path)
    with table.open(encoding="utf-8", newline="") as file:
        heads, *rows = csv.reader(file)
    assert heads[2] == "threshold"
    assert len(rows) > 30


def test_code_goes_out_and_comes_back_as_a_draft(results: Page, tmp_path: Path, screenshots: Path) -> None:
    results.get_by_role("link", name="Code", exact=True).first.click()
    app = saved(results, results.get_by_role("link", name="Flower app"), tmp_path)
    with ZipFile(app) as archive:
        assert len(archive.namelist()) == 5
    results.locator("summary", has_text="server_app.py").click()
    pictured(results, "code-flower", screenshots)
    script = saved(results, results.get_by_role("link", name="Script"), tmp_path)
    text = script.read_text(encoding="utf-8")
    script.write_text(text.replace('"rounds": 20', '"rounds": 4 + 5'), encoding="utf-8")
    results.goto("/new")
    results.locator("#file").set_input_files(script)
    results.get_by_role("button", name="Open the file").click()
    expect(results.locator('[id="algorithm.rounds"]')).to_have_value("9")
    expect(results.locator("#verdict")).to_contain_text("This study is sound")


def test_code_that_cannot_be_read_is_refused_with_its_lines(context: BrowserContext, screenshots: Path) -> None:
    page = context.new_page()  # Chromium itself writes a refusal (400) down as an error
    page.goto("/new")
    page.get_by_label("Paste it").fill("from medfl import Study\n\nstudy = Study(study={'name': name()})\n")
    page.get_by_role("button", name="Open it").click()
    expect(page.locator(".complaints")).to_contain_text("line 3")
    expect(page.get_by_label("Paste it")).to_have_value(re.compile("name()"))
    pictured(page, "new-refused", screenshots)
    page.close()


def saved(page: Page, link: Locator, folder: Path) -> Path:
    """Follow a link to a file, and return where it is now."""
    with page.expect_download() as taken:
        link.first.click()
    target = folder / taken.value.suggested_filename
    taken.value.save_as(target)
    return target
