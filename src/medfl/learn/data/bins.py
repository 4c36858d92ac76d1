"""Histograms over an agreed range, and what is read from them: the median and the most frequent value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfl.learn.data.schema import Column


@dataclass(frozen=True, slots=True)
class Bins:
    """Equal bins from `low` on; where a column holds whole numbers of a small range, each has a bin of its own.

    Parameters
    ----------
    low
        Lower end of the first bin.
    width
        Width of each bin.
    number
        How many.
    inside
        Where in a bin its value is taken to be: 0 for whole numbers, else 0.5 (the middle).
    """

    low: float
    width: float
    number: int
    inside: float

    @classmethod
    def over(cls, column: Column, most: int) -> Bins:
        """Return at most `most` bins over a numeric column's agreed range."""
        low, high = column.minimum or 0.0, column.maximum or 0.0
        if column.integral and high - low < most:
            return cls(low, 1.0, int(high - low) + 1, 0.0)
        if high == low:
            return cls(low, 1.0, 1, 0.0)
        return cls(low, (high - low) / most, most, 0.5)

    def histogram(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Count values in each bin; missing ones do not count, ones out of range count at the nearer end."""
        places = (values[~np.isnan(values)] - self.low) / self.width
        inside = np.minimum(np.maximum(places, 0), self.number - 1)
        return np.bincount(inside.astype(np.int64), minlength=self.number)

    def median(self, counts: NDArray[np.int64]) -> float:
        """Return the median, off by at most half a bin; the middle of the range where nothing was counted."""
        total = int(counts.sum())
        if not total:
            return self._value((self.number - 1) / 2)
        below = np.cumsum(counts)
        middle = np.searchsorted(below, [(total - 1) // 2, total // 2], side="right")
        return (self._value(int(middle[0])) + self._value(int(middle[1]))) / 2

    def mode(self, counts: NDArray[np.int64]) -> float:
        """Return the value of the fullest bin, the lowest such."""
        return self._value(int(np.argmax(counts))) if counts.any() else self.median(counts)

    def _value(self, place: float) -> float:
        return self.low + (place + self.inside) * self.width
