"""Who takes part and the noise: distributions are measured, with the probability of a false alarm below one in 10⁵."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from medfl import seeds
from medfl.learn.private.chance import Chance, Repeatable, Secure, of, poisson_sample

SOURCES = {"repeatable": lambda: of(seeds.generator(1, purpose="test")), "secure": lambda: of(None)}
UNLIKELY = 1e-6


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> Chance:
    return SOURCES[request.param]()


def test_where_there_is_no_generator_it_is_the_systems() -> None:
    assert isinstance(of(None), Secure)
    assert isinstance(of(np.random.default_rng(0)), Repeatable)


def test_noise_is_normal(source: Chance) -> None:
    """Kolmogorov and Smirnov's test for the shape, chi square for the variance, and no memory from one to the next."""
    numbers = source.normal(200_000)
    assert numbers.shape == (200_000,)
    assert stats.kstest(numbers, "norm").pvalue > UNLIKELY
    squares = float(np.sum(numbers**2))
    assert UNLIKELY < stats.chi2.cdf(squares, len(numbers)) < 1 - UNLIKELY
    half = len(numbers) // 2
    for lag in (1, 2, half):  # Box and Muller's pairs lie half of the numbers apart
        assert stats.pearsonr(numbers[:-lag], numbers[lag:]).pvalue > UNLIKELY


def test_uniform_numbers_fill_the_unit_interval(source: Chance) -> None:
    numbers = source.uniform(100_000)
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    assert stats.kstest(numbers, "uniform").pvalue > UNLIKELY


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_there_are_as_many_as_asked_for(source: Chance, count: int) -> None:
    assert source.normal(count).shape == source.uniform(count).shape == (count,)


@pytest.mark.parametrize("rate", [0.001, 0.03, 0.5, 0.97])
def test_each_unit_takes_part_at_the_rate_and_by_itself(source: Chance, rate: float) -> None:
    units, draws = 300, 4000
    taken = np.zeros((draws, units))
    for row in taken:
        chosen = poisson_sample(units, rate, source)
        assert (np.diff(chosen) > 0).all()
        row[chosen] = 1.0
    everywhere = taken.sum(axis=0)
    assert likely(everywhere, draws, rate), "one unit is drawn more often than another"
    counts = taken.sum(axis=1)  # binomial, so the number that comes is left to chance as well
    assert likely(counts.sum(), draws * units, rate)
    usual = stats.binom(units, rate)
    fourth = usual.moment(4) - 4 * usual.mean() * usual.moment(3) + 6 * usual.mean() ** 2 * usual.moment(2)
    spread = np.sqrt((fourth - 3 * usual.mean() ** 4 - usual.var() ** 2) / draws)
    assert abs(counts.var() - usual.var()) < 6 * spread
    together = (taken[:, :40].T @ taken[:, :40])[np.triu_indices(40, 1)]
    assert likely(together, draws, rate**2), "units are not drawn independently"


def likely(counts: np.ndarray, draws: int, rate: float) -> bool:
    """Say whether all these numbers may well be binomial, by its exact tails (few draws of a small rate are skewed)."""
    usual, unlikely = stats.binom(draws, rate), UNLIKELY / np.size(counts)
    return bool(np.all(usual.sf(counts - 1) > unlikely) and np.all(usual.cdf(counts) > unlikely))


def test_edges_of_the_rate(source: Chance) -> None:
    assert poisson_sample(5, 1.0, source).tolist() == [0, 1, 2, 3, 4]
    assert poisson_sample(5, 1e-12, source).tolist() == []
    assert poisson_sample(0, 0.5, source).tolist() == []
