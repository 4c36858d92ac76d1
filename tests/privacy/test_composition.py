"""What several runs cost together: never less than what befell any unit."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medfl.privacy.accountant import Mechanism, epsilon
from medfl.privacy.composition import Released, cost

TRAIN, TEST = (Mechanism(3.0, 0.5, 20),), (Mechanism(2.0),)


def test_one_run_costs_the_dearer_side() -> None:
    assert cost([Released("a", {"train": TRAIN, "test": TEST})], 1e-5) == max(epsilon(TRAIN, 1e-5), epsilon(TEST, 1e-5))


def test_runs_that_divide_alike_keep_their_sides() -> None:
    twice = cost([Released("a", {"train": TRAIN, "test": TEST})] * 2, 1e-5)
    assert twice == max(epsilon([*TRAIN, *TRAIN], 1e-5), epsilon([*TEST, *TEST], 1e-5))


def test_nothing_costs_nothing() -> None:
    assert cost([], 1e-5) == 0.0


@settings(max_examples=8, deadline=None)
@given(runs=st.lists(st.tuples(st.floats(1.0, 4.0), st.floats(1.0, 4.0)), min_size=1, max_size=3))
def test_no_unit_loses_more_than_is_told(runs: list[tuple[float, float]]) -> None:
    """Whatever side it was on in each run: every way is put to the accountant by itself."""
    listed = [
        Released(str(number), {"train": (Mechanism(one),), "test": (Mechanism(other),)})
        for number, (one, other) in enumerate(runs)
    ]
    told = cost(listed, 1e-5)
    ways = [epsilon([Mechanism(noise) for noise in way], 1e-5) for way in product(*runs)]
    assert told == pytest.approx(max(ways))


def test_many_divisions_count_both_sides_for_everybody() -> None:
    runs = [
        Released(str(number), {"train": (Mechanism(20.0 + number),), "test": (Mechanism(30.0 + number),)})
        for number in range(8)
    ]
    every = [one for run in runs for side in run.by_side.values() for one in side]
    assert cost(runs, 1e-5) == epsilon(every, 1e-5)
