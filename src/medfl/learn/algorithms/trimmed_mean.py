"""Trimmed mean: Yin et al. 2018, "Byzantine-Robust Distributed Learning", algorithm 1, option II."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field

from medfl.learn.robust import Doubles, Robust


class TrimmedMean(Robust):
    """Each weight moves by the mean of the sites' changes without the largest and smallest; sites count the same."""

    kind: Literal["trimmed-mean"] = "trimmed-mean"
    trim: float = Field(default=0.2, ge=0.0, lt=0.5)
    """Share of the sites left out at either end (β), rounded up to whole sites; 0 is the plain mean."""

    def combined(self, updates: Doubles, rows: Doubles) -> Doubles:
        """Leave out the ends of each coordinate."""
        cut = self._cut(len(updates))
        return np.asarray(np.sort(updates, axis=0)[cut : len(updates) - cut].mean(axis=0))

    def shortfall(self, contributions: int) -> tuple[str, str] | None:
        """Say that something must be left to average."""
        cut = self._cut(contributions)
        if 2 * cut < contributions:
            return None
        return (
            f"trimmed-mean with trim = {self.trim:g} leaves out {cut} of {contributions} contributions at either end, "
            "and nothing is left",
            "lower trim, or choose fedmedian, which works with any number",
        )

    def _cut(self, contributions: int) -> int:
        """Return how many to leave out at either end: rounded up, as trim promises to bear that share."""
        return math.ceil(self.trim * contributions - 1e-9)
