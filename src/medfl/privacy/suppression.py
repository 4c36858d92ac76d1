"""Which groups of patients are too small to leave a site, and which others must stay so that these cannot be computed.

A site's total is known to the hub. If one group is left out, subtracting the others from the total gives it away: so
another one has to be left out as well (complementary suppression, Cox 1980). How the rule works is no secret, so a
reader may also ask which tables could have led to what was sent: more than one always could, and no two of them need
agree on the numbers of a group that was left out. A test tries every small table.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


def suppressed(counts: Counts, *, fewest: int) -> Mask:
    """Say which groups of one grouping may not leave.

    Parameters
    ----------
    counts
        Rows of each group by outcome class, shape (groups, classes); one column where the outcome is a number.
    fewest
        A group leaves if it has at least as many rows of each class.

    Returns
    -------
    Mask
        Shape (groups,). A group without rows is never among them: there is nobody in it. Where no group is left to
        show, not even their names may leave, as each name says that somebody is there.
    """
    rows = counts.sum(axis=1)
    present = rows > 0
    small: Mask = present & (counts < fewest).any(axis=1)
    if not small.any() or _hide_each_other(counts[small], fewest):
        return small
    large = present & ~small
    # All of the smallest size stay, so that their names do not tell which of them was chosen.
    smallest = rows[large].min(initial=np.iinfo(np.int64).max)
    return np.asarray(small | (large & (rows == smallest)))


def _hide_each_other(counts: Counts, fewest: int) -> bool:
    """Say whether the sum of small groups leaves open how it is made up.

    With two groups of three rows each, say, the sum of six could also be one and five. At its ends it could not: as
    many rows as groups are one row each, and a sum of no rows of a class is nobody in any of them.
    """
    groups, classes = counts.shape
    sums = counts.sum(axis=0)
    # A class may be rare in one group and frequent in the next; only where there is a single one is there an upper end.
    highest = groups * (fewest - 1) if classes == 1 else np.inf
    return groups > 1 and bool(((sums > groups) & (sums < highest)).all())
