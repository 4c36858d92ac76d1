"""A number as outcome: what is summed, and what is read from it."""

from __future__ import annotations

from typing import Any

import numpy as np

from medfl.learn.metrics import calibration, resampling
from medfl.learn.metrics.ranking import Counts, Reals, add_up, ratio
from medfl.learn.metrics.resampling import Interval
from medfl.learn.model import Floats
from medfl.learn.statistic import Statistic

# Bins of predicted numbers, for either sign: 25 an octave (2.8 % wide), from 2⁻²⁰ to 2²⁰ of the outcome's unit.
PER_OCTAVE = 25
OCTAVES = 20
SIDE = 2 * OCTAVES * PER_OCTAVE
# Below this share of Σy², the variance of y is what rounding left of it.
ROUNDING = 1e-12


def measure(predicted: Floats, truth: Floats, *, brief: bool = False) -> Statistic:
    """Return the sums of these rows.

    Arrays: ``moments`` of error, its size, its square, truth and its square; ``rows`` and ``numbers`` (sums of
    predicted, true and squared true numbers) in bins of the predicted number. Where it is `brief`, only the sums that
    the metrics are read from: a bin may hold a single row.
    """
    predictions, values = predicted.astype(np.float64), truth.astype(np.float64)
    errors, squares = predictions - values, values * values
    moments = resampling.moments(errors, np.abs(errors), errors * errors, values, squares)
    if brief:
        return Statistic({"moments": moments[:1]})
    place = _bins(predictions)
    return Statistic(
        {
            "moments": moments,
            "rows": np.bincount(place, minlength=2 * SIDE),
            "numbers": np.stack([add_up(place, numbers, 2 * SIDE) for numbers in (predictions, values, squares)]),
        }
    )


def metrics(statistic: Statistic) -> dict[str, float]:
    """Return the metrics by name, NaN where one is not defined."""
    return {name: float(value) for name, value in _read(statistic["moments"][0]).items()}


def curves(statistic: Statistic) -> dict[str, Any]:
    """Return the table of predicted and observed means."""
    rows, (predicted, observed, squares) = statistic["rows"], statistic["numbers"]
    filled = np.flatnonzero(rows)
    table = []
    for n, x, y, yy in calibration.grouped(*(column[filled] for column in (rows, predicted, observed, squares))):
        variance = max(0.0, yy - y * y / n) / max(n - 1, 1)
        spread = calibration.NORMAL_95 * (variance / n) ** 0.5
        table.append([x / n, y / n, n, y / n - spread, y / n + spread])
    return {"calibration": table}


def intervals(statistic: Statistic, *, samples: int, generator: np.random.Generator) -> dict[str, Interval]:
    """Return the intervals by metric."""
    sums = resampling.resampled_sums(statistic["moments"], samples=samples, generator=generator)
    return resampling.percentiles(_read(sums))


def _read(sums: Reals) -> dict[str, Reals]:
    """Return the metrics of sums of (1, error, its size, its square, truth, its square) along the last axis."""
    rows, error, size, square, value, value_square = np.moveaxis(sums, -1, 0)
    variance = value_square - ratio(value * value, rows)
    explained = 1.0 - ratio(square, np.where(variance > ROUNDING * value_square, variance, 0.0))
    return {
        "rmse": np.sqrt(np.maximum(ratio(square, rows), 0.0)),
        "mae": ratio(size, rows),
        "r2": explained,
        "mean_error": ratio(error, rows),
    }


def _bins(predicted: Reals) -> Counts:
    """Return each predicted number's bin; bins rise from large negative over 0 to large positive numbers."""
    smallest = 2.0**-OCTAVES
    octave = np.log2(np.maximum(np.abs(predicted), smallest)) + OCTAVES
    place = np.minimum(octave * PER_OCTAVE, SIDE - 1).astype(np.int64)
    return np.asarray(np.where(predicted < 0.0, SIDE - 1 - place, SIDE + place))
