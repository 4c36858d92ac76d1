"""The people of a consortium in a real browser: invited, signed in, with a second factor, kept and looked after."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from medfl.consortium import pages_of
from medfl.hub.people.audit import TERMINAL
from medfl.hub.people.consortium import People
from medfl.hub.people.permits import Role
from medfl.hub.place import About, HubPlace
from medfl.store.home import Home
from medfl.testing.hub import invited
from medfl.testing.pages import serving
from medfl.testing.people import GOOD, cheap

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubPlace]:
    """A hub whose pages are served over TLS, as at its port."""
    folder = tmp_path_factory.mktemp("people")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hub = HubPlace(folder / "hub")
        hub.make(About("Breast Cancer Consortium", "127.0.0.1", int(listener.getsockname()[1])))
        for site in ("charite", "mayo", "toulouse"):
            invited(hub, site)
        (hub.folder / "people.toml").write_text('second_factor = ["admin"]\n', encoding="utf-8")
        with Home(hub.folder) as home, serving(pages_of(hub, home), listener, tls=(hub.certificate, hub.key)):
            yield hub


@pytest.fixture
def page(browser: Browser, hub: HubPlace) -> Iterator[Page]:
    """A window in which nothing may go wrong unseen; what is refused on purpose is said by its status."""
    context = browser.new_context(
        base_url=f"https://127.0.0.1:{hub.about.port}",
        viewport={"width": 1280, "height": 860},
        locale="en-GB",
        timezone_id="UTC",
        ignore_https_errors=True,
    )
    page, wrong = context.new_page(), list[str]()
    page.on("console", lambda told: wrong.append(told.text) if told.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    context.close()
    assert not [text for text in wrong if "status of 40" not in text]


def pictured(page: Page, screenshots: Path, name: str) -> None:
    """Leave pictures in light and dark, and narrow, and look for what somebody with a disability would stumble over."""
    page.evaluate("window.scrollTo(0, 0)")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=screenshots / f"{name}-{scheme}.png", full_page=True)
        found = Axe().run(page, options=RULES)
        assert not found.response["violations"], found.generate_report()
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 820, "height": 1100})
    page.screenshot(path=screenshots / f"{name}-tablet.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 820, f"{name} is wider than a tablet"
    page.set_viewport_size({"width": 1280, "height": 860})


def app_of(page: Page) -> pyotp.TOTP:
    """Return the app that a person sets up with the letters on the account page."""
    return pyotp.TOTP(page.locator(".factor code").inner_text().replace(" ", ""))


def signed_in(page: Page, name: str) -> None:
    page.goto("/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(GOOD)
    page.get_by_role("button", name="Sign in").click()


def test_an_administrator_comes_by_a_link_and_invites_others(page: Page, hub: HubPlace, screenshots: Path) -> None:
    people = People.at(hub.folder, name=hub.about.name)
    token = people.accounts.add("ada@charite.example", "Ada Lovelace", [Role.ADMIN, Role.RESEARCHER], [], by=TERMINAL)
    page.goto(f"/welcome?token={token}")
    pictured(page, screenshots, "welcome")
    page.get_by_label("Password").fill(GOOD)
    page.get_by_label("Once more").fill("something else here")
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("alert")).to_contain_text("The two passwords are not the same")
    page.get_by_label("Password").fill(GOOD)
    page.get_by_label("Once more").fill(GOOD)
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("status")).to_contain_text("Your password is set")

    page.get_by_label("Name").fill("ada@charite.example")
    page.get_by_label("Password").fill("not the right one")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("Name, password or code is not right")
    pictured(page, screenshots, "sign-in")
    page.get_by_label("Password").fill(GOOD)
    page.get_by_role("button", name="Sign in").click()

    expect(page).to_have_url(re.compile("/account$"))
    expect(page.get_by_text("Set up a second factor first")).to_be_visible()
    pictured(page, screenshots, "account-first")
    totp = app_of(page)
    page.get_by_role("textbox", name="Code").fill(totp.now())
    page.get_by_role("button", name="Set up").click()
    expect(page.get_by_role("heading", name="Codes for paper")).to_be_visible()
    paper = page.locator(".paper code").first.inner_text()

    page.get_by_role("link", name="People").click()
    page.get_by_text("Add somebody").click()
    page.get_by_label("Name to sign in with").fill("grace")
    page.get_by_label("Name that people read").fill("Grace Hopper")
    box = page.locator("details.box")
    box.get_by_label("data owner").check()
    box.get_by_label("toulouse").check()
    page.get_by_role("button", name="Make a link").click()
    link = page.locator(".once").inner_text()
    assert link.startswith(f"https://127.0.0.1:{hub.about.port}/welcome?token=")
    for name, title, role in (
        ("marie", "Marie Curie", Role.RESEARCHER),
        ("alan", "Alan Turing", Role.AUDITOR),
        ("barbara", "Barbara Liskov", Role.COORDINATOR),
    ):
        people.accounts.add(name, title, [role], [], by=TERMINAL)
    people.accounts.disable("alan", by=TERMINAL)
    page.goto("/people")
    page.get_by_text("Change Grace Hopper").click()
    pictured(page, screenshots, "people")

    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in$"))
    page.goto("/people")
    expect(page).to_have_url(re.compile("/sign-in\\?next=%2Fpeople$"))
    page.get_by_label("Name").fill("ada@charite.example")
    page.get_by_label("Password").fill(GOOD)
    page.get_by_label("Code").fill(paper)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile("/people$"))

    page.get_by_role("link", name="Ada Lovelace").click()
    page.get_by_text("Make a token").click()
    page.get_by_label("What it is for").fill("nightly figures")
    page.get_by_label("see a study").check()
    page.get_by_role("button", name="Make the token").click()
    expect(page.locator(".once")).to_contain_text("medfl_")
    page.get_by_text("Make a token").click()
    pictured(page, screenshots, "account")

    page.get_by_role("link", name="Audit").click()
    page.get_by_label("Lines with these words").fill("ada")
    page.get_by_role("button", name="Look through the whole chain").click()
    expect(page.get_by_role("heading", name="The chain is whole")).to_be_visible()
    pictured(page, screenshots, "audit")


def test_what_somebody_may_not_do_is_refused_with_its_reason(page: Page, hub: HubPlace, screenshots: Path) -> None:
    people = People.at(hub.folder, name=hub.about.name, hashes=cheap())
    people.accounts.take_link(people.accounts.add("uma", "Uma", [Role.AUDITOR], [], by=TERMINAL), GOOD, by=TERMINAL)
    people.accounts.take_link(
        people.accounts.add("rosa", "Rosa", [Role.RESEARCHER], [], by=TERMINAL), GOOD, by=TERMINAL
    )
    signed_in(page, "uma")
    expect(page.get_by_role("link", name="New study")).to_have_count(0)
    page.goto("/new")
    expect(page.get_by_text("an auditor reads everything and changes nothing")).to_be_visible()
    pictured(page, screenshots, "refused")
    page.get_by_role("button", name="Sign out").click()
    signed_in(page, "rosa")
    expect(page.get_by_role("link", name="Audit")).to_have_count(0)
    page.goto("/new")
    page.goto("/start/breast-cancer")
    page.get_by_role("button", name=re.compile("draft|change|Edit", re.IGNORECASE)).first.click()
    expect(page).to_have_url(re.compile("/drafts/"))
    page.goto(page.url + "/share")
    page.get_by_label("Names of accounts").fill("uma")
    page.get_by_role("button", name="Share").click()
    expect(page.get_by_label("Names of accounts")).to_have_value("uma")
    pictured(page, screenshots, "share")
