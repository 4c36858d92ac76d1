"""The split is scikit-learn's, number for number, and FLamby's where that stratifies or not."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.model_selection import train_test_split

from medfl.errors import DataError
from medfl.learn.data.split import by_ids, split


@settings(max_examples=150, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=4, max_size=120).map(np.array),
    fraction=st.floats(0.05, 0.95),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_scikit_learn(labels: np.ndarray, fraction: float, seed: int) -> None:
    rows, test = len(labels), ceil(fraction * len(labels))
    counts = np.bincount(labels)
    if rows - test < 1:
        with pytest.raises(DataError):
            split(labels, rows, fraction=fraction, seed=seed)
        return
    can = counts[counts > 0].min() > 2 and (counts > 0).sum() <= min(test, rows - test)
    train_rows, test_rows = train_test_split(
        np.arange(rows), test_size=fraction, random_state=seed, stratify=labels if can else None
    )
    mine = split(labels.astype(np.float32), rows, fraction=fraction, seed=seed)
    assert_array_equal(mine[0], train_rows)
    assert_array_equal(mine[1], test_rows)


def test_without_labels_it_is_the_plain_split() -> None:
    theirs = train_test_split(np.arange(37), test_size=0.2, random_state=5)
    mine = split(None, 37, fraction=0.2, seed=5)
    assert_array_equal(mine[0], theirs[0])
    assert_array_equal(mine[1], theirs[1])


def test_listed_ids_are_the_test_rows() -> None:
    train, test = by_ids(np.array([7.0, 8.0, 9.0, 7.0]), ["7", " 8 "])
    assert train.tolist() == [2]
    assert test.tolist() == [0, 1, 3]


def test_a_listed_patient_whose_row_was_left_out_is_no_error() -> None:
    train, test = by_ids(np.array(["a", "b", "c", "d"]), ["a", "b"], kept=np.array([1, 3]))
    assert train.tolist() == [1]
    assert test.tolist() == [0]
