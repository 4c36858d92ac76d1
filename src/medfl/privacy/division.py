"""Training and test units, each drawn by itself.

A stratified split looks at all outcomes, so one patient more would deal everybody anew; then the budgets of training
and test rows could not be counted beside each other. Here each row is drawn by its place in the table, and each patient
by the ID, whatever the others are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfl import seeds
from medfl.errors import DataError
from medfl.learn.data.cells import Rows, spelled

PURPOSE = "split by unit"


def by_place(kept: Rows, rows: int, *, fraction: float, seed: int, site: str) -> NDArray[np.bool_]:
    """Say which of the usable rows are test rows.

    Parameters
    ----------
    kept
        Places of the usable rows in the table.
    rows
        Rows of the table.
    fraction
        Chance of each to be a test row.
    seed, site
        They name the draw.
    """
    draw = seeds.generator(seed, site=site, purpose=PURPOSE).random(rows)
    return np.asarray(draw[kept] < fraction)


def by_patient(
    units: NDArray[np.int64], names: Sequence[str], *, fraction: float, seed: int, site: str
) -> NDArray[Any]:
    """Say which rows are test rows: all of a patient, or none.

    Parameters
    ----------
    units
        Number of each row's patient.
    names
        The patients' IDs, by that number; they are hashed here and go nowhere.
    fraction, seed, site
        As for :func:`by_place`.
    """
    start = hashlib.sha256(f"{seed}\x1f{site}\x1f{PURPOSE}\x1f".encode())

    def drawn(name: str) -> float:
        one = start.copy()
        one.update(name.encode())
        return int.from_bytes(one.digest()[:8], "big") / 2.0**64

    chosen = np.array([drawn(name) < fraction for name in names], np.bool_)
    return chosen[units]


def divided(test: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Return the numbers of training and of test rows.

    Raises
    ------
    DataError
        If there are none of either.
    """
    if test.all() or not test.any():
        raise DataError(
            "too few rows or patients to have some to train on and some to test on, each drawn by itself",
            where="evaluation.test_fraction",
            remedy="choose a fraction nearer to 0.5, or leave the site out",
        )
    return np.flatnonzero(~test), np.flatnonzero(test)


def patients(ids: NDArray[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """Return the number of each row's patient, and their IDs by that number; rows without an ID are one patient."""
    import pandas as pd

    absent = pd.isna(ids).tolist()
    names = ["" if nobody else spelled(one) for one, nobody in zip(ids.tolist(), absent, strict=True)]
    distinct, units = np.unique(np.array(names, dtype=np.str_), return_inverse=True)
    return units.astype(np.int64), distinct.tolist()
