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
    """Stop when an iteration moves the median by no more than this share of the sites' median distance to it."""
    smoothing: float = Field(default=1e-6, gt=0.0)
    """Distances below this count as this (ν), so that a change that lies on the median does not divide by zero."""

    def combined(self, updates: Doubles, rows: Doubles) -> Doubles:
        """Weigh each change by its share of rows over its distance, and repeat from there.

        It starts from the coordinate median, so that it need not find its way back from where a poisoned site would
        have carried the mean.
        """
        shares = rows / rows.sum()
        middle = np.median(updates, axis=0)
        distances = np.linalg.norm(updates - middle, axis=1)
        for _ in range(self.iterations):
            weights = shares / np.maximum(self.smoothing, distances)
            before, middle = middle, (weights[:, np.newaxis] * updates).sum(axis=0) / weights.sum()
            distances = np.linalg.norm(updates - middle, axis=1)
            if np.linalg.norm(middle - before) <= self.tolerance * np.median(distances):
                break
        return np.asarray(middle)
