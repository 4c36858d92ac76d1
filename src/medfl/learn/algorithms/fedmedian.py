"""Coordinate median: Yin et al. 2018, "Byzantine-Robust Distributed Learning", algorithm 1, option I."""

from __future__ import annotations

from typing import Literal

import numpy as np

from medfl.learn.robust import Doubles, Robust


class FedMedian(Robust):
    """Each weight moves by the median of the sites' changes; every site counts the same."""

    kind: Literal["fedmedian"] = "fedmedian"

    def combined(self, updates: Doubles, rows: Doubles) -> Doubles:
        """Take the median of each coordinate; between the two in the middle where their number is even."""
        return np.asarray(np.median(updates, axis=0))
