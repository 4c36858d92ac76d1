"""Training and test rows, drawn exactly as scikit-learn's ``train_test_split`` draws them for the same seed."""

from __future__ import annotations

from collections.abc import Collection
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfl import seeds
from medfl.errors import DataError
from medfl.learn.data.cells import spelled

Rows = NDArray[np.int64]

_FEWEST = 3
"""A class with fewer rows than this cannot be shared out; then the split is not stratified, as in FLamby."""


def split(labels: NDArray[Any] | None, rows: int, *, fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Split rows at random into training and test, stratified by class where each class has at least 3 rows.

    Parameters
    ----------
    labels
        Class of each row, shape (rows,); None for a numeric outcome.
    rows
        Number of rows.
    fraction
        Share of test rows; their number is rounded up.
    seed
        As ``random_state`` of ``train_test_split(np.arange(rows), test_size=fraction, stratify=labels)``, which gives
        the same arrays.

    Returns
    -------
    tuple
        Numbers of the training rows and of the test rows.

    Raises
    ------
    DataError
        If one side would have no row.
    """
    test = ceil(fraction * rows)
    train = rows - test
    if train < 1 or test < 1:
        raise DataError(
            f"too few rows to split them into training and test: {rows}",
            where="evaluation.test_fraction",
            received=f"{fraction:g}",
            remedy="choose a fraction nearer to 0.5, or leave the site out",
        )
    generator = seeds.numbered(seed)
    if labels is not None:
        members = _members(labels)
        if min(map(len, members)) >= _FEWEST and len(members) <= min(train, test):
            return _stratified(members, train, test, generator=generator)
    order: Rows = generator.permutation(rows)
    return order[test:], order[:test]


def by_ids(ids: NDArray[Any], test_ids: Collection[object], *, kept: Rows | None = None) -> tuple[Rows, Rows]:
    """Take as test rows those whose ID is listed.

    Parameters
    ----------
    ids
        ID of each row of the table, shape (rows,); several rows may have one.
    test_ids
        The listed IDs.
    kept
        The rows of the table that can be used, rising; all where left out. The split counts these only, so that a
        listed patient whose row was left out is no error.

    Raises
    ------
    DataError
        If a listed ID is not in the table, or no row is left to train or to test on; an ID is never quoted.
    """
    wanted = {spelled(one) for one in test_ids}
    own = [spelled(one) for one in ids.tolist()]
    unknown = len(wanted.difference(own))
    if unknown:
        raise DataError(
            f"{unknown} of {len(wanted)} listed test IDs are not in the table",
            where="evaluation.test_ids",
            remedy="check that evaluation.id_column names the right column and that the list is this site's",
        )
    chosen = np.fromiter((one in wanted for one in own), dtype=np.bool_, count=len(own))
    usable = chosen if kept is None else chosen[kept]
    if usable.all() or not usable.any():
        raise DataError(
            f"{int(usable.sum())} of {len(usable)} usable rows are listed as test rows",
            where="evaluation.test_ids",
            remedy="list some of the IDs, not all or none",
        )
    return np.flatnonzero(~usable), np.flatnonzero(usable)


def _members(labels: NDArray[Any]) -> list[Rows]:
    """Return the rows of each class, classes in sorted order."""
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def _stratified(members: list[Rows], train: int, test: int, *, generator: np.random.RandomState) -> tuple[Rows, Rows]:
    sizes = np.array([len(rows) for rows in members])
    training = _allot(sizes, train, generator=generator)
    testing = _allot(sizes - training, test, generator=generator)
    chosen: tuple[list[Rows], list[Rows]] = ([], [])
    for rows, first, second in zip(members, training, testing, strict=True):
        shuffled = rows[generator.permutation(len(rows))]
        chosen[0].append(shuffled[:first])
        chosen[1].append(shuffled[first : first + second])
    return generator.permutation(np.concatenate(chosen[0])), generator.permutation(np.concatenate(chosen[1]))


def _allot(sizes: Rows, draws: int, *, generator: np.random.RandomState) -> Rows:
    """Share `draws` out in proportion to `sizes`: whole parts first, then largest remainders; ties are drawn by lot."""
    exact = sizes / sizes.sum() * draws
    allotted: Rows = np.floor(exact).astype(np.int64)
    remainders = exact - np.floor(exact)
    wanting = draws - int(allotted.sum())
    for remainder in np.unique(remainders)[::-1]:
        if wanting <= 0:
            break
        tied = np.flatnonzero(remainders == remainder)
        lucky = generator.choice(tied, size=min(len(tied), wanting), replace=False)
        allotted[lucky] += 1
        wanting -= len(lucky)
    return allotted
