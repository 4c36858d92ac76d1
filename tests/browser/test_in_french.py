"""The first study again, read in French: every page accessible, and nothing but names in English."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from medfl.testing.pictures import pictured

SOON = 120_000
"""Milliseconds for a study; it takes five seconds on a quiet machine."""


@pytest.fixture(scope="module")
def context(browser: Browser, application: str) -> Iterator[BrowserContext]:
    """A French browser that came by the link."""
    context = browser.new_context(
        base_url=application.partition("/enter")[0],
        viewport={"width": 1280, "height": 860},
        locale="fr-FR",
        timezone_id="UTC",
    )
    first = context.new_page()
    first.goto(application)
    first.close()
    yield context
    context.close()


def test_a_first_study_in_french(page: Page, screenshots: Path) -> None:
    page.goto("/")
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    expect(page.get_by_role("heading", level=1)).to_contain_text("sans déplacer une seule ligne de patient")
    pictured(page, "french-home-empty", screenshots)
    page.get_by_role("link", name="Quatre hôpitaux apprennent-ils mieux ensemble que seuls").click()
    expect(page.get_by_role("heading", name="Ce qui quitte un site")).to_be_visible()
    expect(page.locator('main [lang="en"]')).to_have_count(0)
    pictured(page, "french-plan", screenshots)
    page.get_by_role("button", name="Lancer l’étude").click()
    expect(page.get_by_role("heading", name="Qui participe")).to_be_visible(timeout=SOON)
    page.get_by_role("link", name="Voir les résultats").click(timeout=SOON)
    expect(page.get_by_role("heading", name="Où placer le seuil")).to_be_visible()
    expect(page.locator("#sensitivity")).to_have_text(re.compile(r"^\d+(,\d)?\s%$"))
    expect(page.locator("#roc")).to_contain_text("spécificité")
    pictured(page, "french-results", screenshots)
    page.get_by_role("link", name="Études").first.click()
    expect(page.get_by_role("heading", name="Terminées")).to_be_visible()
    expect(page.locator("time").first).to_have_text(
        re.compile("janv|févr|mars|avr|mai|juin|juil|août|sept|oct|nov|déc")
    )
    pictured(page, "french-home", screenshots)


def test_a_number_with_a_comma_is_a_number(page: Page, screenshots: Path) -> None:
    page.goto("/new")
    page.get_by_role("button", name="Commencer").click()
    expect(page.locator("#verdict")).to_contain_text("à corriger")
    rate = page.locator('[id="training.learning_rate"]')
    with page.expect_response(re.compile("/drafts/[0-9a-f]+/set")):
        rate.fill("0,25")
        rate.blur()
    expect(page.locator("#text")).to_have_value(re.compile(r"learning_rate = 0\.25"))
    expect(rate).to_have_value("0,25")
    pictured(page, "french-design", screenshots)
    word = page.locator("#step-training").get_by_role("button", name="taux d’apprentissage")
    word.focus()
    word.press("Enter")
    expect(page.get_by_text("De combien un pas change les poids")).to_be_visible()
    pictured(page, "french-term", screenshots)
    page.keyboard.press("Escape")
    expect(page.get_by_text("De combien un pas change les poids")).to_be_hidden()


def test_the_switch_turns_the_page_that_one_is_on(page: Page) -> None:
    page.goto("/new?from=here")
    page.get_by_role("button", name="English").click()
    expect(page).to_have_url(re.compile(r"/new\?from=here$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("What shall the new study begin with?")
    page.get_by_role("button", name="Français").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Par quoi commence la nouvelle étude ?")


@pytest.mark.parametrize("width", [820, 390])
def test_no_french_page_is_wider_than_its_window(width: int, page: Page) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for path in ("/", "/new", "/start/breast-cancer"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto("/new")
    page.get_by_role("button", name="Commencer").click()
    expect(page.locator("#verdict p").first).to_be_visible()
    page.locator("#step-privacy button.small").first.click()
    expect(page.locator("#step-arms")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
