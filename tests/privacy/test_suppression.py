"""From what leaves a site, the rule included, the rows of a group that does not leave cannot be computed."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.privacy.suppression import suppressed

Table: TypeAlias = tuple[tuple[int, ...], ...]


def leaves(table: Table, *, fewest: int) -> tuple[object, ...]:
    """Return all that the hub learns: the site's totals, the groups shown, and the names of those that are not."""
    counts = np.array(table)
    hidden = suppressed(counts, fewest=fewest)
    shown = (counts.sum(axis=1) > 0) & ~hidden
    totals = tuple(counts.sum(axis=0).tolist())
    if not shown.any():
        return (totals,)
    return totals, tuple((place, table[place]) for place in np.flatnonzero(shown)), tuple(np.flatnonzero(hidden))


@pytest.mark.parametrize(
    ("groups", "classes", "most", "fewest"), [(2, 1, 40, 10), (3, 1, 16, 4), (4, 1, 11, 3), (2, 2, 9, 3), (3, 2, 6, 2)]
)
def test_no_small_table_can_be_computed_back(groups: int, classes: int, most: int, fewest: int) -> None:
    """Of each output, all tables that could have led to it: they disagree on every small number that was left out."""
    behind: dict[tuple[object, ...], list[Table]] = defaultdict(list)
    for cells in product(range(most + 1), repeat=groups * classes):
        if all(sum(cells[place::classes]) <= most for place in range(classes)):
            table = tuple(cells[place : place + classes] for place in range(0, len(cells), classes))
            behind[leaves(table, fewest=fewest)].append(table)
    held = 0
    for tables in behind.values():
        for table in tables:
            for place in np.flatnonzero(suppressed(np.array(table), fewest=fewest)):
                small = [column for column in range(classes) if table[place][column] < fewest]
                held += len(small)
                undecided = [len({other[place][column] for other in tables}) > 1 for column in small]
                # With one group only, or nobody in a class at the whole site, the totals alone say it.
                known = [column for column in small if sum(row[column] for row in table) == 0]
                assert sum(undecided) == len(small) - len(known), table
    assert held


TABLES = st.integers(1, 3).flatmap(
    lambda classes: st.lists(
        st.lists(st.integers(0, 40), min_size=classes, max_size=classes), min_size=1, max_size=6
    ).map(np.array)
)


@given(TABLES, st.integers(2, 20))
def test_no_group_below_the_threshold_leaves(counts: np.ndarray, fewest: int) -> None:
    hidden = suppressed(counts, fewest=fewest)
    shown = (counts.sum(axis=1) > 0) & ~hidden
    assert (counts[shown] >= fewest).all()
    assert not hidden[counts.sum(axis=1) == 0].any()


@given(TABLES, st.integers(2, 20))
def test_one_group_is_never_left_out_alone_beside_others(counts: np.ndarray, fewest: int) -> None:
    """Or else the site's total less the others would be it."""
    hidden = suppressed(counts, fewest=fewest)
    shown = (counts.sum(axis=1) > 0) & ~hidden
    assert hidden.sum() != 1 or not shown.any()


@given(TABLES, st.integers(2, 20), st.randoms(use_true_random=False))
def test_the_order_of_groups_does_not_matter(counts: np.ndarray, fewest: int, draw: object) -> None:
    order = np.random.default_rng(len(counts)).permutation(len(counts))
    assert (suppressed(counts[order], fewest=fewest) == suppressed(counts, fewest=fewest)[order]).all()


def test_what_is_large_enough_leaves() -> None:
    assert not suppressed(np.array([[10, 12], [30, 11], [0, 0]]), fewest=10).any()
