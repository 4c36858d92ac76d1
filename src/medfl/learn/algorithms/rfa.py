"""RFA: Pillutla et al. 2022, "Robust Aggregation for Federated Learning", algorithm 2."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from medfl.learn.robust import Doubles, Robust


class RFA(Robust):
    """The model moves by the geometric median of the sites' changes, weighted by their rows as in the paper.

    It holds as long as poisoned sites have less than half of all *rows*, and a site says itself how many it has. The
    median is found by the smoothed Weiszfeld algorithm. The paper stops after 3 iterations, as each is an exchange
    there; here all happen at the hub.
    """

    kind: Literal["rfa"] = "rfa"
    iterations: int = Field(default=100, ge=1)
    """Iterations at most; the paper takes 3."""
    tolerance: float = Field(default=1e-6, ge=0.0, lt=1.0)
    """Stop when an iteration lowers the mean distance by no more than this share of it."""
    smoothing: float = Field(default=1e-6, gt=0.0)
    """Distances below this count as this (ν), so that a change that lies on the median does not divide by zero."""

    def combined(self, updates: Doubles, rows: Doubles) -> Doubles:
        """Start from the mean; then weigh each change by its share of rows over its distance (eq. 6), and repeat."""
        shares = rows / rows.sum()
        middle = _mean(updates, shares)
        distances = _distances(updates, middle)
        for _ in range(self.iterations):
            middle = _mean(updates, shares / np.maximum(self.smoothing, distances))
            before, distances = self._objective(shares, distances), _distances(updates, middle)
            if before - self._objective(shares, distances) <= self.tolerance * before:
                break
        return middle

    def _objective(self, shares: Doubles, distances: Doubles) -> float:
        """Return the smoothed mean distance: quadratic below the smoothing."""
        near = np.square(distances) / (2 * self.smoothing) + self.smoothing / 2
        return float((shares * np.where(distances > self.smoothing, distances, near)).sum())


def _mean(updates: Doubles, weights: Doubles) -> Doubles:
    return np.asarray((weights[:, np.newaxis] * updates).sum(axis=0) / weights.sum())


def _distances(updates: Doubles, middle: Doubles) -> Doubles:
    return np.asarray(np.linalg.norm(updates - middle, axis=1))
