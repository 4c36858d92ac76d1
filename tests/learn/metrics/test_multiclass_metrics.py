from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from sklearn import metrics as exact

from medfl.learn.metrics import judge
from medfl.learn.model import Floats, Outcome
from medfl.learn.statistic import ZERO

some = settings(max_examples=40, deadline=None, derandomize=True)


def outcome(classes: int) -> Outcome:
    return Outcome("multiclass", tuple(f"class {c}" for c in range(classes)))


def drawn(seed: int, rows: int, classes: int, spread: float = 1.5) -> tuple[Floats, Floats]:
    """Return logits that favour the true class, and the truth; each class is there."""
    random = np.random.default_rng(seed)
    truth = random.integers(classes, size=rows)
    truth[:classes] = np.arange(classes)
    scores = random.normal(size=(rows, classes)) + np.eye(classes)[truth]
    return (spread * scores).astype(np.float32), truth.astype(np.float32)


def judged(scores: Floats, truth: Floats) -> dict[str, float | None]:
    kind = outcome(scores.shape[1])
    return judge.metrics(kind, judge.measure(kind, scores, truth))


def near(value: float | None, expected: float, tolerance: float = 1e-9) -> bool:
    return value is not None and math.isclose(value, expected, rel_tol=tolerance, abs_tol=tolerance)


def odds(scores: Floats) -> Any:
    """Return log-odds the slow way: each class against the log-sum-exp of the others."""
    columns = range(scores.shape[1])
    others = [np.logaddexp.reduce(np.delete(scores.astype(np.float64), c, axis=1), axis=1) for c in columns]
    return scores - np.stack(others, axis=1)


@some
@given(st.integers(0, 10_000), st.integers(6, 400), st.integers(2, 6), st.sampled_from([0.1, 1.5, 20.0]))
def test_counts_and_losses_equal_scikit_learn(seed: int, rows: int, classes: int, spread: float) -> None:
    scores, truth = drawn(seed, rows, classes, spread)
    called, found = scores.argmax(axis=1), judged(scores, truth)
    logarithms = log_softmax(scores.astype(np.float64), axis=1)
    label = truth.astype(int)

    assert near(found["accuracy"], exact.accuracy_score(truth, called))
    assert near(found["sensitivity"], exact.recall_score(truth, called, average="macro"))
    assert near(found["f1"], exact.f1_score(truth, called, average="macro"))
    assert near(found["log_loss"], -logarithms[np.arange(rows), label].mean())
    assert near(found["brier"], ((np.exp(logarithms) - np.eye(classes)[label]) ** 2).sum(axis=1).mean())
    specificities = [((called != c) & (label != c)).sum() / (label != c).sum() for c in range(classes)]
    assert near(found["specificity"], sum(specificities) / classes)


@pytest.mark.parametrize("spread", [0.1, 1.5, 20.0, 60.0])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_auc_is_within_a_thousandth_of_one_against_the_rest(classes: int, spread: float) -> None:
    scores, truth = drawn(classes, 2000, classes, spread)
    each = [exact.roc_auc_score(truth == c, odds(scores)[:, c]) for c in range(classes)]

    assert near(judged(scores, truth)["auc"], sum(each) / classes, 1e-3)


def test_a_class_that_nobody_has_is_left_out_of_averages() -> None:
    scores, truth = drawn(1, 500, 3)
    with_a_fourth = np.column_stack([scores, np.full(500, -50, np.float32)])
    three, four = judged(scores, truth), judged(with_a_fourth, truth)

    assert four["specificity"] == pytest.approx((3 * (three["specificity"] or 0) + 1) / 4)
    for name in ("auc", "accuracy", "sensitivity", "f1", "brier", "log_loss"):
        assert near(four[name], three[name] or 0.0, 1e-6)


def test_one_class_one_row_and_nobody() -> None:
    row = judged(np.array([[1, 2, 3]], np.float32), np.array([2], np.float32))
    nobody = judge.metrics(outcome(3), ZERO)

    assert row["auc"] is None
    assert row["accuracy"] == row["sensitivity"] == row["specificity"] == row["f1"] == 1.0
    assert set(nobody) == set(row)
    assert set(nobody.values()) == {None}


@some
@given(
    st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=1)
)
def test_metrics_are_finite_for_any_finite_scores(rows: list[list[float]]) -> None:
    scores = np.array(rows, np.float32)
    found = judged(scores, (np.arange(len(rows)) % 3).astype(np.float32))

    assert all(value is None or math.isfinite(value) for value in found.values())


def test_constant_scores_say_nothing() -> None:
    _, truth = drawn(1, 300, 3)
    found = judged(np.zeros((300, 3), np.float32), truth)

    assert found["auc"] == 0.5
    assert near(found["log_loss"], math.log(3))
