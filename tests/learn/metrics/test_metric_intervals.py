from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit

from medfl.learn.metrics import calibration, judge, ranking, resampling
from medfl.learn.model import Floats, Outcome
from medfl.learn.statistic import ZERO, Statistic

BINARY = Outcome("binary", ("no", "yes"))
THREE = Outcome("multiclass", ("a", "b", "c"))
NUMBER = Outcome("regression")
Rows = tuple[Floats, Floats]


def binary(random: np.random.Generator, rows: int) -> Rows:
    scores = random.normal(0.0, 1.5, rows).astype(np.float32)
    return scores, (random.random(rows) < expit(0.8 * scores - 0.3)).astype(np.float32)


def multiclass(random: np.random.Generator, rows: int) -> Rows:
    truth = random.choice(3, rows, p=[0.5, 0.3, 0.2])
    return (1.5 * random.normal(size=(rows, 3)) + 2 * np.eye(3)[truth]).astype(np.float32), truth.astype(np.float32)


def regression(random: np.random.Generator, rows: int) -> Rows:
    truth = random.normal(60.0, 10.0, rows)
    return (60 + 0.6 * (truth - 60) + random.normal(0, 5, rows)).astype(np.float32), truth.astype(np.float32)


KINDS = [
    pytest.param(BINARY, binary, id="binary"),
    pytest.param(THREE, multiclass, id="multiclass"),
    pytest.param(NUMBER, regression, id="regression"),
]
Draw = Callable[[np.random.Generator, int], Rows]


def found(outcome: Outcome, statistic: Statistic, seed: int = 0, samples: int = 200) -> dict[str, tuple[float, float]]:
    metrics, generator = judge.metrics(outcome, statistic), np.random.default_rng(seed)
    return judge.intervals(outcome, statistic, metrics, samples=samples, generator=generator)


@pytest.mark.parametrize(("outcome", "draw"), KINDS)
def test_intervals_cover_the_truth_about_as_often_as_they_say(outcome: Outcome, draw: Draw) -> None:
    random = np.random.default_rng(5)
    truth = judge.metrics(outcome, judge.measure(outcome, *draw(random, 200_000)))
    trials, hits = 150, dict.fromkeys(truth, 0)
    for trial in range(trials):
        for name, (low, high) in found(outcome, judge.measure(outcome, *draw(random, 250)), trial).items():
            hits[name] += low <= (truth[name] or 0.0) <= high
    without = {"ece", "threshold"}

    for name in set(truth) - without:
        assert 0.88 <= hits[name] / trials <= 1.0, name
    assert not any(hits[name] for name in without & set(hits))


@pytest.mark.parametrize(("outcome", "draw"), KINDS)
def test_intervals_have_the_width_of_a_bootstrap_over_rows(outcome: Outcome, draw: Draw) -> None:
    random = np.random.default_rng(7)
    scores, truth = draw(random, 400)
    whole = judge.measure(outcome, scores, truth)
    replicates = []
    for _ in range(300):
        rows = random.integers(len(truth), size=len(truth))
        replicates.append(judge.metrics(outcome, judge.measure(outcome, scores[rows], truth[rows])))

    for name, (low, high) in found(outcome, whole, samples=1000).items():
        values = [value for replicate in replicates if (value := replicate[name]) is not None]
        width = float(np.subtract(*np.quantile(values, [0.975, 0.025])))
        assert 0.8 <= (high - low) / width <= 1.35, name
        assert low <= (judge.metrics(outcome, whole)[name] or 0.0) <= high, name


@pytest.mark.parametrize(("outcome", "draw"), KINDS)
def test_the_same_generator_gives_the_same_intervals(outcome: Outcome, draw: Draw) -> None:
    statistic = judge.measure(outcome, *draw(np.random.default_rng(1), 5000))

    assert found(outcome, statistic, 3) == found(outcome, statistic, 3)
    assert found(outcome, statistic, 3) != found(outcome, statistic, 4)


@pytest.mark.parametrize(("outcome", "draw"), KINDS)
@pytest.mark.parametrize("rows", [0, 1, 2, 5])
def test_few_rows_give_finite_intervals_or_none(outcome: Outcome, draw: Draw, rows: int) -> None:
    statistic = judge.measure(outcome, *draw(np.random.default_rng(2), rows))

    for low, high in found(outcome, statistic).values():
        assert math.isfinite(low)
        assert math.isfinite(high)
        assert low <= high


def test_no_samples_and_no_rows_give_no_intervals() -> None:
    statistic = judge.measure(BINARY, *binary(np.random.default_rng(1), 50))

    assert found(BINARY, statistic, samples=0) == {}
    for outcome in (BINARY, THREE, NUMBER):
        assert found(outcome, ZERO) == {}


def test_the_operating_point_is_held() -> None:
    statistic = judge.measure(BINARY, *binary(np.random.default_rng(1), 5000), threshold=None)
    point = judge.metrics(BINARY, statistic, threshold=None)
    interval = judge.intervals(BINARY, statistic, point, samples=200, generator=np.random.default_rng(0))

    for name in ("sensitivity", "specificity"):
        low, high = interval[name]
        assert low < (point[name] or 0.0) < high
        assert high - low < 0.06


@pytest.mark.parametrize("rows", [150, 80_000])
def test_replicates_of_counts_have_the_rows_and_the_spread_of_the_multinomial(rows: int) -> None:
    counts = np.array([[rows // 2, 0, rows // 5], [rows // 10, rows // 5, 0]])
    blocks = resampling.resampled(counts, samples=4000, generator=np.random.default_rng(0))
    drawn = np.concatenate(list(blocks))
    chance = counts / counts.sum()

    assert drawn.shape == (4000, 2, 3)
    assert (drawn.sum(axis=(1, 2)) == counts.sum()).all()
    assert np.allclose(drawn.mean(axis=0), counts, rtol=0.03)
    assert np.allclose(drawn.var(axis=0), counts.sum() * chance * (1 - chance), rtol=0.15)


def test_one_newton_step_is_close_to_fitting_each_replicate() -> None:
    statistic = judge.measure(BINARY, *binary(np.random.default_rng(1), 1000))
    histogram = statistic["scores"]
    slope, intercept = calibration.recalibration(histogram)
    filled = np.flatnonzero(histogram.any(axis=0))
    (block,) = resampling.resampled(histogram[:, filled], samples=40, generator=np.random.default_rng(0))
    slopes, intercepts = calibration.recalibrations(
        block, ranking.logits_at(filled + 0.5), slope=slope, intercept=intercept
    )
    fits = []
    for replicate in block:
        full = np.zeros_like(histogram)
        full[:, filled] = replicate
        fits.append(calibration.recalibration(full))

    assert np.allclose(np.column_stack([slopes, intercepts]), fits, atol=0.03)


def test_percentiles_are_those_of_numpy_over_what_is_defined() -> None:
    random = np.random.default_rng(5)
    replicates = {str(count): random.standard_normal(200) for count in (0, 1, 2, 3, 40, 199, 200)}
    for count, values in replicates.items():
        values[random.permutation(200)[int(count) :]] = random.choice([np.nan, np.inf, -np.inf])

    found = resampling.percentiles(replicates)

    assert list(found) == ["1", "2", "3", "40", "199", "200"]
    for name, limits in found.items():
        defined = replicates[name][np.isfinite(replicates[name])]
        assert limits == tuple(np.quantile(defined, [0.025, 0.975]))
