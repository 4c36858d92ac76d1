"""What is learned from and whose it is: units, such as patients, and the rows of those that take part in a step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfl.learn.model import Examples, Floats

Integers = NDArray[np.int64]

SLACK = 1e-6
"""Share by which a norm is taken for longer than it comes out: float32 rounds, and the bound must hold all the same."""
LEAST = float(np.finfo(np.float32).tiny)
"""The least number that float32 holds with all its digits; smaller ones are rounded to few, or to 0."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of each step.

    Parameters
    ----------
    examples
        The site's rows.
    class_weights
        Weight of each class in the loss; None for equal ones.
    clip_norm
        Largest Euclidean norm of a unit's gradient.
    rates
        Factor of the learning rate for each weight, flat; a gradient does not count where it is 0. None for 1
        everywhere.
    usable
        Which rows say anything, shape (rows,); None for all.
    """

    examples: Examples
    class_weights: Floats | None
    clip_norm: float
    rates: Floats | None
    usable: NDArray[np.bool_] | None = None

    def importance(self, drawn: Drawn) -> Floats:
        """Return what each row's gradient is multiplied by in its unit's, shape (rows,)."""
        weights = drawn.shares if self.usable is None else drawn.shares * self.usable[drawn.rows]
        if self.class_weights is not None:
            weights = self.class_weights[self.examples.outcome[drawn.rows].astype(np.intp)] * weights
        return weights


@dataclass(frozen=True, slots=True)
class Drawn:
    """The rows of the units that take part in a step, unit by unit.

    Parameters
    ----------
    rows
        Row numbers, shape (rows,).
    owners
        Place of each row's unit among those that take part, ascending, shape (rows,).
    shares
        Share of each row in its unit's gradient, 1 / the unit's rows, shape (rows,).
    count
        Units that take part.
    """

    rows: Integers
    owners: Integers
    shares: Floats
    count: int

    def between(self, first: int, end: int) -> Drawn:
        """Return the part that belongs to some of the units, in places `first` to `end`."""
        start, stop = np.searchsorted(self.owners, (first, end))
        owners = self.owners[start:stop] - first
        return Drawn(self.rows[start:stop], owners, self.shares[start:stop], end - first)


class Units:
    """A site's units and their rows.

    Parameters
    ----------
    labels
        The unit of each row, shape (rows,); None where each row is one.
    rows
        Rows of the site.

    Raises
    ------
    ValueError
        If there is not one label a row.
    """

    def __init__(self, labels: Integers | None, rows: int) -> None:
        if labels is not None and labels.shape != (rows,):
            raise ValueError(f"one unit for each of {rows} rows is needed, not an array of shape {labels.shape}")
        self.single = labels is None
        self.count = rows
        if labels is not None:
            self._order = np.argsort(labels, kind="stable")
            sizes = np.unique(labels, return_counts=True)[1]
            self._sizes, self._starts = sizes, np.cumsum(sizes) - sizes
            self.count = len(sizes)

    def drawn(self, numbers: Integers) -> Drawn:
        """Return the rows of these units, all of them."""
        if self.single:
            return Drawn(numbers, np.arange(len(numbers)), np.ones(len(numbers), np.float32), len(numbers))
        sizes = self._sizes[numbers]
        owners = np.repeat(np.arange(len(numbers)), sizes)
        within = np.arange(len(owners)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        rows = self._order[self._starts[numbers][owners] + within]
        return Drawn(rows, owners, (1.0 / sizes)[owners].astype(np.float32), len(numbers))
