from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from medfl.publish import curves, figures
from medfl.publish.ways import ALONE, CENTRALISED, arms, ways
from medfl.spec.study import Study
from medfl.store.comparison import across
from medfl.store.views import ExecutionView

Tell = Callable[..., ExecutionView]
Ask = Callable[..., Study]


def test_the_ways_of_learning_have_one_order_and_one_name(trial: ExecutionView, demo: ExecutionView) -> None:
    assert [way.mark.label for way in ways(trial)] == ["alone", "fedavg", "fedyogi", "centralised"]
    assert [way.mark.label for way in ways(demo)] == ["alone", "federated", "centralised"]


def test_an_arm_that_was_run_by_itself_keeps_its_place(tell: Tell, ask: Ask) -> None:
    whole = tell(ask(arms=("fedavg", "fedyogi")))
    only = ExecutionView(
        execution=whole.execution, study=whole.study, digest=whole.digest, spec=whole.spec, question=whole.question,
        runs=whole.arms["fedyogi"], baselines=(), started=whole.started,
    )  # fmt: skip
    assert [(way.mark.label, way.mark.place) for way in arms(only)] == [("fedyogi", 1)]


def test_the_course_has_the_mean_and_the_range_of_the_repeats(trial: ExecutionView) -> None:
    together, loss, *by_site = figures.course(trial, "auc")
    fedavg = together.lines[0]
    each = [[line.metrics["auc"] for line in run.table if "auc" in line.metrics] for run in trial.arms["fedavg"]]
    values = np.array(each, np.float64)
    assert fedavg.x == tuple(range(13))
    np.testing.assert_allclose(fedavg.y, values.mean(axis=0))
    np.testing.assert_allclose(fedavg.low, values.min(axis=0))
    np.testing.assert_allclose(fedavg.high, values.max(axis=0))
    centralised = across(trial.baseline("centralised"), "auc")
    assert centralised is not None
    assert together.levels == ((CENTRALISED, centralised.mean),)
    assert [line.x[0] for line in loss.lines] == [1.0, 1.0]
    assert [[line.name for line in panel.lines] for panel in by_site] == [
        ["north", "east", "south", "west", "all sites"]
    ] * 2


def test_a_single_arm_is_shown_with_its_sites_at_once(demo: ExecutionView) -> None:
    assert [panel.title for panel in figures.course(demo, "auc")] == ["AUC by site, federated", "Training loss"]


def test_roc_of_one_repeat_is_what_was_judged(demo: ExecutionView) -> None:
    (roc,) = curves.rocs(demo)
    final = demo.runs[0].final
    assert final is not None
    assert final.curves is not None
    line = roc.lines[0]
    assert list(zip(line.x, line.y, strict=True)) == [(x, y) for x, y, _ in final.curves["roc"]]
    assert line.low == ()


def test_operating_points_are_the_metrics(demo: ExecutionView) -> None:
    (roc,) = curves.rocs(demo)
    metrics = demo.runs[0].metrics
    assert roc.points[0].sensitivity.mean == metrics["sensitivity"]
    assert roc.points[0].specificity.mean == metrics["specificity"]
    assert roc.points[0].threshold == 0.5
    assert [point.mark.label for point in roc.points] == ["federated", "centralised"]


def test_roc_over_repeats_rises_inside_its_range(trial: ExecutionView) -> None:
    (roc,) = curves.rocs(trial)
    for line in roc.lines:
        y, low, high = np.array(line.y), np.array(line.low), np.array(line.high)
        assert (line.x[0], line.y[0], line.x[-1], line.y[-1]) == (0.0, 0.0, 1.0, 1.0)
        assert np.all(np.diff(y) >= -1e-12)
        assert np.all((low <= y + 1e-12) & (y <= high + 1e-12))


def test_the_area_under_the_mean_curve_is_the_mean_area(trial: ExecutionView) -> None:
    (roc,) = curves.rocs(trial)
    for way, line in zip([way for way in ways(trial) if way.mark != ALONE], roc.lines, strict=True):
        expected = across(way.finished, "auc")
        assert expected is not None
        assert np.trapezoid(line.y, line.x) == pytest.approx(expected.mean, abs=0.01)


def test_precision_by_guessing_is_the_prevalence(demo: ExecutionView) -> None:
    view = curves.precision_recall(demo)
    assert view is not None
    assert view.prevalence == demo.runs[0].metrics["prevalence"]
    assert view.lines[0].y[-1] == pytest.approx(view.prevalence)


def test_calibration_groups_hold_all_test_rows_in_one_repeat_and_in_several(
    demo: ExecutionView, trial: ExecutionView
) -> None:
    for execution in (demo, trial):
        rows = sum(site.test_rows or 0 for site in execution.runs[0].sites.values())
        for view in curves.calibrations(execution):
            assert sum(view.rows) == pytest.approx(rows)
            assert sum(view.negatives) + sum(view.positives) == pytest.approx(rows)
            assert len(view.edges) == len(view.negatives) + 1
            observed = np.array(view.observed)
            assert np.all((np.array(view.low) <= observed + 1e-9) & (observed <= np.array(view.high) + 1e-9))


def test_several_classes_have_one_roc_each_and_a_confusion_matrix(tell: Tell) -> None:
    execution = tell(kind="multiclass")
    assert [roc.title for roc in curves.rocs(execution)] == [
        "mild against the rest",
        "moderate against the rest",
        "severe against the rest",
    ]
    assert curves.precision_recall(execution) is None
    federated, _ = curves.confusions(execution)
    rows = sum(site.test_rows or 0 for site in execution.runs[0].sites.values())
    assert sum(map(sum, federated.rows)) == rows
    assert federated.classes == ("mild", "moderate", "severe")


def test_regression_has_predicted_against_observed_and_no_roc(tell: Tell, ask: Ask) -> None:
    execution = tell(ask(model={"kind": "linear"}), kind="regression")
    assert curves.rocs(execution) == ()
    assert curves.confusions(execution) == ()
    assert all(view.edges == () and view.rows for view in curves.calibrations(execution))


def test_the_forest_has_every_site_under_every_way_the_largest_first(tell: Tell) -> None:
    execution = tell(sites={"small": 50, "large": 400, "middle": 100})
    view = figures.forest(execution, "auc")
    assert view is not None
    assert [row.site for row in view.rows] == ["large", "middle", "small"]
    assert [mark.label for mark in view.marks] == ["alone", "federated", "centralised"]
    run = execution.runs[0]
    for row in view.rows:
        estimate = dict(row.estimates)[view.marks[1]]
        assert estimate is not None
        assert estimate.mean == run.sites[row.site].metrics["auc"]
        assert (estimate.low, estimate.high) == run.sites[row.site].intervals["auc"]
    assert dict(view.pooled.estimates)[ALONE] is None
    assert view.pooled.test_rows == sum(row.test_rows or 0 for row in view.rows)


def test_a_metric_that_is_not_defined_leaves_its_place_empty(tell: Tell) -> None:
    view = figures.forest(tell(sites={"one": 300, "two": 300}, one_class=("one",)), "auc")
    assert view is not None
    assert {row.site: row.estimates[1][1] is None for row in view.rows} == {"one": True, "two": False}


def test_only_differences_that_exist_are_compared(tell: Tell, trial: ExecutionView) -> None:
    pairs = [(row.first.label, row.second.label) for row in figures.compared(trial, "auc")]
    assert pairs == [
        ("fedavg", "fedyogi"),
        ("fedavg", "centralised"),
        ("fedyogi", "centralised"),
        ("fedavg", "alone"),
        ("fedyogi", "alone"),
    ]
    assert figures.compared(tell(end="failed"), "auc") == ()


def test_failures_are_counted_by_site_and_round(trial: ExecutionView, demo: ExecutionView) -> None:
    view = figures.participation(trial)
    assert view is not None
    assert view.failed == {"east": {3: 6, 4: 6}}
    assert (view.runs, view.sites, view.rounds) == (6, 4, 12)
    assert figures.participation(demo) is None


def test_nothing_is_drawn_of_an_execution_that_was_only_planned(tell: Tell) -> None:
    planned = tell(end="planned")
    assert figures.course(planned, "auc") == ()
    assert curves.rocs(planned) == ()
    assert curves.precision_recall(planned) is None
    assert curves.calibrations(planned) == ()
    assert figures.forest(planned, "auc") is None
