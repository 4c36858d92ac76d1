"""Counts of patients made safe to tell: small cells suppressed, bins merged, counts rounded or noised.

Of a count below a threshold nothing is told, nor of another from which it follows by subtraction: *primary* and
*secondary* suppression (Willenborg and de Waal 2001, chapters 5 and 7). Rounding at random to a base keeps the mean
(ibid., section 5.4). Noise here blurs counts; it is no differential privacy, which has a ledger of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from medfl.privacy.suppression import Counts, Mask, suppressed

_Number = TypeVar("_Number", bound=np.number)


def tellable(counts: Counts, *, fewest: int) -> bool:
    """Say whether each count is 0 or at least `fewest`."""
    return bool(((counts == 0) | (counts >= fewest)).all())


def hidden_in_line(counts: Counts, *, fewest: int) -> Mask:
    """Say which cells of a one-way table may not be told, where its total is known; shape (cells,)."""
    return suppressed(counts.reshape(-1, 1), fewest=fewest)


def hidden_in_table(counts: Counts, *, fewest: int) -> Mask:
    """Say which cells of a two-way table may not be told, where the totals of its rows and columns are known.

    Each small cell is hidden together with the three others of a rectangle. One patient less in the small cell and in
    the opposite one, and one more in the other two, gives a table with the same totals: so no small cell follows from
    what is told. The rectangle with the fewest patients is taken.

    Parameters
    ----------
    counts
        Shape (lines, columns).
    fewest
        The smallest count that may be told; a cell without anybody may be, too.

    Returns
    -------
    Mask
        Shape (lines, columns). Where a small cell has no such rectangle, all cells: the totals must then stay, too.
    """
    small = (counts > 0) & (counts < fewest)
    hidden = small.copy()
    for line, column in np.argwhere(small).tolist():
        corners = min(_rectangles(counts, hidden, line, column), default=None)
        if corners is None:
            return np.ones_like(hidden)
        _, other_line, other_column = corners
        hidden[[line, other_line, other_line], [other_column, column, other_column]] = True
    return hidden


def merged(counts: Counts, *, fewest: int) -> Counts:
    """Return for each bin of a histogram the one in which its rows may be told.

    Neighbouring bins are put together until each has `fewest` rows in all and none or `fewest` of each class; what they
    hold is told at the mean of their places.

    Parameters
    ----------
    counts
        Shape (classes, bins); each class has no rows or `fewest` in all (:func:`tellable`).

    Returns
    -------
    Counts
        Shape (bins,); an empty bin stays where it is.
    """
    places = np.arange(counts.shape[1])
    for bins in _batches(counts, fewest):
        rows = counts[:, bins].sum(axis=0)
        places[bins] = int(np.rint(rows @ bins / rows.sum()))
    return places


def moved(sums: NDArray[_Number], places: Counts) -> NDArray[_Number]:
    """Return sums by bin, shape (…, bins), after the rows of each bin were moved to another."""
    result = np.zeros_like(sums)
    np.add.at(result.T, places, sums.T)
    return result


def rounded(counts: Counts, *, base: int, draw: np.random.Generator | None = None) -> Counts:
    """Return counts as multiples of a base: the nearest, or one of the two next at random so that the mean stays.

    Parameters
    ----------
    counts
        Any shape.
    base
        The base.
    draw
        Rounds up with the chance of the remainder over the base; None for the nearest, a half upwards.
    """
    lower, rest = np.divmod(counts, base)
    up = 2 * rest >= base if draw is None else draw.random(counts.shape) * base < rest
    return np.asarray((lower + up) * base)


def noised(counts: Counts, *, scale: float, draw: np.random.Generator) -> Counts:
    """Return counts with two-sided geometric noise (Ghosh et al. 2012), of that scale, and never below 0."""
    chance = -np.expm1(-1.0 / scale)
    noise = draw.geometric(chance, counts.shape) - draw.geometric(chance, counts.shape)
    return np.maximum(counts + noise, 0)


def outward(low: float, high: float) -> tuple[float, float]:
    """Return a range of round numbers around a range: its ends are no single patient's any more.

    Ends are multiples of the power of ten that the width is between one and ten times as large as; of the number
    itself where all values are one.
    """
    width = high - low or abs(high) or 1.0
    step = max(float(10.0 ** np.floor(np.log10(width))), float(np.finfo(np.float64).tiny))
    below, above = float(np.floor(low / step) * step), float(np.ceil(high / step) * step)
    # What is far smaller than the step was rounded to nothing.
    below, above = below - step * (below > low), above + step * (above < high)
    return (below, above) if np.isfinite([below, above]).all() else (low, high)


def _rectangles(counts: Counts, hidden: Mask, line: int, column: int) -> Iterator[tuple[int, int, int]]:
    """Yield (patients hidden anew, opposite line, opposite column) of each rectangle that hides a cell."""
    lines, columns = counts.shape
    for other, across in product(range(lines), range(columns)):
        if other != line and across != column and counts[other, across] > 0:
            corners = ((line, across), (other, column), (other, across))
            yield sum(int(counts[corner]) for corner in corners if not hidden[corner]), other, across


def _batches(counts: Counts, fewest: int) -> list[Counts]:
    """Return the filled bins in batches that may be told."""
    batches: list[list[int]] = []
    sums: list[Counts] = []
    for place in np.flatnonzero(counts.any(axis=0)).tolist():
        if not sums or _enough(sums[-1], fewest):
            batches.append([])
            sums.append(np.zeros_like(counts[:, 0]))
        batches[-1].append(place)
        sums[-1] = sums[-1] + counts[:, place]
    while len(sums) > 1 and not _enough(sums[-1], fewest):
        rest, batch = sums.pop(), batches.pop()
        sums[-1] = sums[-1] + rest
        batches[-1] += batch
    return [np.array(batch) for batch in batches]


def _enough(rows: Counts, fewest: int) -> bool:
    return int(rows.sum()) >= fewest and tellable(rows, fewest=fewest)
