"""What of a model's weights no aggregation rule touches: running statistics, and layers that stay at a site.

A rule works on the flat vector of the rest. Around it, at hub and site, the whole vector is put together again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from medfl.learn.model import Floats, Layout, Pull
from medfl.learn.statistic import Array

MEAN, VARIANCE = "running_mean", "running_var"


@dataclass(frozen=True)
class Apart:
    """Which weights are whose.

    Parameters
    ----------
    layout
        Names and shapes of all weights, and which of them are running statistics or stay at a site.
    """

    layout: Layout

    @cached_property
    def learned(self) -> NDArray[np.bool_]:
        """What the aggregation rule works on, shape (weights,)."""
        return ~(self.running | self.own)

    @cached_property
    def running(self) -> NDArray[np.bool_]:
        """Running statistics that sites share, shape (weights,)."""
        return self._marked(self.layout.running) & ~self.own

    @cached_property
    def own(self) -> NDArray[np.bool_]:
        """What stays at the site, shape (weights,)."""
        return self._marked(self.layout.own)

    @cached_property
    def variances(self) -> NDArray[np.bool_]:
        """Which of the shared running statistics are variances, shape (running,)."""
        return self._ending(VARIANCE)

    @cached_property
    def means(self) -> NDArray[np.bool_]:
        """Which of them are the means that belong to these variances, in the same order, shape (running,)."""
        return self._ending(MEAN)

    def with_learned(self, whole: Floats, learned: Array) -> Floats:
        """Return a copy of all weights with those that are learned replaced; shapes (weights,), (learned,)."""
        copy = np.array(whole, np.float32)
        copy[self.learned] = learned
        return copy

    def _marked(self, names: tuple[str, ...]) -> NDArray[np.bool_]:
        marks = [np.full(prod(shape), name in names) for name, shape in self.layout.shapes]
        return np.concatenate(marks)

    def _ending(self, kind: str) -> NDArray[np.bool_]:
        """Mark the statistics of a kind among the shared ones; only where both of a pair, mean and variance, exist."""
        names = {name for name, _ in self.layout.shapes}
        owners = {name.removesuffix(VARIANCE) for name in names if _last(name) == VARIANCE}
        paired = tuple(f"{owner}{kind}" for owner in owners if f"{owner}{MEAN}" in names)
        return self._marked(paired)[self.running]


@dataclass(slots=True)
class Around:
    """All weights around those that a rule works on, at one site and in one round.

    Parameters
    ----------
    apart
        Which weights are whose.
    start
        All weights that the site begins the round with, shape (weights,).
    after
        All weights that its last training ended with; those of the start before it.
    """

    apart: Apart
    start: Floats
    after: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.after = self.start

    def whole(self, learned: Array) -> Floats:
        """Return all weights, from those that are learned."""
        return self.apart.with_learned(self.start, learned)

    def learned(self, whole: Floats) -> Floats:
        """Return those that are learned, from all weights."""
        return whole[self.apart.learned]

    def pull(self, pull: Pull | None) -> Pull | None:
        """Return a rule's pull over all weights; a layer of the site's own is drawn to where its round began."""
        if pull is None:
            return None
        anchor = None if pull.anchor is None else self.whole(pull.anchor)
        correction = None
        if pull.correction is not None:
            correction = self.apart.with_learned(np.zeros_like(self.start), pull.correction)
        return Pull(mu=pull.mu, anchor=anchor, correction=correction)


def _last(name: str) -> str:
    return name.rpartition(".")[2]
