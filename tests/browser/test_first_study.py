"""A first study by somebody who knows no code: three clicks, and results; each page accessible, in light and dark."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import APIResponse, BrowserContext, FloatRect, Page, Route, expect

from medfl.testing.pictures import pictured

SOON = 120_000
"""Milliseconds for a study; it takes five seconds on a quiet machine."""


def test_three_clicks_lead_to_results(page: Page, screenshots: Path, tmp_path: Path) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("without moving a patient’s row")
    pictured(page, "home-empty", screenshots)
    page.get_by_role("link", name="Do four hospitals learn more together than alone?").click()
    expect(page.get_by_role("heading", name="What leaves a site")).to_be_visible()
    pictured(page, "plan", screenshots)
    page.get_by_role("button", name="Start the study").click()
    expect(page.get_by_role("heading", name="Who takes part")).to_be_visible(timeout=SOON)
    pictured(page, "watch", screenshots, checked=False)
    page.get_by_role("link", name="See the results").click(timeout=SOON)
    expect(page.get_by_role("heading", name="Where to draw the line")).to_be_visible()
    expect(page.locator("#tp")).not_to_have_text("–")
    pictured(page, "results", screenshots)
    for section in ("threshold", "calibration"):
        parted(page, section, screenshots)
    moved(page)
    page.get_by_role("link", name="Code", exact=True).first.click()
    pictured(page, "code", screenshots)
    with page.expect_download() as taken:
        page.get_by_role("link", name="Script").click()
    script = tmp_path / "study.py"
    taken.value.save_as(script)
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200)
    assert "The models are those of the study, to the bit." in done.stdout, done.stderr
    page.get_by_role("link", name="Studies").first.click()
    expect(page.get_by_role("heading", name="Finished")).to_be_visible()
    pictured(page, "home", screenshots)


LONG = """\
[study]
name = "long"
[data]
target = "diagnosis"
positive = "malignant"
simulate = { bundled = "breast-cancer", sites = 3 }
[model]
kind = "logistic"
[algorithm]
rounds = 300
"""
"""A study that is still running when the slowest of browsers has found the button that pauses it."""


def test_a_study_that_is_stopped_goes_on(page: Page) -> None:
    page.goto("/new")
    page.locator("#text").fill(LONG)
    page.get_by_role("button", name="Open it").click()
    page.get_by_role("button", name="Look at the plan").click()
    page.get_by_role("button", name="Start the study").click()
    expect(page.locator("#runs .tag.running").first).to_be_visible(timeout=SOON)
    page.get_by_role("button", name="Pause after this round").click()
    expect(page.locator("#standing.waiting")).to_be_visible(timeout=SOON)
    expect(page.locator("#standing")).to_contain_text("it can go on")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#standing.finished")).to_be_visible(timeout=SOON)


def test_a_study_is_designed_by_clicks_alone(page: Page, screenshots: Path) -> None:
    page.goto("/")
    page.get_by_role("link", name="New study").first.click()
    pictured(page, "new", screenshots)
    page.get_by_role("button", name="Begin").click()
    expect(page.locator("#verdict")).to_contain_text("to mend")
    pictured(page, "design-empty", screenshots)
    put(page, "study.name", "tumours")
    put(page, "study.question", "Is this tumour malignant?")
    put(page, "data.target", "diagnosis")
    put(page, "data.positive", "malignant")
    page.locator("#step-data").get_by_role("button", name="Add", exact=True).click()
    page.locator('[id="data.simulate.bundled"]').select_option("breast-cancer")
    put(page, "data.simulate.sites", "3")
    put(page, "algorithm.rounds", "two")
    expect(page.locator("#step-algorithm .wrong")).to_be_visible()
    expect(page.locator("#way .faulty")).to_have_text(["Learning together to mend"])
    put(page, "algorithm.rounds", "2")
    expect(page.locator("#way .faulty")).to_have_count(0)
    expect(page.locator("#verdict")).to_contain_text("This study is sound")
    page.locator("#step-algorithm").get_by_role("button", name="Compare another way here").click()
    page.locator('[id="arm.1.algorithm.kind"]').select_option("fedyogi")
    expect(page.locator("#picture svg")).to_be_visible()
    page.get_by_role("tab", name="Spec").click()
    expect(page.locator("#text")).to_have_value(re.compile(r'kind = "fedyogi"'))
    text = page.locator("#text").input_value()
    page.locator("#text").fill(text.replace("rounds = 2", "rounds = 3"))
    expect(page.locator('[id="algorithm.rounds"]')).to_have_value("3")
    expect(page.locator("#text")).to_be_focused()
    pictured(page, "design", screenshots)
    page.get_by_role("button", name="Look at the plan").click()
    page.get_by_role("button", name="Start the study").click()
    page.get_by_role("link", name="See the results").click(timeout=SOON)
    expect(page.get_by_role("table").filter(has_text="algorithm-2").first).to_be_visible()


def test_changes_faster_than_their_answers_are_all_shown(page: Page) -> None:
    page.goto("/new")
    page.get_by_role("button", name="Begin").click()
    expect(page.locator("#verdict")).to_contain_text("to mend")
    held, quick = list[tuple[Route, APIResponse]](), list[bool]()

    def hold(route: Route) -> None:
        answer = route.fetch()
        if quick:
            route.fulfill(response=answer)
        else:
            held.append((route, answer))

    page.route("**/set", hold)
    with page.expect_request("**/set"):
        typed(page, "study.name", "quick")
    typed(page, "algorithm.rounds", "two")
    typed(page, "study.repeats", "0")
    while not held:
        page.evaluate("null")  # lets the handler go on
    held[0][0].fulfill(response=held[0][1])
    expect(page.locator("#revision")).to_have_value("2")
    quick.append(True)  # the first answer has replaced the fields that the others were typed in
    for route, answer in reversed(held[1:]):
        route.fulfill(response=answer)
    expect(page.locator("#step-algorithm .wrong")).to_be_visible()
    expect(page.locator("#step-study .wrong")).to_be_visible()
    expect(page.locator('[id="study.name"]')).to_have_value("quick")


def test_a_change_before_the_page_listens_is_not_lost(page: Page) -> None:
    page.goto("/new")
    held = list[Route]()
    page.route("**/static/medfl.js", lambda route: held.append(route))
    page.get_by_role("button", name="Begin").click(no_wait_after=True)
    page.locator('[id="algorithm.kind"]').select_option("fedyogi")
    page.get_by_role("tab", name="Spec").click()
    assert held
    held[0].continue_()
    expect(page.locator("#text")).to_have_value(re.compile(r'kind = "fedyogi"'))


def test_whoever_leaves_takes_the_last_change_along(page: Page) -> None:
    page.goto("/new")
    page.get_by_role("button", name="Begin").click()
    expect(page.locator("#verdict")).to_contain_text("to mend")
    draft = page.url
    page.locator('[id="study.name"]').fill("in-a-hurry")
    page.get_by_role("link", name="Studies").first.click()  # leaves the field, and at once the page
    page.wait_for_url("**/")
    page.goto(draft)
    expect(page.locator('[id="study.name"]')).to_have_value("in-a-hurry")
    page.get_by_role("tab", name="Spec").click()
    text = page.locator("#text").input_value()
    page.locator("#text").fill(text.replace("in-a-hurry", "in-no-hurry"))
    page.get_by_role("button", name="Duplicate").click()  # while the text still waits for more to be typed
    page.wait_for_url(lambda url: url != draft)
    expect(page.locator('[id="study.name"]')).to_have_value("in-no-hurry")


@pytest.mark.parametrize(
    ("status", "why"), [(0, "did not reach the draft"), (403, "not signed in"), (503, "the other end has trouble")]
)
def test_a_change_that_does_not_arrive_is_told(context: BrowserContext, status: int, why: str) -> None:
    page = context.new_page()  # its console may speak of the failure
    page.goto("/new")
    page.get_by_role("button", name="Begin").click()
    expect(page.locator("#verdict")).to_contain_text("to mend")
    draft = page.url
    page.route("**/set", lambda route: route.fulfill(status=status, body="no") if status else route.abort())
    page.locator('[id="study.name"]').fill("lost")
    page.get_by_role("button", name="Look at the plan").click()
    expect(page.locator("#said")).to_contain_text(why)
    assert page.url == draft
    page.close()


def test_whoever_loads_the_page_again_in_the_midst_of_a_change_is_asked(page: Page) -> None:
    page.goto("/new")
    page.get_by_role("button", name="Begin").click()
    expect(page.locator("#verdict")).to_contain_text("to mend")
    held = list[Route]()
    page.route("**/set", lambda route: held.append(route))
    page.locator('[id="study.name"]').click()
    page.keyboard.type("typing")
    with page.expect_event("dialog") as asked:
        page.evaluate("setTimeout(() => location.reload())")
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()
    expect(page.locator('[id="study.name"]')).to_have_value("typing")
    assert held  # what was typed is sent before anybody leaves
    held[0].continue_()
    page.get_by_role("tab", name="Spec").click()
    expect(page.locator("#text")).to_have_value(re.compile('name = "typing"'))


def test_two_people_who_change_one_draft_are_told(page: Page, context: BrowserContext) -> None:
    page.goto("/new")
    page.get_by_role("button", name="Begin").click()
    other = context.new_page()
    other.goto(page.url)
    put(page, "study.name", "first")
    put(other, "study.name", "second")
    expect(other.locator("#said")).to_contain_text("somebody else has changed this draft meanwhile")
    other.reload()
    expect(other.locator('[id="study.name"]')).to_have_value("first")
    put(other, "study.name", "third")
    page.reload()
    expect(page.locator('[id="study.name"]')).to_have_value("third")
    other.close()


def test_a_broken_text_says_what_is_wrong(page: Page, screenshots: Path) -> None:
    page.goto("/new")
    page.get_by_label("Paste it").fill('[study]\nname = "x"\n[data]\ntarget = "y"\nsitess = {}\n')
    page.get_by_role("button", name="Open it").click()
    expect(page.locator("#verdict")).to_contain_text("sitess is not a key here")
    pictured(page, "design-broken", screenshots)


@pytest.mark.parametrize("width", [820, 390])
def test_no_page_is_wider_than_its_window(width: int, page: Page) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for path in ("/", "/new", "/start/breast-cancer", "/start/breast-cancer-arms"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto("/new")
    page.get_by_role("button", name="Begin").click()
    expect(page.locator("#verdict p").first).to_be_visible()
    page.locator("#step-privacy button.small").first.click()
    expect(page.locator("#step-arms")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def parted(page: Page, heading: str, folder: Path) -> None:
    """Leave a picture of one section of the results, cut out of the whole page: its bar does not lie over it."""
    page.evaluate("scrollTo(0, 0)")
    box = page.locator("section").filter(has=page.locator(f"#{heading}")).last.bounding_box()
    assert box is not None
    clip = FloatRect(x=48, y=box["y"] - 20, width=1184, height=box["height"] + 40)
    page.screenshot(path=folder / f"results-{heading}-light.png", full_page=True, clip=clip)


def put(page: Page, path: str, value: str) -> None:
    """Fill a field and leave it, and wait until the draft has taken it in."""
    with page.expect_response(re.compile("/drafts/[0-9a-f]+/set")):
        typed(page, path, value)


def typed(page: Page, path: str, value: str) -> None:
    """Fill a field and leave it."""
    field = page.locator(f'[id="{path}"]')
    field.fill(value)
    field.blur()


def moved(page: Page) -> None:
    """Move the threshold to its end: nobody is called positive, and the four cells still add up to the same rows."""
    expect(page.locator("#tp")).not_to_have_text("–")
    before = cells(page)
    cut = page.get_by_role("slider", name="Threshold")
    cut.focus()
    cut.press("End")
    after = cells(page)
    assert (after["tp"], after["fp"]) == (0, 0) or after["tp"] + after["fp"] < before["tp"] + before["fp"]
    assert sum(after.values()) == sum(before.values())
    assert after["tp"] + after["fn"] == before["tp"] + before["fn"]


def cells(page: Page) -> dict[str, int]:
    """Return the confusion matrix that is shown."""
    return {name: int(page.locator(f"#{name}").inner_text().replace(",", "")) for name in ("tp", "fn", "fp", "tn")}
