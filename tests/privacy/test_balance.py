"""Shares of classes: what they say of the number of patients of a class, over every small table there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.privacy.balance import PARTS, parts_of_whole, shares


def every(rows: int, classes: int, *, fewest: int) -> Iterator[tuple[int, ...]]:
    """Yield every way in which so many rows are of so many classes, with that many of each at least."""
    if classes == 1:
        yield (rows,)
        return
    for first in range(fewest, rows - fewest * (classes - 1) + 1):
        for rest in every(rows - first, classes - 1, fewest=fewest):
            yield (first, *rest)


def told(counts: tuple[int, ...], *, fewest: int) -> tuple[tuple[int, ...], int] | None:
    found = shares(np.array(counts), fewest=fewest)
    return None if found is None else (tuple(found[0]), found[1])


@pytest.mark.parametrize(
    ("classes", "fewest", "sizes"),
    [
        (2, 1, range(2, 120)),
        (2, 3, range(20, 180, 7)),
        (2, 5, (40, 41, 55, 99, 100, 103, 199, 200, 201, 411)),
        (3, 2, range(20, 52, 3)),
        (3, 3, (30, 31, 45, 60, 77)),
        (4, 1, range(12, 34, 3)),
        (5, 1, (14, 15, 21, 28)),
    ],
)
def test_whatever_is_told_each_class_may_have_many_numbers_of_rows(classes: int, fewest: int, sizes: range) -> None:
    """Whoever knows the number of rows, the rule and that no class is small still cannot count any class."""
    for rows in sizes:
        could_be: dict[object, list[set[int]]] = defaultdict(lambda: [set() for _ in range(classes)])
        for counts in every(rows, classes, fewest=fewest):
            if (found := told(counts, fewest=fewest)) is not None:
                for place, count in enumerate(counts):
                    could_be[found][place].add(count)
        fewest_left = min((len(counts) for found in could_be.values() for counts in found), default=None)
        assert (fewest_left is None) == (rows < PARTS[-1] * (classes + 2) * fewest)
        assert fewest_left is None or fewest_left >= fewest, (rows, fewest_left)


def test_shares_that_are_rounded_each_by_itself_would_count_patients() -> None:
    """What the rule guards against: 20, 30 and 50 of 100 are the only three whose tenths, rounded down, add up to 1."""
    down = [counts for counts in every(100, 3, fewest=5) if [10 * one // 100 for one in counts] == [2, 3, 5]]
    assert down == [(20, 30, 50)]
    alike = [counts for counts in every(1000, 3, fewest=5) if told(counts, fewest=5) == ((2, 3, 5), 10)]
    assert {counts[0] for counts in alike} >= set(range(160, 240))


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=6), st.integers(1, 20))
def test_it_tells_the_nearest_shares_or_nothing(counts: list[int], fewest: int) -> None:
    rows, found = sum(counts), told(tuple(counts), fewest=fewest)
    parts = parts_of_whole(rows, len(counts), fewest=fewest)
    if min(counts) < fewest or len(counts) < 2 or parts is None:
        assert found is None
        return
    assert found is not None
    assert (sum(found[0]), found[1]) == (parts, parts)
    assert all(abs(part / parts - count / rows) < 1 / parts for part, count in zip(found[0], counts, strict=True))


def test_a_small_class_a_single_one_and_a_small_table_are_not_told() -> None:
    assert told((196, 4), fewest=5) is None
    assert told((200,), fewest=5) is None
    assert told((20, 19), fewest=5) is None
    assert told((20, 20), fewest=5) == ((1, 1), 2)
    assert told((195, 5), fewest=5) == ((10, 0), 10)
    assert told((140, 60), fewest=5) == ((7, 3), 10)
