"""Report, methods, model card and check say what was promised, to whom, and what was spent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from medfl.inspection import inspect
from medfl.publish.glance import glance
from medfl.publish.leaving import leaving
from medfl.publish.methods import methods
from medfl.publish.model_card import model_card
from medfl.publish.report import report
from medfl.simulate import Results, simulate
from medfl.spec.merging import merge
from medfl.spec.study import Study
from medfl.testing.federation import DECLARED, study, tables

DP: dict[str, Any] = {"unit": "record", "epsilon": 4.0, **DECLARED}
SITE = {**DP, "unit": "site", "noise": "central"}


def asked(**changes: Any) -> Study:
    spec = study().model_dump(mode="json", exclude_none=True)
    arms = {"arm": changes.pop("arm")} if "arm" in changes else {}
    return Study.model_validate({**merge(spec, {"preprocess": {"impute": "drop"}, **changes}), **arms})


def both() -> Study:
    return asked(arm=[{"name": "open", "algorithm": {"rounds": 1}}, {"name": "private", "privacy": {"dp": DP}}])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return simulate(both(), tables(), home=tmp_path_factory.mktemp("home"), progress=False)


def test_the_model_card_tells_what_was_spent(found: Results) -> None:
    plain, private = found.view.runs
    spent = private.privacy
    assert spent is not None
    assert spent.epsilon is not None
    assert f"ε = {spent.epsilon:.3g}" in model_card(private)
    assert "for a single row" in model_card(private)
    assert "without secure aggregation or differential privacy" in model_card(plain)


def test_methods_tell_each_arm_by_itself(found: Results) -> None:
    text = " ".join(paragraph.text for paragraph in methods(found.view.spec))
    assert "In arm open: no row was part" in text
    assert "Each run kept to differential privacy with ε = 4" in text
    assert "DP-SGD (Abadi et al. 2016)" in text
    assert "drawn for each by itself, not stratified" in text


def test_the_report_tells_what_left_with_noise_and_what_without(found: Results) -> None:
    told = leaving(found.view)
    by_name = {item.when: item.what for item in told.items}
    assert "smallest and largest" in by_name["Before training"]
    assert "ranges were declared" in by_name["Before training (arm private)"]
    assert "with noise" in by_name["For judging (arm private)"]
    assert "no noise was added" in told.seen
    assert re.search(r"spent up to ε = [34]\.?\d* each", told.seen)
    assert "DP-SGD" in report(found.view)


def test_check_says_what_is_promised_and_what_it_costs() -> None:
    text = told(asked(privacy={"dp": DP}))
    assert "whether one row took part" in text
    assert "ε = 4" in text
    assert "nobody else need be trusted" in text
    assert re.search(r"east: noise [\d.]+ times the longest gradient, 33\.\d+% of the units a step, 6 steps", text)
    assert "What it costs" in text
    assert "That is the best case" in text
    assert re.search(r"sums for preprocessing is [\d.]+ times what one record can change, among \d+ at the", text)
    assert "cannot be told without trying it" in text
    assert "little loss" not in text
    assert "smallest and largest value" not in text
    assert "Secure aggregation and differential privacy are not in force" not in text


def test_check_tells_the_noise_of_each_arm_by_itself() -> None:
    text = said(both())
    assert re.search(r"Arm 'private': east: noise [\d.]+ times", text)
    assert "Arm 'open': Before training: column names" in text


def test_check_says_that_the_hub_is_trusted_where_it_is() -> None:
    text = told(asked(privacy={"dp": SITE}, preprocess={"scale": "min-max"}))
    assert "has to be trusted" in text
    assert "hundreds of sites" in text


def test_looking_at_a_study_spends_nothing(tmp_path: Path) -> None:
    inspect(asked(privacy={"dp": DP}), tables(), home=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if "ledger" in path.name]


def test_what_depends_on_the_unit_is_said_of_it() -> None:
    """Classes are counted exactly where whole sites are protected; δ does not follow from rows there."""
    whole = asked(privacy={"dp": SITE}, preprocess={"scale": "min-max"})
    assert "to train and to test on, by outcome, which count as known" in told(whole)
    single = told(asked(privacy={"dp": DP}))
    assert "by outcome, which count" not in single
    assert "keeps its place and says nothing" in single
    by_unit = {
        unit: " ".join(part.text for part in methods(one.model_dump(mode="json", exclude_none=True)))
        for unit, one in (("site", whole), ("record", asked(privacy={"dp": DP})))
    }
    assert "(δ = 1e-05) for a whole site" in by_unit["site"]
    assert "a tenth of 1 / records trained on) for a single row" in by_unit["record"]


def test_a_simulation_says_that_its_noise_follows_from_the_seed(found: Results) -> None:
    plain, private = found.view.runs
    assert "whoever knows that can take it off again" in leaving(found.view).seen
    assert "whoever knows that can take it off again" in model_card(private)
    assert "noise" not in model_card(plain)
    assert "whoever knows the seed can take it off" in told(asked(privacy={"dp": DP}))


def test_metrics_with_noise_on_them_are_said_to_have_it(found: Results, tmp_path: Path) -> None:
    cautions = " ".join(glance(found.view).cautions)
    assert "Metrics of private are read from counts with noise on them" in cautions
    alone = simulate(asked(privacy={"dp": DP}), tables(), home=tmp_path, progress=False)
    cautions = " ".join(glance(alone.view).cautions)
    assert "All metrics are read from counts with noise on them" in cautions
    assert "the intervals speak" not in cautions


def told(one: Study) -> str:
    spec = merge(one.model_dump(mode="json", exclude_none=True), {"evaluation": {"baselines": []}})
    return said(Study.model_validate(spec))


def said(one: Study) -> str:
    return "\n".join(text for section in inspect(one, tables()).sections for text in section.sentences)
