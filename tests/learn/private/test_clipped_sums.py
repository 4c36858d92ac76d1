"""The clipped sums of the built-in networks: each unit's gradient by itself as the oracle, and the bound they keep."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medfl.learn.model import Examples, Floats, Model, Outcome
from medfl.learn.models import build
from medfl.learn.private import ghost
from medfl.learn.private.training import clipping_of
from medfl.learn.private.units import Task, Units
from medfl.spec.model import MLP, Activation, Linear, Logistic
from medfl.spec.training import SGD

FEATURES, ROWS = 5, 70
OUTCOMES = {
    "binary": Outcome("binary", ("no", "yes")),
    "multiclass": Outcome("multiclass", ("a", "b", "c")),
    "regression": Outcome("regression"),
}
CLASS_WEIGHTS = {"binary": [0.6, 2.0], "multiclass": [0.5, 1.0, 3.0]}
OF_PATIENTS = np.random.default_rng(3).integers(100, 120, ROWS)


def examples(kind: str, rows: int = ROWS, *, seed: int = 0, scale: float = 1.0) -> Examples:
    draw = np.random.default_rng(seed)
    outcome = draw.normal(size=rows) if kind == "regression" else draw.integers(0, OUTCOMES[kind].scores + 1, rows)
    outcome = outcome if kind == "regression" else np.minimum(outcome, max(1, OUTCOMES[kind].scores - 1))
    features = scale * draw.standard_normal((rows, FEATURES))
    return Examples(features.astype(np.float32), np.asarray(outcome, np.float32))


def summed(model: Model, task: Task, labels: np.ndarray | None, start: Floats) -> Floats:
    """Return the clipped sum over all units."""
    units = Units(labels, len(task.examples))
    clipping = clipping_of(model, task, np.random.default_rng(0))
    return clipping.summed(start, units.drawn(np.arange(units.count))).copy()


def one_by_one(model: Model, task: Task, labels: np.ndarray | None, start: Floats) -> np.ndarray:
    """Return the same, from plain steps of size 1 on each row: mean over a unit's rows, clip, add up."""
    own = np.arange(len(task.examples)) if labels is None else labels
    total = np.zeros(len(start))
    for unit in np.unique(own):
        gradients = [_gradient(model, task, int(row), start) for row in np.flatnonzero(own == unit)]
        mean = np.mean(gradients, axis=0)
        if task.rates is not None:
            mean = np.where(task.rates > 0, mean, 0.0)
        total += mean * min(1.0, task.clip_norm / np.linalg.norm(mean))
    return total


def _gradient(model: Model, task: Task, row: int, start: Floats) -> np.ndarray:
    rows = task.examples
    one = Examples(rows.features[[row]], rows.outcome[[row]])
    after = model.train(start, one, SGD(learning_rate=1.0), generator=np.random.default_rng(0)).weights
    weight = 1.0 if task.class_weights is None else task.class_weights[int(rows.outcome[row])]
    return np.asarray((start.astype(np.float64) - after) * weight)


@pytest.mark.parametrize("labels", [None, OF_PATIENTS], ids=["rows", "patients"])
@pytest.mark.parametrize("kind", OUTCOMES)
@pytest.mark.parametrize("activation", get_args(Activation))
def test_the_sum_is_that_of_each_unit_clipped_by_itself(
    activation: Activation, kind: str, labels: np.ndarray | None
) -> None:
    for layer_norm in (False, True):
        spec = MLP(hidden=(8, 6), activation=activation, layer_norm=layer_norm)
        model = build(spec, features=FEATURES, outcome=OUTCOMES[kind])
        start = model.init(np.random.default_rng(1))
        weights = CLASS_WEIGHTS.get(kind)
        task = Task(examples(kind), None if weights is None else np.array(weights, np.float32), 0.4, None)
        expected = one_by_one(model, task, labels, start)
        np.testing.assert_allclose(summed(model, task, labels, start), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", [Logistic(), Linear()], ids=lambda spec: spec.kind)
@pytest.mark.parametrize("labels", [None, OF_PATIENTS], ids=["rows", "patients"])
def test_a_regression_too(spec: Logistic | Linear, labels: np.ndarray | None) -> None:
    kind = "regression" if spec.kind == "linear" else "multiclass"
    model = build(spec, features=FEATURES, outcome=OUTCOMES[kind])
    start = model.init(np.random.default_rng(1))
    task = Task(examples(kind), None, 0.4, None)
    expected = one_by_one(model, task, labels, start)
    np.testing.assert_allclose(summed(model, task, labels, start), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("labels", [None, OF_PATIENTS], ids=["rows", "patients"])
def test_a_frozen_layer_has_no_part_in_the_norm(labels: np.ndarray | None) -> None:
    model = build(MLP(hidden=(8, 6), layer_norm=True), features=FEATURES, outcome=OUTCOMES["binary"])
    start = model.init(np.random.default_rng(1))
    rates = np.ones_like(start)
    for name, part in model.layout.split(rates).items():
        part[...] = 0.0 if name.startswith(("layer1", "norm2")) else 0.5
    task = Task(examples("binary"), None, 0.2, rates)
    live = rates > 0
    expected = one_by_one(model, task, labels, start)
    got = summed(model, task, labels, start)
    np.testing.assert_allclose(got[live], expected[live], rtol=1e-4, atol=1e-5)
    assert not np.allclose(got[live], summed(model, Task(task.examples, None, 0.2, None), labels, start)[live])


def test_many_rows_and_large_units_are_worked_on_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(MLP(hidden=(8, 6), layer_norm=True), features=FEATURES, outcome=OUTCOMES["binary"])
    start, task = model.init(np.random.default_rng(1)), Task(examples("binary"), None, 0.3, None)
    lopsided = np.where(np.arange(ROWS) % 3 == 0, 7, np.arange(ROWS))  # one patient has a third of all rows
    for labels in (None, OF_PATIENTS, lopsided):
        monkeypatch.setattr(ghost, "AT_ONCE", 512)
        whole = summed(model, task, labels, start)
        for at_once in (1, 5, 16, 33):
            monkeypatch.setattr(ghost, "AT_ONCE", at_once)
            np.testing.assert_allclose(summed(model, task, labels, start), whole, rtol=1e-4, atol=2e-6)


def test_nobody_gives_nothing() -> None:
    model = build(Logistic(), features=FEATURES, outcome=OUTCOMES["binary"])
    task, units = Task(examples("binary"), None, 0.3, None), Units(None, ROWS)
    clipping = clipping_of(model, task, np.random.default_rng(0))
    nobody = units.drawn(np.zeros(0, np.int64))
    assert not clipping.summed(np.ones(FEATURES + 1, np.float32), nobody).any()


adjacent = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10**6),
        "rows": st.integers(2, 30),
        "patients": st.booleans(),
        "scale": st.sampled_from([0.01, 1.0, 100.0, 1e6]),
        "limit": st.sampled_from([1e-3, 0.5, 10.0]),
        "layer_norm": st.booleans(),
    }
)


@settings(max_examples=150, deadline=None)
@given(adjacent)
def test_one_unit_more_moves_the_sum_by_the_clipping_norm_at_most(case: dict[str, float]) -> None:
    """The sensitivity that the noise is made for, whatever the rows are; float32's rounding may be added."""
    draw = np.random.default_rng(int(case["seed"]))
    spec = MLP(hidden=(8, 6), layer_norm=bool(case["layer_norm"]))
    model = build(spec, features=FEATURES, outcome=OUTCOMES["binary"])
    start = model.init(draw)
    rows = examples("binary", int(case["rows"]), seed=int(case["seed"]), scale=case["scale"])
    labels = draw.integers(0, 6, len(rows)) if case["patients"] else np.arange(len(rows))
    without = labels != labels[0]
    rest = Examples(rows.features[without], rows.outcome[without])
    more = summed(model, Task(rows, None, case["limit"], None), labels if case["patients"] else None, start)
    less = summed(model, Task(rest, None, case["limit"], None), labels[without] if case["patients"] else None, start)
    others = len(np.unique(labels)) - 1
    rounding = 3e-7 * case["limit"] * (others + 1)
    assert np.linalg.norm(more.astype(np.float64) - less) <= case["limit"] + rounding


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
@pytest.mark.parametrize("labels", [None, OF_PATIENTS], ids=["rows", "patients"])
def test_what_is_not_finite_says_nothing(value: float, labels: np.ndarray | None) -> None:
    """No multiple of it is bounded, and one such row must not spoil the sum: that would tell that it is there."""
    model = build(MLP(hidden=(8, 6), activation="tanh"), features=FEATURES, outcome=OUTCOMES["binary"])
    start, rows = model.init(np.random.default_rng(1)), examples("binary")
    spoilt = Examples(rows.features.copy(), rows.outcome)
    spoilt.features[4, 2] = value
    own = np.arange(ROWS) if labels is None else labels
    others = own != own[4]
    rest = Examples(rows.features[others], rows.outcome[others])
    with np.errstate(all="ignore"):
        got = summed(model, Task(spoilt, None, 0.3, None), labels, start)
    expected = summed(model, Task(rest, None, 0.3, None), None if labels is None else labels[others], start)
    assert np.isfinite(got).all()
    assert np.linalg.norm(got - expected) <= 0.3 * (1 + 1e-5)


def test_opposite_rows_of_a_patient_cancel_before_the_clip() -> None:
    """Rows of the same features and opposite outcomes, at a score of zero: the mean of their gradients is zero."""
    model = build(Logistic(), features=FEATURES, outcome=OUTCOMES["binary"])
    features = np.full((2, FEATURES), 1e4, np.float32)
    rows = Examples(features, np.array([0.0, 1.0], np.float32))
    start = np.zeros(FEATURES + 1, np.float32)
    one_patient = summed(model, Task(rows, None, 1.0, None), np.array([5, 5]), start)
    assert np.linalg.norm(one_patient) <= 1.0


def test_a_unit_needs_a_label_for_each_row() -> None:
    with pytest.raises(ValueError, match="one unit for each of 70 rows"):
        Units(np.arange(3), ROWS)
