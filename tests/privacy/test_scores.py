"""Released judgements: one cell a row, metrics near the exact ones where noise is little, and never nonsense."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medfl.learn.metrics import judge
from medfl.learn.model import Outcome
from medfl.privacy.scores import NOISED, complete, released
from medfl.testing.federation import BINARY, MULTICLASS, REGRESSION

BOUNDS = (-4.0, 4.0)
ROWS = 4000


def judged(
    outcome: Outcome, multiplier: float, *, seed: int = 0, rows: int = ROWS
) -> tuple[dict[str, float | None], ...]:
    """Return the metrics with noise and without."""
    draw = np.random.default_rng(seed)
    truth, scores = sample(outcome, rows, draw)
    exact = judge.metrics(outcome, judge.measure(outcome, scores, truth))
    numbers = released(outcome, scores, truth, units=None, noise=draw, multiplier=multiplier, bounds=BOUNDS)
    whole = complete(outcome, numbers, rows=rows, threshold=0.5, bounds=BOUNDS)
    judge.curves(outcome, whole)
    return judge.metrics(outcome, whole), exact


def sample(outcome: Outcome, rows: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    if outcome.kind == "regression":
        truth = np.clip(draw.normal(size=rows), -4, 4).astype(np.float32)
        return truth, (0.7 * truth + draw.normal(scale=0.4, size=rows)).astype(np.float32)
    if outcome.kind == "binary":
        logits = draw.normal(scale=1.5, size=rows)
        return (draw.random(rows) < 1 / (1 + np.exp(-logits))).astype(np.float32), logits.astype(np.float32)
    scores = draw.normal(scale=1.5, size=(rows, 3))
    chance = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    truth = (draw.random((rows, 1)) > chance.cumsum(axis=1)).sum(axis=1)
    return truth.astype(np.float32), scores.astype(np.float32)


@pytest.mark.parametrize("outcome", [BINARY, MULTICLASS, REGRESSION], ids=lambda one: one.kind)
def test_with_little_noise_metrics_are_nearly_the_exact_ones(outcome: Outcome) -> None:
    found, exact = judged(outcome, 0.5)
    assert found.keys() == exact.keys()
    for name, value in exact.items():
        # Rows are taken in the middle of their cells, which flattens the fit of a calibration a little.
        assert found[name] == pytest.approx(value, abs=0.08 if name == "calibration_slope" else 0.06), name


@pytest.mark.parametrize("outcome", [BINARY, MULTICLASS, REGRESSION], ids=lambda one: one.kind)
def test_drowned_in_noise_they_are_in_their_range_or_not_defined(outcome: Outcome) -> None:
    for seed in range(10):
        found, _ = judged(outcome, 200.0, seed=seed, rows=20)
        for name, value in found.items():
            assert value is None or math.isfinite(value), name
        for name in ("auc", "accuracy", "sensitivity"):
            assert 0.0 <= (found.get(name) or 0.0) <= 1.0


@pytest.mark.parametrize("outcome", [BINARY, MULTICLASS, REGRESSION], ids=lambda one: one.kind)
def test_no_row_moves_the_numbers_by_more_than_the_noise_is_measured_by(outcome: Outcome) -> None:
    """The noise of multiplier 1 on 4 000 draws has the standard deviation that the longest row adds, or more."""
    draw = np.random.default_rng(1)
    truth, scores = sample(outcome, 50, draw)
    if outcome.kind == "regression":
        truth[0], scores[0] = BOUNDS
    longest, spreads = 0.0, []
    for row in range(50):
        one = released(outcome, scores[[row]], truth[[row]], units=None, noise=draw, multiplier=0.0, bounds=BOUNDS)
        longest = max(longest, float(np.linalg.norm(one[NOISED])))
    exact = released(outcome, scores, truth, units=None, noise=draw, multiplier=0.0, bounds=BOUNDS)[NOISED]
    for _ in range(200):
        again = released(outcome, scores, truth, units=None, noise=draw, multiplier=1.0, bounds=BOUNDS)[NOISED]
        spreads.append((again - exact).std())
    assert longest <= 1.05 * float(np.sqrt(np.mean(np.square(spreads))))


def test_a_sum_over_sites_is_read_as_one() -> None:
    draw = np.random.default_rng(4)
    parts = []
    for _ in range(3):
        truth, scores = sample(BINARY, ROWS, draw)
        parts.append(released(BINARY, scores, truth, units=None, noise=draw, multiplier=1.0, bounds=None))
    total = parts[0] + parts[1] + parts[2]
    whole = complete(BINARY, total, rows=3 * ROWS, threshold=0.5, bounds=None)
    assert whole["scores"].sum() == pytest.approx(3 * ROWS, rel=0.01)


def test_what_has_no_noise_passes_as_it_is() -> None:
    truth, scores = sample(BINARY, 50, np.random.default_rng(2))
    plain = judge.measure(BINARY, scores, truth)
    assert complete(BINARY, plain, rows=50, threshold=0.5, bounds=None) is plain
