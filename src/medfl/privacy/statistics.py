"""Sums that preprocessing is fitted from, released with noise.

Each unit adds one vector: for each numeric column whether a value is known, the value and its square, scaled to the
declared range; for each other column a one at its category. Its length is bounded whatever the unit's values are, so
one Gaussian mechanism releases all of it at once (Dwork & Roth 2014, appendix A). A patient's rows are averaged first:
several rows weigh no more than one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfl.learn.data.bins import Bins
from medfl.learn.data.clean import Clean
from medfl.learn.data.harmonise import Agreement
from medfl.learn.statistic import Array, Statistic
from medfl.privacy.budget import bounds_of
from medfl.spec.preprocess import Preprocess
from medfl.spec.privacy import DifferentialPrivacy
from medfl.spec.study import Study

Reals = NDArray[np.float64]
NARROWEST = 0.01
"""Least standard deviation that noisy sums are read as, as a share of the declared range."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which sums are needed.

    Parameters
    ----------
    preprocess
        What is fitted.
    classes
        Whether rows of each class are counted, for the balance of classes.
    outcome
        The declared range of a numeric outcome; None for classes.
    """

    preprocess: Preprocess
    classes: bool
    outcome: tuple[float, float] | None

    @property
    def complete(self) -> bool:
        """Whether no value is missing any more where sums are taken."""
        return self.preprocess.impute in ("none", "drop")

    @property
    def moments(self) -> bool:
        """Whether means or variances are read."""
        return self.preprocess.scale.startswith("standard") or self.preprocess.impute.startswith("mean")

    @property
    def counts(self) -> bool:
        """Whether categories are counted."""
        return self.preprocess.scale.startswith("standard") or not self.complete

    @property
    def histograms(self) -> bool:
        """Whether medians or modes are read."""
        return self.preprocess.impute.startswith(("median", "most-frequent"))


def asked_of(study: Study, dp: DifferentialPrivacy) -> Asked:
    """Return which sums a study's preprocessing is fitted from."""
    return Asked(study.preprocess, study.training.class_weight == "balanced", bounds_of(study, dp))


@dataclass(frozen=True, slots=True)
class _Part:
    """One kind of sum: the sums of what each unit adds, the squared length of that, and its scale."""

    name: str
    sums: Array
    length: float
    scale: Reals | float = 1.0


def weights(units: NDArray[np.int64] | None, rows: int) -> tuple[Reals, float]:
    """Return each row's weight, and the most that one unit's rows weigh together.

    Rows of one unit are averaged, and all of them stand for as many rows as there are.
    """
    if units is None or not rows:
        return np.ones(rows), 1.0
    _, place, sizes = np.unique(units, return_inverse=True, return_counts=True)
    share = rows / len(sizes)
    return np.asarray(share / sizes[place]), share


def released(
    clean: Clean,
    agreement: Agreement,
    asked: Asked,
    *,
    units: NDArray[np.int64] | None,
    multiplier: float,
    noise: np.random.Generator,
) -> Statistic:
    """Return the sums with noise, under the names that :func:`medfl.learn.data.preprocess.fit` reads.

    Parameters
    ----------
    clean
        Training rows within their declared ranges.
    agreement
        As declared.
    asked
        Which sums.
    units
        The unit of each row; None where each row is one.
    multiplier
        Standard deviation of the noise over the longest vector that a unit can add.
    noise
        Draws it.

    Returns
    -------
    Statistic
        ``rows``, without noise, all of them, and float64 arrays over those that can be used; they may be negative, or
        contradict each other.
    """
    weight, heaviest = weights(units, len(clean))
    weight = weight if clean.usable is None else weight * clean.usable
    parts = list(_parts(clean, agreement, asked, weight))
    spread = multiplier * heaviest * sum(part.length for part in parts) ** 0.5
    arrays: dict[str, Array] = {"rows": np.array([len(clean)])}
    for part in parts:
        arrays[part.name] = (part.sums + spread * noise.standard_normal(part.sums.shape)) * part.scale
    return Statistic(arrays)


def plausible(total: Statistic, agreement: Agreement, asked: Asked) -> Statistic:
    """Return noisy sums brought to what sums of rows could be: counts whole and not negative, variances above 0.

    It looks at nothing but the noisy sums, and so costs nothing.
    """
    rows, arrays = float(total["rows"][0]), dict(total.arrays)
    half = _halves(agreement)
    if "sum" in arrays:
        count = np.clip(np.broadcast_to(arrays["count"], half.shape), 1.0, rows)
        arrays["count"], arrays["sum"] = count, np.clip(arrays["sum"], -count * half, count * half)
        arrays["squares"] = _squares(arrays["sum"], arrays["squares"], count, half)
    if "categories" in arrays:
        sizes = [len(column.categories) for column in agreement.categorical]
        parts = np.split(arrays["categories"], np.cumsum(sizes)[:-1]) if sizes else []
        arrays["categories"] = _joined([_counted(part, rows, full=asked.complete) for part in parts])
    if "histograms" in arrays:
        numbers = [Bins.over(column, asked.preprocess.median_bins).number for column in agreement.numeric]
        parts = np.split(arrays["histograms"], np.cumsum(numbers)[:-1]) if numbers else []
        arrays["histograms"] = _joined([_rising(part, rows) for part in parts])
    if "classes" in arrays:
        # A class that noise has swallowed would weigh without bound in the balance.
        counts = np.maximum(arrays["classes"], NARROWEST * rows)
        arrays["classes"] = np.maximum(np.rint(counts * rows / counts.sum()), 1.0).astype(np.int64)
    if "outcome" in arrays and asked.outcome is not None:
        middle = np.array([(asked.outcome[1] - asked.outcome[0]) / 2.0])
        # Means over the rows that have an outcome, told of as many as there are places.
        first, second = arrays["outcome"][1:] * (rows / np.clip(arrays["outcome"][0], 1.0, rows))
        first = np.clip(first[np.newaxis], -rows * middle, rows * middle)
        arrays["outcome"] = np.concatenate([first, _squares(first, second[np.newaxis], np.array([rows]), middle)])
    return Statistic(arrays)


def _parts(clean: Clean, agreement: Agreement, asked: Asked, weight: Reals) -> Iterator[_Part]:
    half, number = _halves(agreement), len(agreement.numeric)
    if asked.moments:
        known = ~np.isnan(clean.numeric)
        # Where a range is so narrow that its middle rounds, a value would be further from it than half the range.
        unit = np.where(known, np.clip((clean.numeric - _middles(agreement)) / half, -1.0, 1.0), 0.0)
        # Where rows that lack anything say nothing, all columns have one count.
        counted = weight.sum(keepdims=True) if asked.complete else weight @ known
        yield _Part("count", counted, len(counted))
        yield _Part("sum", weight @ unit, number, half)
        yield _Part("squares", weight @ (unit * unit), number, half * half)
    if asked.counts:
        each = [
            np.bincount(codes[codes >= 0], weight[codes >= 0], len(column.categories))
            for column, codes in zip(agreement.categorical, clean.codes.T, strict=True)
        ]
        yield _Part("categories", _joined(each), len(each))
    if asked.histograms:
        binned = [
            _weighted(Bins.over(column, asked.preprocess.median_bins), values, weight)
            for column, values in zip(agreement.numeric, clean.numeric.T, strict=True)
        ]
        yield _Part("histograms", _joined(binned), len(binned))
    if clean.outcome is not None and asked.outcome is not None:
        low, high = asked.outcome
        middle = (high - low) / 2.0
        off = np.clip((clean.outcome.astype(np.float64) - (low + middle)) / middle, -1.0, 1.0)
        sums = np.array([weight.sum(), weight @ off, weight @ (off * off)])
        yield _Part("outcome", sums, 3.0, np.array([1.0, middle, middle**2]))
    elif clean.outcome is not None and asked.classes:
        size = len(agreement.outcome.classes)
        yield _Part("classes", np.bincount(clean.outcome.astype(np.int64), weight, size), 1.0)


def _weighted(bins: Bins, values: Reals, weight: Reals) -> Array:
    known = ~np.isnan(values)
    places = np.clip((values[known] - bins.low) / bins.width, 0, bins.number - 1).astype(np.int64)
    return np.bincount(places, weight[known], bins.number)


def _squares(first: Reals, second: Reals, count: Reals, half: Reals) -> Reals:
    """Return sums of squares that leave a variance between that of a narrow column and the widest there can be."""
    least = first * first / count + count * (2.0 * NARROWEST * half) ** 2
    return np.maximum(np.minimum(second, count * half * half), least)


def _counted(counts: Reals, rows: float, *, full: bool) -> NDArray[np.int64]:
    positive = np.maximum(counts, 0.0)
    total = float(positive.sum())
    if total and (full or total > rows):
        positive = positive * rows / total
    return np.floor(positive).astype(np.int64)


def _rising(counts: Reals, rows: float) -> NDArray[np.int64]:
    """Return counts whose running sum is that of the noisy ones, made to rise: single bins clipped would pile up."""
    running = np.maximum.accumulate(np.clip(np.cumsum(counts), 0.0, rows))
    whole: NDArray[np.int64] = np.rint(running).astype(np.int64)
    return np.asarray(np.diff(whole, prepend=0), np.int64)


def _joined(parts: list[Array]) -> Array:
    return np.concatenate(parts) if parts else np.zeros(0)


def _halves(agreement: Agreement) -> Reals:
    return np.array([((column.maximum or 0.0) - (column.minimum or 0.0)) / 2.0 for column in agreement.numeric])


def _middles(agreement: Agreement) -> Reals:
    return np.array([(column.minimum or 0.0) / 2 + (column.maximum or 0.0) / 2 for column in agreement.numeric])
