"""Released sums: no unit moves them by more than the noise is measured by, and with little noise they are the sums."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medfl.learn.data.clean import Clean
from medfl.learn.data.harmonise import Agreement
from medfl.learn.data.preprocess import fit, sums
from medfl.learn.data.schema import Column
from medfl.learn.model import Outcome
from medfl.learn.statistic import Statistic
from medfl.privacy.statistics import Asked, plausible, released
from medfl.spec.preprocess import Preprocess

FEATURES = (
    Column("age", "numeric", minimum=20.0, maximum=100.0),
    Column("dose", "numeric", minimum=-4.0, maximum=4.0),
    Column("colour", "categorical", categories=("amber", "blue", "clear")),
)
BINARY = Agreement(FEATURES, "sick", Outcome("binary", ("0", "1")), {})
NUMBER = Agreement(FEATURES, "cost", Outcome("regression"), {}, centre=50.0)
HOW = [
    (Preprocess(impute="drop", scale="standard"), None),
    (Preprocess(impute="mean", scale="standard"), None),
    (Preprocess(impute="median", scale="min-max"), None),
    (Preprocess(impute="most-frequent", scale="standard-per-site"), None),
    (Preprocess(impute="drop", scale="standard"), (0.0, 100.0)),
]


class Recorded(np.random.Generator):
    """A generator whose noise is one, so that its spread can be read from what it is added to."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        return np.ones(size)


def rows(count: int, seed: int, *, outcome: tuple[float, float] | None = None) -> Clean:
    draw = np.random.default_rng(seed)
    numeric = np.stack([draw.uniform(20, 100, count), draw.uniform(-4, 4, count)], axis=1)
    codes = draw.integers(0, 3, (count, 1)).astype(np.int32)
    truth = draw.integers(0, 2, count) if outcome is None else draw.uniform(*outcome, count)
    return Clean(numeric, codes, truth.astype(np.float32), np.arange(count))


def noisy(clean: Clean, asked: Asked, multiplier: float, units: Any = None) -> Statistic:
    agreement = BINARY if asked.outcome is None else NUMBER
    noise = Recorded() if multiplier else np.random.default_rng(0)
    return released(clean, agreement, asked, units=units, multiplier=multiplier, noise=noise)


def asked(number: int) -> Asked:
    how, outcome = HOW[number]
    return Asked(how, classes=outcome is None, outcome=outcome)


def in_spreads(one: Statistic, other: Statistic, asked: Asked, clean: Clean, units: Any) -> float:
    """Return how far two exact statistics lie apart, in standard deviations of the noise of multiplier 1."""
    spread, exact = noisy(clean, asked, 1.0, units), noisy(clean, asked, 0.0, units)
    squared = 0.0
    for name, array in one.arrays.items():
        deviation = spread[name] - exact[name]
        if name != "rows" and np.any(deviation):
            squared += float((((array - other[name]) / deviation) ** 2).sum())
    return float(np.sqrt(squared))


@pytest.mark.parametrize("number", range(len(HOW)))
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), extreme=st.booleans(), gone=st.integers(0, 11))
def test_no_row_moves_the_sums_by_more_than_the_noise_is_measured_by(
    number: int, seed: int, extreme: bool, gone: int
) -> None:
    """A row is there, or its place is empty: what it adds is its sums alone, taken as a table of one row."""
    how = asked(number)
    clean = rows(12, seed, outcome=how.outcome)
    if extreme:
        numeric = clean.numeric.copy()
        numeric[gone] = (100.0, -4.0)
        clean = replace(clean, numeric=numeric)
    whole = noisy(clean, how, 0.0)
    rest = noisy(clean.take(np.delete(np.arange(12), gone)), how, 0.0)
    moved = in_spreads(whole, rest, how, clean, None)
    assert moved <= 1.0 + 1e-9


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), often=st.integers(1, 9))
def test_nor_does_a_patient_however_often_he_was_seen(seed: int, often: int) -> None:
    how = asked(0)
    clean = rows(12, seed)
    units = np.array([0] * often + list(range(1, 13 - often)))
    weighed = noisy(clean, how, 0.0, units)
    # Without the patient the same weights hold: the number of patients counts as known.
    share = 12 / len(np.unique(units))
    mine = clean.take(np.arange(often))
    single = noisy(mine, how, 0.0, np.zeros(often, np.int64))
    contribution = Statistic({name: array / often * share for name, array in single.arrays.items()})
    rest = Statistic({name: weighed[name] - contribution[name] for name in weighed.arrays})
    assert in_spreads(weighed, rest, how, clean, units) <= 1.0 + 1e-9


@pytest.mark.parametrize("number", range(len(HOW)))
def test_without_noise_they_fit_what_the_rows_fit(number: int) -> None:
    how = asked(number)
    agreement = BINARY if how.outcome is None else NUMBER
    clean = rows(500, 3, outcome=how.outcome)
    exact = fit(
        sums(clean, agreement, preprocess=how.preprocess), agreement, preprocess=how.preprocess, model_kind="mlp"
    )
    found = fit(
        plausible(noisy(clean, how, 0.0), agreement, how), agreement, preprocess=how.preprocess, model_kind="mlp"
    )
    assert np.allclose(found.offset, exact.offset)
    assert np.allclose(found.factor, exact.factor)
    assert (found.centre, found.spread) == pytest.approx((exact.centre, exact.spread))
    for mine, theirs in zip(found.features, exact.features, strict=True):
        assert mine.fill == (None if theirs.fill is None else pytest.approx(theirs.fill, abs=0.1))


@pytest.mark.parametrize("number", range(len(HOW)))
def test_drowned_in_noise_they_still_fit(number: int) -> None:
    how = asked(number)
    agreement = BINARY if how.outcome is None else NUMBER
    clean = rows(30, 5, outcome=how.outcome)
    for seed in range(20):
        total = released(clean, agreement, how, units=None, multiplier=500.0, noise=np.random.default_rng(seed))
        recipe = fit(plausible(total, agreement, how), agreement, preprocess=how.preprocess, model_kind="mlp")
        assert np.isfinite(recipe.offset).all()
        assert np.isfinite(recipe.factor).all()
        assert all(factor > 0 for factor in recipe.factor)
        assert recipe.to_json() == type(recipe).from_json(recipe.to_json()).to_json()
