"""What DP-SGD leaves to chance: who takes part in a step, and the noise.

In a simulation both come from a generator with a name, so that a run can be repeated. At a hospital they come from the
operating system: whoever knows the seed of a run, as the hub does, must not be able to draw the same numbers. That
goes for who takes part as well as for the noise, since the guarantee counts on nobody knowing it.
"""

from __future__ import annotations

import os
from math import log1p, pi, sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

SUMMED = 4
"""Normal numbers that are added up for one, where nobody may guess them from the digits of the result.

A single one leaves gaps among the floating-point numbers that give it away (Mironov 2012); sums of several have, in
practice, none to go by (Holohan & Braghin 2021, "Secure Random Sampling in Differential Privacy", section 4).
"""


class Chance(Protocol):
    """Where random numbers come from."""

    def uniform(self, count: int) -> Doubles:
        """Return independent numbers, uniform in [0, 1), shape (count,)."""
        ...

    def normal(self, count: int) -> Doubles:
        """Return independent standard normal numbers, shape (count,)."""
        ...


class Repeatable:
    """Numbers of a generator: the same again for the same one.

    Parameters
    ----------
    generator
        From :mod:`medfl.seeds`.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def uniform(self, count: int) -> Doubles:
        """Return independent numbers, uniform in [0, 1), shape (count,)."""
        return self._generator.random(count)

    def normal(self, count: int) -> Doubles:
        """Return independent standard normal numbers, shape (count,)."""
        return self._generator.standard_normal(count)


class Secure:
    """Numbers of the operating system, that nobody can draw again."""

    def uniform(self, count: int) -> Doubles:
        """Return independent numbers, uniform in [0, 1), shape (count,)."""
        words = np.frombuffer(os.urandom(8 * count), np.uint64)
        return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normal(self, count: int) -> Doubles:
        """Return independent standard normal numbers, shape (count,), each the sum of four halves."""
        pairs = -(-SUMMED * count // 2)
        radius, angle = self.uniform(2 * pairs).reshape(2, pairs)
        radius = np.sqrt(-2.0 * np.log1p(-radius))  # Box & Muller 1958; 1 − u is never 0
        numbers = np.concatenate([radius * np.cos(2.0 * pi * angle), radius * np.sin(2.0 * pi * angle)])
        whole: Doubles = numbers[: SUMMED * count].reshape(SUMMED, count).sum(axis=0) / sqrt(SUMMED)
        return whole


def of(generator: np.random.Generator | None) -> Chance:
    """Return the numbers of a generator, or the operating system's where there is none."""
    return Secure() if generator is None else Repeatable(generator)


def poisson_sample(units: int, rate: float, chance: Chance) -> NDArray[np.int64]:
    """Return which of so many units take part: each with probability `rate`, independently; ascending, maybe none.

    From one that takes part to the next is a geometric number of units, so that what is drawn is as much as takes
    part, however many units there are.
    """
    if rate >= 1.0:
        return np.arange(units)
    found: list[NDArray[np.int64]] = []
    last = -1
    while last < units:
        few = 8 + int(1.2 * rate * (units - last))
        skipped = np.floor(np.log1p(-chance.uniform(few)) / log1p(-rate))
        places = last + np.cumsum(np.minimum(skipped, units).astype(np.int64) + 1)
        found.append(places)
        last = int(places[-1])
    places = np.concatenate(found)
    return places[places < units]
