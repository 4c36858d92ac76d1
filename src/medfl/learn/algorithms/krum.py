"""Krum: Blanchard et al. 2017, "Machine Learning with Adversaries", section 4."""

from __future__ import annotations

from typing import Literal

import numpy as np

from medfl.learn.robust import Distrustful, Doubles, krum_scores, squared_distances


class Krum(Distrustful):
    """The model moves as the one site did that is nearest to its neighbours; how many rows it has does not matter."""

    kind: Literal["krum"] = "krum"

    def combined(self, updates: Doubles, rows: Doubles) -> Doubles:
        """Take the change with the lowest score; of equal ones the first in the order of the sites' names."""
        scores = krum_scores(squared_distances(updates), self.byzantine)
        return np.asarray(updates[np.argmin(scores)])
