"""The score histogram, and what depends only on the order of scores: AUC, ROC, precision and recall, Youden's point.

A logit z goes to bin ``floor(1024 · z / (2 + |z|)) + 1024`` of 2 048. The whole line is covered, 0 is an edge, bins
are 0.002 wide at 0 and 0.04 at ±7 (a probability of 1 in 1 000). Why so: docs/decisions/0004-score-histograms.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

Reals = NDArray[np.float64]
Counts = NDArray[np.int64]

BINS = 2048
HALF = BINS // 2
SOFTNESS = 2.0
# Youden's point is sought among edges up to a logit of ±30: further up, 1 − p has too few digits to name an edge by.
NAMED = int(HALF * 30.0 / (SOFTNESS + 30.0))


def bins(logits: Reals) -> Counts:
    """Return each logit's bin."""
    # floor before the shift: a tiny negative logit would be rounded across the edge at 0 by adding first.
    below = np.floor(HALF * (logits / (SOFTNESS + np.abs(logits)))).astype(np.int64)
    return np.minimum(below + HALF, BINS - 1)


def logits_at(places: NDArray[Any]) -> Reals:
    """Return the logits at these places on the scale of bins: i is the lower edge of bin i, i + ½ its middle."""
    side = (np.asarray(places, np.float64) - HALF) / HALF
    return SOFTNESS * side / (1.0 - np.abs(side))


def tally(groups: Counts, labels: Counts, size: int) -> Counts:
    """Return how many rows of each label (0 or 1) fall into each group, shape (2, size)."""
    return np.bincount(groups + size * labels, minlength=2 * size).reshape(2, size)


def add_up(groups: Counts, numbers: Reals, size: int) -> Reals:
    """Return the sum of the numbers in each group, shape (size,)."""
    # NumPy's bincount of no rows is whole even if its weights are not.
    return np.bincount(groups, weights=numbers, minlength=size).astype(np.float64, copy=False)


def auc(histogram: Counts) -> Reals:
    """Return the area under the ROC curve, shape (…), half credit for ties in a bin; NaN where a class has no rows.

    Parameters
    ----------
    histogram
        Shape (…, 2, bins): negatives, positives.
    """
    negatives, rows = histogram[..., 0, :], histogram.sum(axis=-1)
    # In halves: 2 for each negative in a lower bin, 1 for each in the same.
    beaten = negatives.cumsum(axis=-1)
    beaten += beaten
    beaten -= negatives
    return ratio(np.vecdot(histogram[..., 1, :], beaten), 2 * rows[..., 0] * rows[..., 1])


def auprc(histogram: Counts) -> Reals:
    """Return the average precision, shape (…), each bin's lower edge taken as a threshold; NaN without positives."""
    positives = histogram[..., 1, :]
    above = _at_or_above(histogram)
    hits, called = above[..., 1, :], above[..., 0, :] + above[..., 1, :]
    precision = np.divide(hits, np.maximum(called, 1, out=called))
    return ratio(np.vecdot(positives.astype(np.float64), precision), positives.sum(axis=-1))


def ratio(part: ArrayLike, whole: ArrayLike) -> Reals:
    """Return part / whole, NaN where the whole is 0."""
    if np.ndim(whole) == 0:
        return np.asarray(np.divide(part, whole if whole else np.nan))
    return np.asarray(np.divide(part, np.where(np.equal(whole, 0), np.nan, whole)))


def youden(histogram: Counts) -> int:
    """Return the bin whose lower edge has the largest sensitivity + specificity; of equals, the one nearest to 0.5."""
    above = _at_or_above(histogram)
    # In whole numbers, so that equal points are equal.
    index = (above[1] * above[0, 0] - above[0] * above[1, 0])[HALF - NAMED : HALF + NAMED + 1]
    best = np.flatnonzero(index == index.max()) - NAMED
    return int(best[np.argmin(np.abs(best))]) + HALF


def edge_near(probability: float) -> int:
    """Return the bin whose lower edge is nearest to a probability."""
    logit = np.log(probability) - np.log1p(-probability)
    return int(np.clip(np.rint(HALF * (logit / (SOFTNESS + abs(logit)))) + HALF, 1, BINS - 1))


def split_at(histogram: Counts, edge: int) -> Counts:
    """Return the confusion matrix (row: truth, column: called positive) when bins from `edge` on count as positive."""
    return np.stack([histogram[:, :edge].sum(axis=1), histogram[:, edge:].sum(axis=1)], axis=1)


def roc(histogram: Counts, points: int = 201) -> list[list[float]]:
    """Return [false positive rate, sensitivity, threshold], from (0, 0) to (1, 1); empty if a class has no rows.

    Of a longer curve, the corners of its upper hull stay, and points at equal steps along it.
    """
    if not histogram.sum(axis=1).all():
        return []
    x, y, probability = _operating_points(histogram)
    table = np.column_stack([x / x[-1], y / y[-1], probability])
    return _listed(table[_thin(table[:, :2], points, hull=_hull(table[:, :2]))])


def precision_recall(histogram: Counts, points: int = 201) -> list[list[float]]:
    """Return [recall, precision], from the highest threshold to the lowest; empty without positives."""
    if not histogram[1].any():
        return []
    false, true, _ = _operating_points(histogram)
    table = np.column_stack([true / true[-1], true / np.maximum(false + true, 1)])[1:]
    return _listed(table[_thin(table, points, hull=np.zeros(0, np.int64))])


def _at_or_above(histogram: Counts) -> Counts:
    """Return for each bin how many rows are in it or in a higher one."""
    return histogram[..., ::-1].cumsum(axis=-1)[..., ::-1]


def _operating_points(histogram: Counts) -> tuple[Counts, Counts, Reals]:
    """Return false positives, true positives and threshold at the lower edge of each bin that has rows, downwards."""
    filled = np.flatnonzero(histogram.any(axis=0))[::-1]
    false, true = np.pad(_at_or_above(histogram)[:, filled], ((0, 0), (1, 0)))
    probability = expit(logits_at(np.maximum(filled, 1)))
    return false, true, np.concatenate([[1.0], probability])


def _thin(path: Reals, points: int, *, hull: Counts) -> Counts:
    """Return indices of at most `points` points of a path: both ends, its hull, and equal steps along its length."""
    if len(path) <= points:
        return np.arange(len(path))
    length = np.concatenate([[0.0], np.abs(np.diff(path, axis=0)).sum(axis=1).cumsum()])
    if len(hull) > points // 2:
        hull = hull[np.unique(np.linspace(0, len(hull) - 1, points // 2).astype(np.int64))]
    steps = np.linspace(0.0, length[-1], points - len(hull))
    return np.union1d(hull, np.searchsorted(length, steps).clip(max=len(path) - 1))


def _hull(path: Reals) -> Counts:
    """Return indices of the corners of a rising path's upper concave hull (Andrew's monotone chain)."""
    corners: list[int] = []
    x, y = path[:, 0].tolist(), path[:, 1].tolist()
    for i in range(len(x)):
        while len(corners) > 1:
            a, b = corners[-2:]
            if (x[b] - x[a]) * (y[i] - y[a]) < (y[b] - y[a]) * (x[i] - x[a]):
                break
            corners.pop()
        corners.append(i)
    return np.array(corners, np.int64)


def _listed(table: Reals) -> list[list[float]]:
    rows: list[list[float]] = table.tolist()
    return rows
