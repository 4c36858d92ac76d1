"""What policies held back is told beside the results: in the table's sentences, the report, the card, the methods."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from medfl.events import Noticed
from medfl.publish.glance import glance
from medfl.publish.methods import methods, setting_of
from medfl.publish.model_card import model_card
from medfl.publish.policies import held_back, methods_of_policies
from medfl.simulate import Results, simulate
from medfl.site.rules_template import template
from medfl.testing.federation import study, table

POLICY = (
    template()
    .replace("studies = []", 'studies = ["tiny"]')
    .replace("secure_aggregation = true", "secure_aggregation = false")
    .replace("minimum_rows = 50", "minimum_rows = 20")
)
"""The small site has fewer than 20 test rows."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("policies")
    (folder / "policy.toml").write_text(POLICY, encoding="utf-8")
    tables: dict[str, pd.DataFrame] = {"large": table(400, 1), "other": table(300, 2), "small": table(60, 3)}
    return simulate(study(), tables, home=folder / "home", policy=folder / "policy.toml", progress=False)


def test_a_notice_of_a_rule_is_told_from_others() -> None:
    notices = [
        Noticed(run="a", site="east", text="ranges were widened (releases.ranges in the site's policy)"),
        Noticed(run="a", site="west", text="ranges were widened (releases.ranges in the site's policy)"),
        Noticed(run="a", site="west", text="3 rows were left out: the outcome or a feature is missing"),
    ]
    assert held_back(notices) == {"ranges were widened": ("east", "west")}
    assert methods_of_policies(held_back(notices)).endswith(
        "at two sites held back or changed part of what was sent: ranges were widened (east and west)."
    )
    assert methods_of_policies({}) == ""


def test_a_metric_that_a_policy_keeps_is_not_called_undefined(results: Results) -> None:
    told = " ".join(" ".join(str(part).split()) for part in (results, glance(results.view)))
    assert "AUC of small was not told: a policy there keeps it." in told
    assert "Policies of large, other and small held back or changed part of what was sent" in told
    assert "do not have both outcomes" not in told


def test_methods_and_card_say_what_was_changed(results: Results) -> None:
    (run,) = results.view.runs
    text = {one.title: one.text for one in methods(run.spec, setting_of(run))}["Disclosure control"]
    assert "ranges of columns were widened to round numbers (large, other and small)" in text
    assert "metrics stayed: too few test rows" in text
    assert "releases.ranges in the site's policy" in model_card(run).replace("\\", "")


def test_the_report_says_so_too(results: Results, tmp_path: Path) -> None:
    page = results.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "widened to round numbers" in page
    assert "a policy there keeps it" in page
