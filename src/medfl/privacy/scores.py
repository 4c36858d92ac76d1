"""How good the last model is, released with noise: one histogram of scores by outcome, and what is read from it.

Each test unit adds a one in one cell (a patient's rows are averaged). The histogram is coarse, since noise comes with
each cell; all metrics of classes are read from it, which looks at no row again and costs nothing more. Of numbers the
sums of errors are released, each within the declared range.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from medfl.learn.metrics import multiclass, ranking, regression
from medfl.learn.metrics.binary import measure as measured
from medfl.learn.model import Floats, Outcome
from medfl.learn.statistic import Statistic
from medfl.privacy.statistics import weights

Reals = NDArray[np.float64]
CELLS = 32
"""Cells of the released histogram, for each class; 16 on either side of even odds, finest there."""
_EACH = 55
_FIRST = (ranking.BINS - CELLS * _EACH) // 2
"""Cells end at a logit of ±12. Closer in, all patients of little risk would share a cell, and AUC would not tell them
apart; further out, noise in a cell would look like gross errors."""
_MIDDLES = _FIRST + np.arange(CELLS) * _EACH + _EACH // 2
FURTHEST = 1e30
"""Scores beyond are taken for this."""
NOISED = "noised"
"""What the released numbers are called in an evaluation; nothing else is in it."""


def released(
    outcome: Outcome,
    scores: Floats,
    truth: Floats,
    *,
    units: NDArray[np.int64] | None,
    noise: np.random.Generator,
    multiplier: float,
    bounds: tuple[float, float] | None,
) -> Statistic:
    """Return the released numbers of these test rows.

    Parameters
    ----------
    outcome, scores, truth
        As for :func:`medfl.learn.metrics.judge.measure`; a row whose outcome is NaN says nothing.
    units
        The unit of each row; None where each row is one.
    noise, multiplier
        Draws the noise; its standard deviation over the longest vector that a unit can add.
    bounds
        The declared range of a numeric outcome.

    Returns
    -------
    Statistic
        ``noised``: shape (2, 32) for a binary outcome; (classes, 2, 32) and, laid behind it, the confusion matrix for
        several, flat; six sums for a number.
    """
    weight, heaviest = weights(units, len(truth))
    # What the hub sends may make numbers of some rows that are none: one of them would show in every sum.
    known = np.isfinite(truth)
    weight, truth = weight * known, np.where(known, truth, 0.0).astype(np.float32)
    scores = np.clip(np.nan_to_num(scores), -FURTHEST, FURTHEST)
    match outcome.kind:
        case "binary":
            labels = (truth > 0.5).astype(np.int64)
            sums, length = _tally(scores.astype(np.float64), labels, weight), 1.0
        case "multiclass":
            sums, length = _of_classes(scores, truth.astype(np.int64), weight)
        case "regression":
            sums, length = _of_errors(scores, truth, weight, bounds or (0.0, 1.0))
    spread = multiplier * heaviest * length**0.5
    return Statistic({NOISED: sums + spread * noise.standard_normal(sums.shape)})


def complete(
    outcome: Outcome,
    statistic: Statistic,
    *,
    rows: int,
    threshold: float | None,
    bounds: tuple[float, float] | None,
) -> Statistic:
    """Return what metrics are read from, made of released numbers of one site or their sum; others pass as they are.

    Parameters
    ----------
    outcome
        What is predicted.
    statistic
        One site's, or a sum of several.
    rows
        Test rows behind it; their number counts as known.
    threshold
        Probability from which a row counts as positive; rows lie in the middle of their cells.
    bounds
        The declared range of a numeric outcome.
    """
    if NOISED not in statistic.arrays:
        return statistic
    noised = statistic[NOISED]
    match outcome.kind:
        case "binary":
            return _binary(_whole(noised, rows), threshold)
        case "multiclass":
            return _multiclass(noised, len(outcome.classes), rows)
        case "regression":
            return _regression(noised, rows, bounds or (0.0, 1.0))


def _tally(logits: Reals, labels: NDArray[np.int64], weight: Reals) -> Reals:
    """Return the weight of the rows in each cell by label, shape (2, cells)."""
    places = np.clip((ranking.bins(logits) - _FIRST) // _EACH, 0, CELLS - 1)
    counted = np.bincount(places + CELLS * labels, weight, 2 * CELLS)
    return counted.astype(np.float64).reshape(2, CELLS)


def _of_classes(scores: Floats, truth: NDArray[np.int64], weight: Reals) -> tuple[Reals, float]:
    size = scores.shape[1]
    odds = multiclass.log_odds(np.ascontiguousarray(scores.T, np.float64))
    histograms = [_tally(odds[one], (truth == one).astype(np.int64), weight) for one in range(size)]
    confusion = np.bincount(size * truth + scores.argmax(axis=1), weight, size * size)
    return np.concatenate([np.stack(histograms).ravel(), confusion]), size + 1.0


def _of_errors(predicted: Floats, truth: Floats, weight: Reals, bounds: tuple[float, float]) -> tuple[Reals, float]:
    low, high = bounds
    width = high - low
    y = (np.clip(truth.astype(np.float64), low, high) - low) / width
    e = (np.clip(predicted.astype(np.float64), low, high) - low) / width - y
    return np.stack([np.ones_like(e), e, np.abs(e), e * e, y, y * y]) @ weight, 6.0


def _whole(noised: Reals, rows: int) -> NDArray[np.int64]:
    """Return whole counts, none negative, that add up to about the rows there are."""
    positive = np.maximum(noised, 0.0)
    total = float(positive.sum())
    return np.rint(positive * (rows / total) if total else positive).astype(np.int64)


def _binary(counts: NDArray[np.int64], threshold: float | None) -> Statistic:
    """Return the statistic of rows that lie in the middle of their cells."""
    labels = np.repeat(np.array([0, 1]), counts.sum(axis=1))
    places = np.concatenate([np.repeat(_MIDDLES, line) for line in counts])
    logits = ranking.logits_at(places + 0.5).astype(np.float32)
    return measured(logits, labels.astype(np.float32), threshold=threshold)


def _multiclass(noised: Reals, classes: int, rows: int) -> Statistic:
    size = classes * 2 * CELLS
    counts = [_whole(one, rows) for one in noised[:size].reshape(classes, 2, CELLS)]
    scores = np.zeros((classes, 2, ranking.BINS), np.int64)
    scores[:, :, _MIDDLES] = np.stack(counts)
    odds = ranking.logits_at(_MIDDLES + 0.5)
    chance, surprise = expit(odds), np.log1p(np.exp(-odds))
    squared = sum(float(one[0] @ chance**2 + one[1] @ (1.0 - chance) ** 2) for one in counts)
    lost = sum(float(one[1] @ surprise) for one in counts)
    losses = np.zeros((3, 3))
    losses[0] = rows, squared, lost
    # Without rows at hand the spread is that of losses that all are alike.
    losses[1:, 0] = losses[0, 1:]
    losses[1:, 1:] = np.outer(losses[0, 1:], losses[0, 1:]) / max(rows, 1)
    return Statistic(
        {"scores": scores, "confusion": _whole(noised[size:].reshape(classes, classes), rows), "losses": losses}
    )


def _regression(noised: Reals, rows: int, bounds: tuple[float, float]) -> Statistic:
    low, width = bounds[0], bounds[1] - bounds[0]
    # Means over the rows that say something, told of as many as there are places.
    noised = noised[1:] * (rows / min(max(noised[0], 1.0), rows))
    e, size, square = noised[0] * width, max(noised[1], 0.0) * width, max(noised[2], 0.0) * width**2
    y, yy = noised[3] * width + rows * low, noised[4] * width**2 + 2 * low * noised[3] * width + rows * low**2
    wide = 2 * regression.SIDE
    return Statistic(
        {
            "moments": np.array([[float(rows), e, size, square, y, yy]]),
            "rows": np.zeros(wide, np.int64),
            "numbers": np.zeros((3, wide)),
        }
    )
