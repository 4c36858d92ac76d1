"""Somebody repairs tables that do not fit together, by clicks alone, and the study then runs as if they always had."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from medfl import simulate
from medfl.spec.reading import parse
from medfl.testing.pictures import pictured

SOON = 120_000
STUDY = """
[study]
name = "readmission"
question = "Who is readmitted within 30 days?"

[data]
target = "readmitted"
features = ["age", "glucose", "sex", "bmi"]

[data.sites]
northfield = "FOLDER/northfield.csv"
riverside = "FOLDER/riverside.csv"
westhill = "FOLDER/westhill.csv"

[algorithm]
kind = "fedavg"
rounds = 2
"""


def table(rows: int, seed: int) -> pd.DataFrame:
    """Return a hospital's table; glucose stands in mg/dL, as the multiple of what it is in mmol/L."""
    draw = np.random.default_rng(seed)
    age, bmi = draw.integers(20, 95, rows), draw.normal(27, 4, rows).round(1)
    glucose, sex = draw.integers(35, 170, rows) / 10 * 18.016, draw.choice(["female", "male"], rows)
    risk = (age - 60) / 12 + (glucose - 180) / 60 + draw.normal(0, 1, rows)
    readmitted = np.where(risk > 0.2, "yes", "no")
    return pd.DataFrame({"age": age, "glucose": glucose, "sex": sex, "bmi": bmi, "readmitted": readmitted})


@pytest.fixture
def hospitals(tmp_path: Path) -> Path:
    """Return a folder with three hospitals' tables, of which the last is written otherwise."""
    for number, name in enumerate(("northfield", "riverside", "westhill")):
        frame = table(200 + 40 * number, number)
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    there = pd.DataFrame(
        {
            "age": frame["age"],
            "GLU": (frame["glucose"] / 18.016).round(1),
            "gender": frame["sex"].map({"female": "F", "male": "M"}),
            "bmi": frame["bmi"],
            "readmitted": frame["readmitted"].map({"yes": 1, "no": 0}),
        }
    )
    there.to_csv(tmp_path / "westhill.csv", index=False)
    return tmp_path


def test_a_mismatch_is_fixed_by_clicks(page: Page, hospitals: Path, screenshots: Path) -> None:
    page.goto("/new")
    page.get_by_label("Paste it; the form follows.").fill(STUDY.replace("FOLDER", str(hospitals)))
    page.get_by_role("button", name="Open it").click()
    expect(page.locator("#verdict")).to_contain_text("three things in the tables")
    page.locator("#table-westhill summary").click()
    pictured(page, "tables-differ", screenshots)
    page.get_by_role("button", name="Accept the repair of glucose at westhill").click()
    expect(page.locator("#read-westhill-glucose-factor")).to_have_value("18.016")
    expect(page.locator("#verdict")).to_contain_text("two things in the tables")
    page.get_by_role("button", name="Accept all 2 repairs").click()
    expect(page.get_by_text("All tables have the columns of this study, alike.")).to_be_visible()
    expect(page.locator("#verdict")).to_contain_text("This study is sound")
    pictured(page, "tables-repaired", screenshots)
    page.locator("#read-westhill-sex-codes").fill("M = male")
    page.locator("#read-westhill-sex-codes").blur()
    expect(page.locator(".gap")).to_contain_text("F → female")
    page.get_by_role("button", name="Accept the repair of sex at westhill").click()
    page.get_by_role("tab", name="Spec").click()
    expect(page.locator("#text")).to_have_value(re.compile(r'sex = {called = "gender", codes = {.*F = "female"'))
    text = page.locator("#text").input_value()
    page.get_by_role("button", name="Look at the plan").click()
    expect(page.get_by_text("At westhill, glucose is read from GLU, times 18.016")).to_be_visible()
    page.get_by_role("button", name="Start the study").click()
    page.get_by_role("link", name="See the results").click(timeout=SOON)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Who is readmitted")
    models = page.evaluate("async () => (await (await fetch('/api' + location.pathname)).json()).models")
    found = simulate(parse(text, source="study.toml"), home=hospitals / "home", progress=False)
    assert [*models.values()] == [run["model"] for run in found.summary["runs"]], "clicks and Python give one model"


def test_the_starter_for_own_tables_takes_one_and_shows_it(page: Page, hospitals: Path) -> None:
    page.goto("/new")
    page.get_by_role("button", name="Use my tables").click()
    page.get_by_label("Name of the site").fill("northfield")
    page.get_by_label("CSV, Parquet or Excel file").set_input_files(hospitals / "northfield.csv")
    page.get_by_role("button", name="Add it").click()
    expect(page.locator("#tables")).to_contain_text("200 rows, 5 columns")
    expect(page.locator('[id="data.target"]')).to_have_attribute("list", "names-of-columns")
