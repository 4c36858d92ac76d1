"""Statistics add up: a commutative monoid, by law."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from medfl.errors import WireError
from medfl.learn.statistic import ZERO, Statistic, stacked, total
from medfl.testing.algorithm_contract import close, print_of

SHAPES = {"weight": (), "delta": (3,), "table": (2, 2), "update/none": (0,)}
finite = st.floats(-1e9, 1e9)
names = st.sets(st.sampled_from(sorted(SHAPES)))


def statistics(kind: type[np.float64] | type[np.int64]) -> st.SearchStrategy[Statistic]:
    elements = finite if kind is np.float64 else st.integers(-(2**40), 2**40)
    arrays = {name: arrays_of.arrays(kind, shape, elements=elements) for name, shape in SHAPES.items()}
    return names.flatmap(lambda some: st.fixed_dictionaries({name: arrays[name] for name in some})).map(Statistic)


quickly = settings(max_examples=40, deadline=None)
whole = statistics(np.int64)
real = statistics(np.float64)


@quickly
@given(whole, whole, whole)
def test_whole_numbers_add_exactly_in_any_order(a: Statistic, b: Statistic, c: Statistic) -> None:
    assert print_of(((a + b) + c).arrays) == print_of((a + (b + c)).arrays) == print_of((c + (a + b)).arrays)


@quickly
@given(real, real)
def test_addition_commutes_bit_for_bit(a: Statistic, b: Statistic) -> None:
    assert print_of((a + b).arrays) == print_of((b + a).arrays)


@quickly
@given(real, real, real)
def test_the_grouping_matters_no_more_than_rounding(a: Statistic, b: Statistic, c: Statistic) -> None:
    left, right = (a + b) + c, a + (b + c)
    for name, array in left.arrays.items():
        terms = sum(np.abs(one[name]).max(initial=0.0) for one in (a, b, c) if name in one.arrays)
        np.testing.assert_allclose(array, right[name], rtol=0, atol=4e-16 * float(terms))


@quickly
@given(real)
def test_zero_adds_nothing(a: Statistic) -> None:
    assert print_of((ZERO + a).arrays) == print_of((a + ZERO).arrays) == print_of(a.arrays)


@quickly
@given(st.lists(real, max_size=5))
def test_the_total_adds_from_left_to_right(parts: list[Statistic]) -> None:
    assert print_of(total(parts).arrays) == print_of(reduce(add, parts, ZERO).arrays)
    close(total(parts), total(iter(parts)))


@quickly
@given(real, real)
def test_adding_changes_neither(a: Statistic, b: Statistic) -> None:
    before = print_of(a.arrays), print_of(b.arrays)
    _ = a + b
    assert (print_of(a.arrays), print_of(b.arrays)) == before


@quickly
@given(real, st.sampled_from(["update", "evaluation", "a/b"]))
def test_a_prefix_is_put_on_and_taken_off(a: Statistic, prefix: str) -> None:
    assert print_of(a.prefixed(prefix).under(prefix).arrays) == print_of(a.arrays)


@quickly
@given(real, real)
def test_parts_travel_together_and_come_apart(a: Statistic, b: Statistic) -> None:
    together = a.prefixed("update") + b.prefixed("evaluation")
    assert print_of(together.under("update").arrays) == print_of(a.arrays)
    assert print_of(together.under("evaluation").arrays) == print_of(b.arrays)
    assert together.under("sums").arrays == {}


def test_a_prefix_is_a_whole_word() -> None:
    statistic = Statistic({"updates/delta": np.ones(1), "update/delta": np.ones(2)})
    assert set(statistic.under("update").arrays) == {"delta"}
    assert statistic.under("update")["delta"].shape == (2,)


@pytest.mark.parametrize(
    ("other", "received"),
    [
        (np.ones(2), r"float64\[3\] and float64\[2\]"),
        (np.ones((3, 1)), r"float64\[3\] and float64\[3, 1\]"),
        (np.array(1.0), r"float64\[3\] and float64\[\]"),
        (np.ones(3, np.float32), r"float64\[3\] and float32\[3\]"),
        (np.ones(3, np.int64), r"float64\[3\] and int64\[3\]"),
    ],
    ids=["length", "axes", "scalar", "precision", "kind"],
)
def test_what_does_not_add_up_is_refused_and_never_broadcast(other: np.ndarray, received: str) -> None:
    with pytest.raises(WireError, match=rf"'delta' do not add up \(found: {received}\)"):
        _ = Statistic({"delta": np.ones(3)}) + Statistic({"delta": other})


@quickly
@given(st.lists(st.lists(finite, min_size=3, max_size=3), min_size=1, max_size=5))
def test_a_stack_has_each_contribution_in_its_place_and_sums_to_the_total(rows: list[list[float]]) -> None:
    each = [Statistic({"delta": np.array(row), "weight": np.array(float(len(rows)))}) for row in rows]
    stack = stacked(each)
    assert stack["delta"].tolist() == rows
    assert stack["weight"].shape == (len(rows),)
    np.testing.assert_allclose(stack["delta"].sum(axis=0), total(each)["delta"], rtol=1e-12, atol=1e-3)


def test_nothing_stacked_is_nothing() -> None:
    assert stacked([]).arrays == {}


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"delta": np.ones(2)}, "'delta' do not add up"),
        ({"delta": np.ones(3, np.float32)}, "'delta' do not add up"),
        ({"delta": np.ones(3), "more": np.ones(1)}, "only one of them has 'more'"),
        ({}, "only one of them has 'delta'"),
    ],
    ids=["length", "precision", "another name", "no name"],
)
def test_what_cannot_be_compared_is_refused(other: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(WireError, match=says):
        stacked([Statistic({"delta": np.ones(3)}), Statistic(other)])


def test_with_and_without_a_prefix_is_the_whole() -> None:
    whole = Statistic({"update/delta": np.ones(2), "update": np.ones(1), "evaluation/n": np.ones(())})
    assert set(whole.without("update").arrays) == {"update", "evaluation/n"}
    assert set((whole.without("update") + whole.under("update").prefixed("update")).arrays) == set(whole.arrays)
