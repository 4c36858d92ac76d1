"""Counts that are made safe: no small cell is told or follows from what is told, and totals stay what they were."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from medfl.privacy.cells import hidden_in_line, hidden_in_table, merged, moved, noised, outward, rounded, tellable

Counts = np.ndarray
tables = arrays(np.int64, array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=4), elements=st.integers(0, 12))


@pytest.mark.parametrize("shape", [(2, 3), (3, 2)])
def test_no_small_cell_of_a_table_follows_from_its_totals(shape: tuple[int, int]) -> None:
    """Of each small cell, two tables with the same totals and the same told cells disagree."""
    fewest, most, held = 3, 3, 0
    every = np.array([*product(range(most + 2), repeat=6)]).reshape(-1, *shape)
    behind: dict[bytes, list[Counts]] = defaultdict(list)
    for counts in every:
        behind[totals(counts)].append(counts)
    for counts in every[(every <= most).all(axis=(1, 2))]:
        hidden, small = hidden_in_table(counts, fewest=fewest), (counts > 0) & (counts < fewest)
        assert not (small & ~hidden).any()
        if hidden.all() or not small.any():
            continue
        alike = np.stack(behind[totals(counts)])
        others = alike[(alike == counts)[:, ~hidden].all(axis=1)]
        held += int(small.sum())
        assert (np.ptp(others[:, small], axis=0) > 0).all(), (counts, hidden)
    assert held > 1000


def totals(counts: Counts) -> bytes:
    return np.concatenate([counts.sum(axis=0), counts.sum(axis=1)]).tobytes()


@given(tables, st.integers(2, 6))
def test_a_table_that_may_be_told_is_told_whole(counts: Counts, fewest: int) -> None:
    hidden = hidden_in_table(counts, fewest=fewest)
    assert hidden.any() == (not tellable(counts, fewest=fewest))


def test_a_small_cell_without_a_rectangle_hides_all() -> None:
    assert hidden_in_table(np.array([[2, 0], [0, 0]]), fewest=5).all()


@given(arrays(np.int64, st.integers(1, 6), elements=st.integers(0, 12)), st.integers(2, 6))
def test_no_small_cell_of_a_line_is_alone(counts: Counts, fewest: int) -> None:
    hidden = hidden_in_line(counts, fewest=fewest)
    assert tellable(counts[~hidden], fewest=fewest)
    assert hidden.sum() != 1 or not ((counts > 0) & ~hidden).any()


histograms = st.tuples(st.integers(1, 2), st.integers(1, 60)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(0, 4))
)


@given(histograms, st.integers(1, 6))
def test_merged_bins_have_nobody_or_enough_of_each_class(counts: Counts, fewest: int) -> None:
    if not tellable(counts.sum(axis=1), fewest=fewest):
        return
    told = moved(counts, merged(counts, fewest=fewest))
    assert (told.sum(axis=1) == counts.sum(axis=1)).all()
    assert tellable(told, fewest=fewest)
    assert tellable(told.sum(axis=0), fewest=fewest)
    if fewest == 1:
        assert (told == counts).all()


@given(histograms)
def test_bins_keep_their_order(counts: Counts) -> None:
    filled = np.flatnonzero(counts.any(axis=0))
    if tellable(counts.sum(axis=1), fewest=3):
        assert (np.diff(merged(counts, fewest=3)[filled]) >= 0).all()


def test_sums_move_with_their_bins() -> None:
    assert moved(np.array([[1.5, 2.0, 4.0], [0.0, 1.0, 1.0]]), np.array([1, 1, 2])).tolist() == [[0, 3.5, 4], [0, 1, 1]]


@given(arrays(np.int64, 20, elements=st.integers(0, 1000)), st.integers(2, 20), st.booleans())
def test_rounded_counts_are_near_multiples(counts: Counts, base: int, unbiased: bool) -> None:
    told = rounded(counts, base=base, draw=np.random.default_rng(1) if unbiased else None)
    assert (told % base == 0).all()
    assert (np.abs(told - counts) < base).all()
    if not unbiased:
        assert (2 * np.abs(told - counts) <= base).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 23])
def test_rounding_at_random_keeps_the_mean(count: int) -> None:
    told = rounded(np.full(40_000, count), base=5, draw=np.random.default_rng(count))
    assert told.mean() == pytest.approx(count, abs=0.05)


@pytest.mark.parametrize("scale", [0.5, 2.0, 10.0])
def test_noise_is_of_its_scale_and_never_makes_a_negative_count(scale: float) -> None:
    blurred = noised(np.full(40_000, 1000), scale=scale, draw=np.random.default_rng(0)) - 1000
    # Two geometric numbers, subtracted: variance 2 q / (1 − q)² with q = exp(−1 / scale).
    q = np.exp(-1 / scale)
    assert blurred.mean() == pytest.approx(0, abs=0.2)
    assert blurred.var() == pytest.approx(2 * q / (1 - q) ** 2, rel=0.05)
    assert noised(np.zeros(1000, np.int64), scale=scale, draw=np.random.default_rng(0)).min() == 0


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (18.0, 97.0, (10.0, 100.0)),
        (0.31, 0.42, (0.3, 0.5)),
        (-3.2, 2.9, (-4.0, 3.0)),
        (61.0, 61.0, (60.0, 70.0)),
        (0.0, 0.0, (0.0, 0.0)),
        (-1e300, 1e300, (-1e300, 1e300)),
    ],
)
def test_a_range_becomes_round(low: float, high: float, told: tuple[float, float]) -> None:
    assert outward(low, high) == pytest.approx(told)


@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
def test_a_round_range_holds_all_values(one: float, other: float) -> None:
    low, high = sorted((one, other))
    below, above = outward(low, high)
    assert below <= low <= high <= above
