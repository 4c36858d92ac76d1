"""A consortium's whole story in a real browser: four hospitals, each a process, and nothing that stands in for a part.

Somebody signs in, designs a study of three arms by clicks, mends what one hospital writes otherwise, is refused by
another's policy, changes the study, waits for two hospitals' people, watches a hospital die and come back, reads the
results, and runs the code that the pages give: its models are the hospitals', to the bit.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect

from medfl.hub.told import Told
from medfl.site.place import Place
from medfl.testing.command import MEDFL
from medfl.testing.consortium import AWAY, POLICY, SITES, Consortium, until
from medfl.testing.people import GOOD
from medfl.testing.pictures import pictured

SOON = 120_000
"""Milliseconds; nothing takes nearly as long."""
ASKED = ("east", "south")
"""Hospitals whose people decide about every study."""
STRICT, ODD = "west", "south"
"""The hospital whose policy refuses the first design, and the one whose table is written otherwise."""
ROUNDS = 20


@pytest.fixture(scope="module")
def consortium() -> Iterator[Consortium]:
    """A hub and four hospitals, two of which decide about each study."""
    with TemporaryDirectory(prefix="m") as folder, ExitStack() as stack:
        consortium = Consortium(Path(folder), stack)
        consortium.moments.forget()
        for name in SITES:
            _policy(consortium, name)
        odd = consortium.folder / f"{ODD}.csv"
        pd.read_csv(odd).rename(columns={"age": "age_years"}).to_csv(odd, index=False)
        for name in SITES:
            consortium.leave(name)
            consortium.answer(name)
        until(lambda: all(Told.at(consortium.hub.folder, name).known for name in SITES))
        yield consortium


@pytest.fixture(scope="module")
def page(consortium: Consortium, browser: Browser) -> Iterator[Page]:
    """A window in which nothing may go wrong unseen."""
    wrong = list[str]()
    context = browser.new_context(
        base_url=f"https://127.0.0.1:{consortium.hub.about.port}",
        ignore_https_errors=True,  # the hub's own authority, which this browser does not know
        viewport={"width": 1280, "height": 860},
        locale="en-GB",
        timezone_id="UTC",
    )
    page = context.new_page()
    page.on("console", lambda told: wrong.append(told.text) if told.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    context.close()
    assert not wrong


@pytest.mark.timeout(600)  # a dozen processes and a browser; 100 s where nothing else runs
def test_the_whole_story(consortium: Consortium, page: Page, screenshots: Path, tmp_path: Path) -> None:
    signs_in(consortium, page)
    designs(page, screenshots)
    refused(page, screenshots)
    approved(consortium, page, screenshots)
    loses_a_site(consortium, page, screenshots)
    page.get_by_role("link", name="See the results").click(timeout=SOON)
    reads(page, screenshots)
    runs_the_code(consortium, page, tmp_path)
    is_written_down(page, screenshots)


def signs_in(consortium: Consortium, page: Page) -> None:
    """Follow the link that the hub's administrator sent, and choose a password."""
    link = typed(consortium, "hub", "account", "add", "ada", "--role", "researcher", "--role", "auditor")
    page.goto(re.search(r"https://\S+", link)[0])  # type: ignore[index]
    page.get_by_label("Password").fill(GOOD)
    page.get_by_label("Once more").fill(GOOD)
    page.get_by_role("button", name="Set the password").click()
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(GOOD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="New study").first).to_be_visible()


def designs(page: Page, screenshots: Path) -> None:
    """Design a study of three arms; one hospital calls a column otherwise, which is mended."""
    page.get_by_role("link", name="New study").first.click()
    page.get_by_role("button", name="Begin").click()
    put(page, "study.name", "toy-disease")
    put(page, "study.question", "Who has the toy disease?")
    put(page, "data.target", "sick")
    put(page, "data.sites", "\n".join(f"{site} = {site}.csv" for site in SITES))
    put(page, "algorithm.rounds", str(ROUNDS))
    for number, kind in ((1, "fedprox"), (2, "scaffold")):
        page.locator("#step-algorithm").get_by_role("button", name="Compare another way here").click()
        page.locator(f'[id="arm.{number}.algorithm.kind"]').select_option(kind)
    gap = page.locator(".gap").filter(has_text="column missing")
    expect(gap).to_contain_text(ODD)
    pictured(page, "story-mismatch", screenshots)
    gap.get_by_role("button", name=f"Accept the repair of age at {ODD}").click()
    expect(page.get_by_text("All tables have the columns of this study, alike.")).to_be_visible()
    expect(page.locator("#verdict")).to_contain_text("This study is sound")
    pictured(page, "story-design", screenshots)


def refused(page: Page, screenshots: Path) -> None:
    """Launch it: one hospital's policy does not let one of the rules through, and the page says so; change that arm."""
    page.get_by_role("button", name="Look at the plan").click()
    expect(page.get_by_role("heading", name="What leaves a site")).to_be_visible()
    pictured(page, "story-plan", screenshots)
    page.get_by_role("button", name="Launch the study").click()
    strict = page.get_by_role("row", name=STRICT)
    expect(strict).to_contain_text("refused", timeout=SOON)
    expect(strict).to_contain_text("scaffold")
    pictured(page, "story-refused", screenshots, checked=False)
    page.get_by_role("button", name="Take it out of the queue").click()
    page.get_by_role("link", name="Studies").first.click()
    page.locator('a[href^="/drafts/"]').first.click()
    page.locator('[id="arm.2.algorithm.kind"]').select_option("fedyogi")
    expect(page.locator("#picture")).to_contain_text("fedyogi")
    page.get_by_role("button", name="Look at the plan").click()
    page.get_by_role("button", name="Launch the study").click()


def approved(consortium: Consortium, page: Page, screenshots: Path) -> None:
    """Wait for the people of two hospitals, who look at the study and approve it; then it begins by itself."""
    for site in ASKED:
        expect(page.get_by_role("row", name=site)).to_contain_text("waits for its people", timeout=SOON)
    pictured(page, "story-approvals", screenshots, checked=False)
    for site in ASKED:
        home = consortium.homes[site].folder
        digests = [one["digest"] for one in json.loads(typed(consortium, "site", "studies", "--json", home=home))]
        typed(consortium, "site", "approve", *digests, home=home)
        expect(page.get_by_role("row", name=site)).to_contain_text("approved", timeout=SOON)
    page.wait_for_url("**/watch", timeout=SOON)


def loses_a_site(consortium: Consortium, page: Page, screenshots: Path) -> None:
    """Kill a hospital's agent during the run: the page names it, and goes on once its people have started it again."""
    expect(page.get_by_role("heading", name="Who takes part")).to_be_visible(timeout=SOON)
    consortium.leave(AWAY)
    expect(page.locator("#problems")).to_contain_text(AWAY, timeout=SOON)
    pictured(page, "story-watch", screenshots, checked=False)
    consortium.answer(AWAY)


def reads(page: Page, screenshots: Path) -> None:
    """Read the results, and move the threshold."""
    expect(page.get_by_role("heading", name="Where to draw the line")).to_be_visible()
    expect(page.locator("#tp")).not_to_have_text("–")  # the page's script has its numbers
    page.get_by_role("slider", name="Threshold").press("End")
    expect(page.locator("#tp")).to_have_text("0")
    pictured(page, "story-results", screenshots)


def runs_the_code(consortium: Consortium, page: Page, folder: Path) -> None:
    """Run the script with the hospitals' tables: its models are those that the hospitals made together."""
    page.get_by_role("link", name="Code", exact=True).first.click()
    with page.expect_download() as taken:
        page.get_by_role("link", name="Script").click()
    script = folder / "study.py"
    taken.value.save_as(script)
    for site in SITES:
        (folder / f"{site}.csv").write_bytes((consortium.folder / f"{site}.csv").read_bytes())
    done = subprocess.run(
        [sys.executable, str(script)], cwd=folder, capture_output=True, text=True, check=False, timeout=200
    )
    assert "The models are those of the study, to the bit." in done.stdout, done.stdout + done.stderr


def is_written_down(page: Page, screenshots: Path) -> None:
    """Read in the audit log who launched what."""
    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_text("launch-study").first).to_be_visible()
    pictured(page, "story-audit", screenshots)


def typed(consortium: Consortium, *words: str, home: Path | None = None) -> str:
    """Type a command of ours, and return what it prints."""
    command = [*MEDFL, *words, "--home", str(home or consortium.hub.folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout


def put(page: Page, path: str, value: str) -> None:
    """Fill a field and leave it, and wait until the draft has taken it in."""
    with page.expect_response(re.compile("/drafts/[0-9a-f]+/set")):
        field = page.locator(f'[id="{path}"]')
        field.fill(value)
        field.blur()


def _policy(consortium: Consortium, site: str) -> None:
    """Have a hospital tell what its data sets are like, ask its people, or refuse one of the rules."""
    text = POLICY.replace("catalogue = false", "catalogue = true")
    if site in ASKED:
        text = text.replace('mode = "within-policy"', 'mode = "each"')
    if site == STRICT:
        text = text.replace('algorithms = "any"', 'algorithms = ["fedavg", "fedprox", "fedyogi"]')
    Place(consortium.homes[site].folder).policy.write_text(text, encoding="utf-8")
