"""Somebody sees at ε what a promise is expected to cost, and tries it out before launching anything."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from medfl.testing.federation import table
from medfl.testing.pictures import pictured

SOON = 120_000
STUDY = """
[study]
name = "kept-secret"
question = "Who falls ill, without telling of anybody?"

[data]
target = "sick"
positive = "1"
features = ["age", "dose"]

[data.sites]
northfield = "FOLDER/northfield.csv"
riverside = "FOLDER/riverside.csv"

[preprocess]
impute = "median"

[algorithm]
kind = "fedavg"
rounds = 2

[privacy.dp]
unit = "record"
epsilon = 3.0
ranges = { age = [0, 120], dose = [-9, 9] }
"""


def test_what_a_promise_costs_is_reckoned_and_tried(page: Page, tmp_path: Path, screenshots: Path) -> None:
    for number, name in enumerate(("northfield", "riverside")):
        table(200 + 90 * number, number).to_csv(tmp_path / f"{name}.csv", index=False)
    page.goto("/new")
    page.get_by_label("Paste it; the form follows.").fill(STUDY.replace("FOLDER", str(tmp_path)))
    page.get_by_role("button", name="Open it").click()
    expect(page.locator("#verdict")).to_contain_text("This study is sound")
    expect(page.locator("#tables")).to_contain_text("54 %")
    cost = page.get_by_role("note", name="Expected cost")
    expect(cost).to_contain_text("Reckoned as if every site were as small as northfield")
    expect(cost).to_contain_text("It cannot be told without trying it.")
    pictured(page, "design-cost", screenshots)
    page.locator('[id="privacy.dp.epsilon"]').fill("0.01")
    page.locator('[id="privacy.dp.epsilon"]').press("Tab")
    expect(cost).to_contain_text("Most of what could be learned is lost in the noise.")
    page.get_by_role("button", name="Try what it costs").click()
    expect(page.get_by_role("heading", name="What privacy costs")).to_be_visible()
    expect(page.get_by_role("table")).to_contain_text("AUC", timeout=SOON)
    expect(page.get_by_text("at ε = 0.01").first).to_be_visible()
    expect(page.get_by_role("note", name="Expected cost")).to_contain_text("Tried out: AUC")
    pictured(page, "cost", screenshots)
