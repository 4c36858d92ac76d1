"""Margins, groups, contributions and features as they are told: in figures, sentences, tables, cards and methods."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from medfl.events import Evaluated, RunPlanned
from medfl.publish.glance import glance
from medfl.publish.leaving import leaving
from medfl.publish.methods import methods
from medfl.publish.model_card import model_card
from medfl.publish.parts import MOST_FEATURES, SUPPRESSED, features, groups, in_words, margins, weights
from medfl.publish.plots_of_parts import dot_plot
from medfl.publish.report import report
from medfl.publish.tables import importances, worst
from medfl.publish.terminal import plain, results
from medfl.publish.ways import name_of
from medfl.spec.study import Study
from medfl.store.folding import view_execution, view_run
from medfl.store.noninferiority import noninferiority
from medfl.store.subgroups import by_site, subgroups
from medfl.store.views import ExecutionView
from medfl.testing import story

ASKED: Mapping[str, Any] = {
    "margin": 0.01,
    "contributions": {"kind": "shapley"},
    "importance": {"repeats": 3},
    "subgroups": {"sex": {"column": "sex"}, "age": {"column": "age", "cuts": [40]}},
}


def asked(**evaluation: Any) -> Study:
    return story.study(evaluation={**ASKED, **evaluation})


def parts(event: Evaluated) -> Evaluated:
    """Return a final judgement with groups and features; the sites are those of the story."""
    if not event.final or not event.pooled:
        return event
    auc = event.pooled["auc"] or 0.0
    known = {"auc": auc - 0.02, "accuracy": 0.7}
    shown = {"rows": 40, "metrics": known, "intervals": {"auc": (auc - 0.1, auc + 0.05)}, "sites": ["lakeside"]}
    hidden: dict[str, Any] = {"rows": None, "metrics": {}, "intervals": {}, "sites": [], "suppressed": ["st-anne"]}
    sex = [{"group": "f", **shown, "suppressed": []}, {"group": "m", **hidden}]
    return replace(
        event,
        subgroups=(
            {"grouping": "sex", "column": "sex", "withheld": [], "groups": sex},
            {"grouping": "age", "column": "age", "withheld": ["st-anne"], "groups": []},
        ),
        importance=tuple(
            {"feature": f"feature {place:02}", "metrics": {"auc": [auc - 0.01 * place - 0.001 * k for k in range(3)]}}
            for place in range(15)
        ),
    )


def told(spec: Study) -> ExecutionView:
    plans = list(story.plans(spec, name="x"))
    sites = tuple(story.SITES)
    coalitions = [
        replace(plan, run=f"{plan.run}-{'-'.join(members)}", role="coalition", members=members)
        for plan in plans
        if plan.role == "arm"
        for members in [(site,) for site in sites]
        + [tuple(other for other in sites if other != site) for site in sites]
    ]
    every = [*plans, *(coalitions if spec.evaluation.contributions else [])]
    events = [*every, *(event for plan in every for event in _run(plan))]
    if spec.evaluation.subgroups:
        events = [parts(event) if isinstance(event, Evaluated) else event for event in events]
    recorded = story.recorded(events)
    return view_execution([view_run([one for one in recorded if one.event.run == plan.run]) for plan in every])


def _run(plan: RunPlanned) -> list[Any]:
    arm = replace(plan, role="arm")
    return [replace(event, run=plan.run) for event in story.run(arm if plan.role == "coalition" else plan)]


@pytest.fixture(scope="module")
def whole() -> ExecutionView:
    return told(asked())


def test_a_margin_is_drawn_with_its_difference_and_verdict(whole: ExecutionView) -> None:
    (view,) = margins(whole, "auc")
    assert (view.margin, view.reference) == (-0.01, 0.0)
    assert [row.name for row in view.rows] == ["fedavg − centralised", "fedyogi − centralised"]
    for row, one in zip(view.rows, noninferiority(whole, "auc"), strict=True):
        assert row.dots[0].text.endswith(f"), {one.verdict}")
    assert margins(told(asked(margin=None)), "auc") == ()


def test_groups_are_drawn_and_what_is_suppressed_has_no_number(whole: ExecutionView) -> None:
    view = groups(whole, "auc")
    assert view is not None
    assert [(row.name, row.count, len(row.dots)) for row in view.rows] == [
        ("sex", "", 0), ("f", "40", 3), ("m", "–", 1), ("age", "", 0), ("all groups", "–", 1),
    ]  # fmt: skip
    for row in view.rows[2], view.rows[4]:
        assert [(dot.estimate, dot.text) for dot in row.dots] == [(None, SUPPRESSED)]
    assert "m: suppressed" in in_words(view)


def test_sites_are_drawn_by_what_they_add(whole: ExecutionView) -> None:
    first, second = weights(whole, "auc")
    assert {row.name for row in first.rows} == set(story.SITES)
    means = [row.dots[0].estimate.mean for row in first.rows if row.dots[0].estimate]
    assert means == sorted(means, reverse=True)
    assert "fedyogi" in second.title


def test_the_features_that_cost_most_are_drawn_and_all_are_in_the_table(whole: ExecutionView) -> None:
    view = features(whole, "auc")
    assert view is not None
    assert [row.name for row in view.rows] == [f"feature {place:02}" for place in range(14, 14 - MOST_FEATURES, -1)]
    marks, lines = importances(whole)
    assert [mark.label for mark in marks] == ["fedavg", "fedyogi", "centralised"]
    assert len(lines) == 15


def test_figures_are_the_same_text_each_time_and_hold_every_row(whole: ExecutionView) -> None:
    views = [*margins(whole, "auc"), groups(whole, "auc"), *weights(whole, "auc"), features(whole, "auc")]
    for view in views:
        assert view is not None
        drawn = dot_plot(view, name="x")
        assert drawn == dot_plot(view, name="x")
        for row in view.rows:
            assert f">{row.name}<" in drawn.replace("&lt;", "<")
            assert all(dot.text in drawn for dot in row.dots)
        assert 'role="img"' in drawn


def test_the_report_tells_each_part_once(whole: ExecutionView) -> None:
    page = report(whole)
    for section in ("groups", "weights", "features", "figure-margins"):
        assert page.count(f'id="{section}"') == 1
    assert "By age, nothing could be shown at st-anne." in page
    assert "share their importance" in page
    assert "They add up to what all sites gain over the untrained model" in page
    assert "The site served worst" in page
    without = report(told(story.study()))
    assert not any(f'id="{section}"' in without for section in ("groups", "weights", "features", "figure-margins"))


def test_sentences_claim_what_was_measured(whole: ExecutionView) -> None:
    says = " ".join(glance(whole).says)
    assert "than all rows in one place by more than the margin of 0.010 in AUC" in says
    assert "in sex f, the one group of patients that is shown; one group is too small to be shown anywhere" in says
    assert "Contribution of each site to fedavg in AUC, Shapley value:" in says
    assert "loses most AUC when these are shuffled: feature 14" in says


def test_on_one_split_a_verdict_speaks_of_training_only() -> None:
    def said(**evaluation: Any) -> str:
        return " ".join(text for text in glance(told(asked(contributions=None, **evaluation))).says if "margin" in text)

    assert said(split_seed=3).count("2 repeats of one split, so of the chance in training only") == 2
    assert "one split" not in said()


def test_many_arms_are_told_in_one_sentence() -> None:
    spec = asked(contributions=None)
    arms = [{"name": f"arm-{number}"} for number in range(5)]
    many = Study.model_validate(spec.model_dump(mode="json", exclude_none=True) | {"arm": arms})
    says = [text for text in glance(told(many)).says if "margin" in text]
    assert len(says) == 1
    assert "by the margin of 0.010 in AUC" in says[0]


def test_the_terminal_has_a_line_for_each_way_at_its_worst_site(whole: ExecutionView) -> None:
    text = plain(results(whole))
    assert "Worst site" in text
    assert [line.mark.label for line in worst(whole)] == ["alone", "fedavg", "fedyogi", "centralised"]
    assert all(f" {line.site} " in text for line in worst(whole))
    assert max(map(len, text.splitlines())) <= 100


def test_a_coalition_is_called_by_who_trained(whole: ExecutionView) -> None:
    names = [name_of(whole, run) for run in whole.coalitions[:6]]
    sites = list(story.SITES)
    assert names[0] == f"fedavg, by {sites[0]} only"
    assert names[3] == f"fedavg without {sites[0]}"


def test_the_card_tells_groups_instead_of_saying_that_none_were_examined(whole: ExecutionView) -> None:
    card = model_card(whole.runs[0])
    assert "| sex: f | 40 |" in card
    assert "| sex: m | – | suppressed |" in card
    assert "was not examined" not in card
    assert "only, to tell what each site contributes" not in card
    assert f"**Trained by {whole.coalitions[0].members[0]} only" in model_card(whole.coalitions[0])
    assert "was not examined" in model_card(told(story.study()).runs[0])


def test_methods_name_every_setting() -> None:
    told_in_full = asked(
        smallest_group=15, contributions={"kind": "shapley", "permutations": 30}, importance={"repeats": 7}
    )
    text = " ".join(paragraph.text for paragraph in methods(json.loads(told_in_full.canonical)))
    for setting in ("margin of 0.01", "age cut at 40 and sex", "fewer than 15", "30 random orders", "seven times"):
        assert setting in text
    left_out = json.loads(asked(contributions={"kind": "leave-one-out"}).canonical)
    assert "the others trained without it" in " ".join(paragraph.text for paragraph in methods(left_out))
    assert "Further comparisons" not in [paragraph.title for paragraph in methods(json.loads(story.study().canonical))]


def test_what_leaves_for_it_is_said(whole: ExecutionView) -> None:
    heads = [item.when for item in leaving(whole).items]
    assert {"For groups of patients", "For the importance of features"} <= set(heads)
    assert len(leaving(told(story.study())).items) == len(heads) - 2


def test_what_leaves_for_one_arm_only_is_said() -> None:
    arms = [{"name": "fedavg"}, {"name": "fedprox", "evaluation": {"importance": {}, "fine_tune": {}}}]
    what = Study.model_validate(json.loads(story.study().canonical) | {"arm": arms})
    heads = [item.when for item in leaving(replace(told(story.study()), spec=json.loads(what.canonical))).items]
    assert {"For the importance of features", "For fine-tuning at each site"} <= set(heads)


def test_groups_over_repeats_are_means_with_intervals(whole: ExecutionView) -> None:
    women, men = subgroups(whole.arms["fedavg"], ("auc", "accuracy"))
    assert (women.rows, women.suppressed, women.estimates["auc"].n) == (40, (), 2)
    assert (men.rows, dict(men.estimates), men.suppressed) == (None, {}, ("st-anne",))
    (once, _) = subgroups(whole.arms["fedavg"][:1], ("auc", "accuracy"))
    assert once.estimates["auc"].how == "bootstrap"
    assert once.estimates["accuracy"].how == "single value"
    assert [group.group for group in by_site(whole.arms["fedavg"], ("auc",))] == list(story.SITES)
