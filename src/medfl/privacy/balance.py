"""The shares of an outcome's classes, so coarse that nobody can count the patients of a class from them.

All shares are rounded together to parts of one whole, by largest remainders (Hamilton): to the nearest such list, so
that they add up to 1. Each share rounded by itself would say more: where all of them happen to lie at the edges of
their intervals, their sum gives every count away. How coarse the parts are follows from the number of rows and of
classes alone, so that the choice says nothing either. A test tries every small table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medfl.privacy.suppression import Counts

PARTS = (10, 5, 4, 2)
"""Into how many parts the whole may be divided: never more than tenths."""


def parts_of_whole(rows: int, classes: int, *, fewest: int) -> int | None:
    """Return into how many parts the whole is divided; None where no division is coarse enough.

    A part has to be (classes + 2) · `fewest` rows at least. Then, whatever list of parts is told, each class may still
    have any of `fewest` different numbers of rows or more: also where it has next to none of the parts, where all
    other classes but one have as little, and where it is known that each of them has `fewest` rows.

    Parameters
    ----------
    rows
        How many have the outcome; it counts as known.
    classes
        How many classes they are of.
    fewest
        The smallest number of rows that may be told of anything.
    """
    return next((parts for parts in PARTS if rows >= parts * (classes + 2) * fewest), None)


def shares(counts: Counts, *, fewest: int) -> tuple[Sequence[int], int] | None:
    """Return how many parts of the whole each class has, and how many parts there are.

    Parameters
    ----------
    counts
        Rows of each class, shape (classes,); none of them is 0.
    fewest
        The smallest number of rows that may be told of anything.

    Returns
    -------
    tuple of Sequence and int, or None
        None where nothing may be told: a class has fewer rows than that, there is only one class, so that the outcome
        of everybody would be told, or there are too few rows. One class is not left out for the others to be told: it
        would follow from them.
    """
    rows, classes = int(counts.sum()), len(counts)
    parts = parts_of_whole(rows, classes, fewest=fewest)
    if classes < 2 or parts is None or bool((counts < fewest).any()):
        return None
    whole, rest = np.divmod(counts.astype(np.int64) * parts, rows)
    # A stable sort: among equal remainders the first class is rounded up, whatever the rows are.
    up = np.argsort(-rest, kind="stable")[: parts - int(whole.sum())]
    whole[up] += 1
    return whole.tolist(), parts
