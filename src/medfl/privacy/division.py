"""Training and test units, each drawn by itself.

A stratified split looks at all outcomes, so one patient more would deal everybody anew; then the budgets of training
and test rows could not be counted beside each other. Here each row is drawn by its place in the table, and each patient
by the ID, whatever the others are.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
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
    units: NDArray[np.int64], names: Sequence[str], *, fraction: float, draw: Callable[[str], float]
) -> NDArray[Any]:
    """Say which rows are test rows: all of a patient, or none.

    Parameters
    ----------
    units
        Number of each row's patient.
    names
        The patients' IDs, by that number; they are hashed here and go nowhere.
    fraction
        Chance of each to be a test patient.
    draw
        Draws a number between 0 and 1 for an ID.
    """
    chosen = np.array([draw(name) < fraction for name in names], np.bool_)
    return chosen[units]


def drawn(seed: int, site: str, secret: bytes | None) -> Callable[[str], float]:
    """Return what draws a number between 0 and 1 for an ID, the same for the same.

    Numbers of rows on either side count as known. Whoever could reckon for any seed which IDs are on which side would
    know from a few such numbers how many rows each patient has: so a site draws with its secret, where it has one.
    """
    words = f"{seed}\x1f{site}\x1f{PURPOSE}\x1f".encode()
    start = hashlib.sha256(words) if secret is None else hmac.new(secret, words, hashlib.sha256)

    def draw(name: str) -> float:
        one = start.copy()
        one.update(name.encode(errors="surrogatepass"))
        return int.from_bytes(one.digest()[:8], "big") / 2.0**64

    return draw


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
    # An array of texts would take as much room for each ID as for the longest.
    distinct = sorted(set(names))
    places = {name: place for place, name in enumerate(distinct)}
    return np.array([places[name] for name in names], np.int64), distinct
