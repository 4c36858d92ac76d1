"""Do predicted probabilities come true? Recalibration, calibration error, and the table behind the calibration plot."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.special import expit

from medfl.learn.metrics.ranking import Counts, Reals, logits_at, ratio

SHARES = 20
STEPS = 50
# The last Newton step changes twice the log-likelihood by less than this; what is left after it is about its square.
ENOUGH = 1e-6
NORMAL_95 = 1.959963984540054


def recalibration(histogram: Counts) -> tuple[float, float]:
    """Return slope and intercept of a logistic regression of the outcome on the logit (Cox 1958), by Newton's method.

    Scores are taken at their bins' middles. Both are NaN where the fit does not exist, as the classes do not overlap,
    or is not found.
    """
    filled = np.flatnonzero(histogram.any(axis=0))
    negatives, positives = histogram[:, filled].astype(np.float64)
    if not _overlap(negatives, positives):
        return np.nan, np.nan
    z = logits_at(filled + 0.5)
    rows, powers = negatives + positives, np.stack([np.ones_like(z), z, z * z], axis=1)
    fit, step, gain = _discriminant(z, negatives, positives), np.zeros(2), 0.0
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            p = expit(fit[0] + fit[1] * z)
            expected = rows * p
            gradient, curvature = (positives - expected) @ powers, (expected - expected * p) @ powers
            if gradient[:2] @ step < -gain:  # Steeper down here than it was up there: the step went too far.
                step, gain = step / 2.0, gain / 2.0
                fit = fit - step
                continue
            step = _newton_step(gradient, curvature)
            gain = gradient[:2] @ step
            fit = fit + step
            if not gain >= ENOUGH:
                break
    return (float(fit[1]), float(fit[0])) if 0.0 <= gain < ENOUGH else (np.nan, np.nan)


def recalibrations(replicates: Counts, logits: Reals, *, slope: float, intercept: float) -> tuple[Reals, Reals]:
    """Return slope and intercept of replicates, one Newton step from the fit to all rows (Davidson & MacKinnon 1999).

    Parameters
    ----------
    replicates
        Of the histogram's bins that have rows, shape (samples, 2, bins).
    logits
        Middles of these bins.
    """
    z, (negatives, positives) = logits, replicates.swapaxes(0, 1).astype(np.float64)
    p = expit(intercept + slope * z)
    powers = np.stack([np.ones_like(z), z, z * z], axis=1)
    rows = negatives + positives
    gradient = positives @ powers - rows @ (p[:, np.newaxis] * powers)
    curvature = rows @ ((p * (1.0 - p))[:, np.newaxis] * powers)
    with np.errstate(all="ignore"):
        to_intercept, to_slope = _newton_step(gradient.T, curvature.T)
    return slope + to_slope, intercept + to_intercept


def calibration_error(reliability: Counts, predicted: Reals) -> Reals:
    """Return the expected calibration error over equal bins of probability.

    Parameters
    ----------
    reliability
        Negatives and positives in each bin, shape (2, bins).
    predicted
        Sum of predicted probabilities in each bin.
    """
    return ratio(np.abs(predicted - reliability[1]).sum(), reliability.sum())


def calibration_table(histogram: Counts) -> list[list[float]]:
    """Return [mean predicted, observed share, rows, low, high] for about ten groups of rows, by rising score.

    Scores are taken at their bins' middles; low and high are Wilson's 95 % limits.
    """
    rows = histogram.sum(axis=0)
    filled = np.flatnonzero(rows)
    p = expit(logits_at(filled + 0.5))
    table = []
    for n, predicted, positives in grouped(rows[filled], rows[filled] * p, histogram[1, filled]):
        low, high = _wilson(positives, n)
        table.append([predicted / n, positives / n, n, low, high])
    return table


def grouped(rows: Counts, *sums: Counts | Reals) -> Iterable[tuple[float, ...]]:
    """Return rows and sums of about equal groups of neighbouring bins: ten, or fewer where rows are under a hundred."""
    total = int(rows.sum())
    if not total:
        return []
    groups = min(10, max(1, total // 10))
    group = (groups * (rows.cumsum() - 0.5 * rows) / total).astype(np.int64)
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    return zip(*(np.add.reduceat(column, starts).tolist() for column in (rows, *sums)), strict=True)


def _overlap(negatives: Reals, positives: Reals) -> bool:
    """Return whether each class has a row above one of the other: else the slope's estimate is infinite."""
    low, high = negatives.nonzero()[0], positives.nonzero()[0]
    return len(low) > 0 and len(high) > 0 and bool(low[-1] > high[0] and high[-1] > low[0])


def _discriminant(z: Reals, negatives: Reals, positives: Reals) -> Reals:
    """Return intercept and slope as if scores were normal in each class: a start a few steps from the fit."""
    n, m = negatives.sum(), positives.sum()
    low, high = negatives @ z / n, positives @ z / m
    variance = (negatives @ (z - low) ** 2 + positives @ (z - high) ** 2) / (n + m)
    slope = (high - low) / variance
    return np.array([np.log(m / n) - slope * (low + high) / 2.0, slope])


def _newton_step(gradient: Reals, curvature: Reals) -> Reals:
    """Return the step in intercept and slope, shape (2, …).

    Parameters
    ----------
    gradient, curvature
        Sums over rows of residual and of weight times (1, z, z²), shape (3, …).
    """
    (g0, g1, _), (h00, h01, h11) = gradient, curvature
    determinant = h00 * h11 - h01 * h01
    return np.asarray(np.array([h11 * g0 - h01 * g1, h00 * g1 - h01 * g0]) / determinant)


def _wilson(part: float, whole: float) -> tuple[float, float]:
    share, square = part / whole, NORMAL_95**2 / whole
    centre, spread = share + square / 2.0, NORMAL_95 * np.sqrt(share * (1.0 - share) / whole + square / whole / 4.0)
    return max(0.0, float((centre - spread) / (1.0 + square))), min(1.0, float((centre + spread) / (1.0 + square)))
