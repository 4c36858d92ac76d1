from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from medfl.learn.metrics import judge
from medfl.learn.model import Outcome
from medfl.learn.statistic import ZERO, Statistic

BINARY = Outcome("binary", ("no", "yes"))
THREE = Outcome("multiclass", ("a", "b", "c"))


def measured(rows: int, centre: float = 0.0, spread: float = 2.0) -> Statistic:
    random = np.random.default_rng(rows)
    scores = random.normal(centre, spread, rows).astype(np.float32)
    truth = (random.random(rows) < expit(scores)).astype(np.float32)
    truth[:2] = 0.0, 1.0
    return judge.measure(BINARY, scores, truth)


def drawn_curves(statistic: Statistic, outcome: Outcome = BINARY) -> dict[str, Any]:
    """Return the curves as they come back from JSON without NaN or infinity."""
    curves: dict[str, Any] = json.loads(json.dumps(judge.curves(outcome, statistic), allow_nan=False))
    return curves


@pytest.mark.parametrize(
    ("rows", "centre", "spread"), [(2, 0, 1), (60, 0, 2), (5000, 0, 2), (50_000, -6, 1), (3000, 0, 60)]
)
def test_the_roc_is_short_rises_and_keeps_its_area(rows: int, centre: float, spread: float) -> None:
    statistic = measured(rows, centre, spread)
    roc = np.array(drawn_curves(statistic)["roc"])
    auc = judge.metrics(BINARY, statistic)["auc"]

    assert len(roc) <= 201
    assert roc[0].tolist() == [0, 0, 1]
    assert roc[-1, :2].tolist() == [1, 1]
    assert (np.diff(roc[:, :2], axis=0) >= 0).all()
    assert (np.diff(roc[:, 2]) <= 0).all()
    assert np.trapezoid(roc[:, 1], roc[:, 0]) == pytest.approx(auc, abs=2e-3)


def test_thinning_keeps_the_corners_of_the_hull() -> None:
    statistic = measured(20_000)
    roc = np.array(drawn_curves(statistic)["roc"])
    youden = judge.metrics(BINARY, statistic, threshold=None)
    best = (youden["sensitivity"] or 0.0) + (youden["specificity"] or 0.0) - 1.0

    assert max(roc[:, 1] - roc[:, 0]) == pytest.approx(best)


def test_precision_and_recall_run_from_the_highest_threshold_to_everybody() -> None:
    statistic = measured(5000, -2.0)
    curve = np.array(drawn_curves(statistic)["pr"])
    found = judge.metrics(BINARY, statistic)

    assert len(curve) <= 201
    assert (np.diff(curve[:, 0]) >= 0).all()
    assert curve[-1].tolist() == [1.0, pytest.approx(found["prevalence"])]
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(found["auprc"], abs=0.02)


@pytest.mark.parametrize(("rows", "groups"), [(4, 1), (40, 4), (5000, 10)])
def test_calibration_groups_have_rows_and_limits(rows: int, groups: int) -> None:
    statistic = measured(rows)
    table = np.array(drawn_curves(statistic)["calibration"])

    assert len(table) <= groups
    assert table[:, 2].sum() == rows
    assert (np.diff(table[:, 0]) > 0).all()
    assert (table[:, 3] <= table[:, 1]).all()
    assert (table[:, 1] <= table[:, 4]).all()
    assert ((table[:, 3:] >= 0) & (table[:, 3:] <= 1)).all()


def test_a_calibrated_model_lies_within_its_limits() -> None:
    for predicted, _, _, low, high in drawn_curves(measured(20_000, -6.0))["calibration"][-3:]:
        assert low <= predicted <= high


def test_the_histogram_of_probabilities_counts_every_row() -> None:
    bars = np.array(drawn_curves(measured(500))["histogram"])

    assert bars[:, :2].ravel()[[0, -1]].tolist() == [0.0, 1.0]
    assert bars[:, 2:].sum() == 500


def test_multiclass_has_a_confusion_matrix_and_a_roc_for_each_class() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(3, size=400)
    statistic = judge.measure(THREE, random.normal(size=(400, 3)).astype(np.float32), truth.astype(np.float32))
    curves = drawn_curves(statistic, THREE)

    assert curves["classes"] == list(curves["roc"]) == ["a", "b", "c"]
    assert np.sum(curves["confusion"], axis=1).tolist() == np.bincount(truth).tolist()
    assert all(points[-1][:2] == [1.0, 1.0] for points in curves["roc"].values())


def test_nobody_gives_curves_without_points() -> None:
    binary = drawn_curves(ZERO)

    assert binary["roc"] == binary["pr"] == binary["calibration"] == []
    assert drawn_curves(ZERO, THREE)["roc"] == {"a": [], "b": [], "c": []}
    assert drawn_curves(ZERO, Outcome("regression")) == {"calibration": []}
