from __future__ import annotations

from collections.abc import Sequence

import pytest

from medfl.events import Event
from medfl.store.folding import view_execution, view_run
from medfl.store.results import headline, results_table, worst_site
from medfl.store.views import ExecutionView
from medfl.testing import story


def executed(events: Sequence[Event]) -> ExecutionView:
    recorded = story.recorded(events)
    runs = dict.fromkeys(entry.event.run for entry in recorded)
    return view_execution([view_run(entry for entry in recorded if entry.event.run == run) for run in runs])


@pytest.fixture(scope="module")
def execution() -> ExecutionView:
    return executed(story.execution())


def test_the_table_tells_each_way_of_learning(execution: ExecutionView) -> None:
    rows = [(row.learned, row.arm, row.scope, row.site) for row in results_table(execution)]
    assert rows[:4] == [
        ("alone", "", "site", "lakeside"),
        ("alone", "", "site", "northfield"),
        ("alone", "", "site", "st-anne"),
        ("alone", "", "average of sites", ""),
    ], "each its own model, so nothing is pooled"
    for at, (learned, arm) in zip(
        (4, 9, 14), (("federated", "fedavg"), ("federated", "fedyogi"), ("centralised", "")), strict=True
    ):
        assert rows[at : at + 5] == [
            *((learned, arm, "site", site) for site in story.SITES),
            (learned, arm, "average of sites", ""),
            (learned, arm, "pooled", ""),
        ]
    assert len(rows) == 19


def test_its_numbers_are_estimates_over_repeats(execution: ExecutionView) -> None:
    pooled = next(row for row in results_table(execution) if (row.arm, row.scope) == ("fedavg", "pooled"))
    assert list(pooled.estimates) == ["auc", "accuracy", "sensitivity", "specificity"]
    found = pooled.estimates["auc"]
    assert (found.n, found.how) == (2, "t over repeats")
    values = [run.metrics["auc"] or 0.0 for run in execution.arms["fedavg"]]
    assert found.mean == pytest.approx(sum(values) / 2)


def test_the_worst_site_is_marked(execution: ExecutionView) -> None:
    worst = [row.site for row in results_table(execution) if row.worst]
    assert worst == ["st-anne"] * 4


def test_the_worst_site_by_direction(execution: ExecutionView) -> None:
    runs = execution.arms["fedavg"]
    by_auc, by_brier = worst_site(runs, "auc"), worst_site(runs, "brier")
    assert by_auc is not None
    assert by_brier is not None
    assert (by_auc[0], by_brier[0]) == ("st-anne", "st-anne")
    assert worst_site(runs, "prevalence") is None, "no direction"
    assert worst_site(runs, "rmse") is None
    assert worst_site([], "auc") is None


def test_metrics_can_be_chosen(execution: ExecutionView) -> None:
    assert headline(execution) == ("auc", "accuracy", "sensitivity", "specificity")
    rows = results_table(execution, ["brier", "rmse"])
    assert all(list(row.estimates) == ["brier"] for row in rows)


def test_nothing_finished_is_an_empty_table() -> None:
    planned = executed(list(story.plans(story.study(), name="x")))
    assert results_table(planned) == ()
    assert headline(planned) == ()
