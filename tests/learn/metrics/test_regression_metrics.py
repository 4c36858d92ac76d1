from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as exact

from medfl.learn.metrics import judge
from medfl.learn.model import Floats, Outcome
from medfl.learn.statistic import ZERO

NUMBER = Outcome("regression")
some = settings(max_examples=60, deadline=None, derandomize=True)


def drawn(seed: int, rows: int, centre: float = 120.0, spread: float = 15.0) -> tuple[Floats, Floats]:
    """Return predicted and true numbers."""
    random = np.random.default_rng(seed)
    truth = random.normal(centre, spread, rows)
    return (truth + random.normal(0.1, 0.7, rows) * spread).astype(np.float32), truth.astype(np.float32)


def judged(predicted: Floats, truth: Floats) -> dict[str, float | None]:
    return judge.metrics(NUMBER, judge.measure(NUMBER, predicted, truth))


def near(value: float | None, expected: float, tolerance: float = 1e-9) -> bool:
    return value is not None and math.isclose(value, expected, rel_tol=tolerance, abs_tol=tolerance)


@some
@given(
    st.integers(0, 10_000),
    st.integers(2, 500),
    st.sampled_from([0.0, -3.0, 120.0, 2000.0]),
    st.sampled_from([1e-3, 1.0, 15.0, 1e6]),
)
def test_equals_scikit_learn(seed: int, rows: int, centre: float, spread: float) -> None:
    predicted, truth = (numbers.astype(np.float64) for numbers in drawn(seed, rows, centre, spread))
    found = judged(predicted.astype(np.float32), truth.astype(np.float32))

    assert near(found["rmse"], exact.root_mean_squared_error(truth, predicted))
    assert near(found["mae"], exact.mean_absolute_error(truth, predicted))
    assert near(found["mean_error"], (predicted - truth).mean())
    if centre < 1e5 * spread:
        assert near(found["r2"], exact.r2_score(truth, predicted), 1e-3)


def test_r2_of_an_outcome_that_does_not_vary_is_not_defined() -> None:
    predicted, _ = drawn(1, 200)

    assert judged(predicted, np.full(200, 0.1, np.float32))["r2"] is None
    assert judged(predicted, np.zeros(200, np.float32))["r2"] is None
    assert judged(predicted[:1], predicted[:1]) == {"rmse": 0.0, "mae": 0.0, "r2": None, "mean_error": 0.0}


def test_nobody_leaves_everything_undefined() -> None:
    assert judge.metrics(NUMBER, ZERO) == {"rmse": None, "mae": None, "r2": None, "mean_error": None}


@some
@given(
    st.lists(st.tuples(*[st.floats(width=32, allow_nan=False, allow_infinity=False)] * 2), min_size=1),
)
def test_metrics_are_finite_for_any_finite_numbers(rows: list[tuple[float, float]]) -> None:
    predicted, truth = np.array(rows, np.float32).T.copy()

    assert all(value is None or math.isfinite(value) for value in judged(predicted, truth).values())


@pytest.mark.parametrize("centre", [0.0, -300.0, 1e-3])
def test_the_table_of_predicted_and_observed_covers_all_rows_in_rising_order(centre: float) -> None:
    predicted, truth = drawn(3, 1000, centre)
    table = np.array(judge.curves(NUMBER, judge.measure(NUMBER, predicted, truth))["calibration"])

    assert 5 <= len(table) <= 10
    assert table[:, 2].sum() == 1000
    assert (np.diff(table[:, 0]) > 0).all()
    assert math.isclose(np.average(table[:, 1], weights=table[:, 2]), truth.mean(dtype=np.float64), abs_tol=1e-4)
    assert (table[:, 3] <= table[:, 1]).all()
    assert (table[:, 1] <= table[:, 4]).all()
