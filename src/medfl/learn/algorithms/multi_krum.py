"""Multi-Krum: Blanchard et al. 2017, "Machine Learning with Adversaries", section 6."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from medfl.learn.robust import Distrustful, Doubles, krum_scores, squared_distances


class MultiKrum(Distrustful):
    """The model moves by the mean of the sites that are nearest to their neighbours; each of them counts the same."""

    kind: Literal["multi-krum"] = "multi-krum"
    keep: int | None = Field(default=None, ge=1)
    """Contributions that are averaged (m); 1 is Krum; all but byzantine of them where it is left out."""

    def combined(self, updates: Doubles, rows: Doubles) -> Doubles:
        """Average the changes with the lowest scores, which are computed once."""
        scores = krum_scores(squared_distances(updates), self.byzantine)
        keep = len(updates) - self.byzantine if self.keep is None else self.keep
        best = np.sort(np.argsort(scores, kind="stable")[:keep])
        return np.asarray(updates[best].mean(axis=0))

    def shortfall(self, contributions: int) -> tuple[str, str] | None:
        """Say also that no more can be kept than there are."""
        if self.keep is not None and self.keep > contributions:
            what = f"multi-krum with keep = {self.keep} averages more contributions than there are"
            return what, f"set keep to {max(1, contributions - self.byzantine)} or less, or leave it out"
        return super().shortfall(contributions)
