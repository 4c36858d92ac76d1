"""Bulyan: El Mhamdi et al. 2018, "The Hidden Vulnerability of Distributed Learning in Byzantium", section 4."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from medfl.learn.robust import Distrustful, Doubles, krum_scores, squared_distances


class Bulyan(Distrustful):
    """Krum picks trustworthy sites one after the other; each weight moves by the mean of the middle ones of them.

    So a change that hides a large value of one weight among many ordinary ones is cut as well. Sites count the same.
    """

    kind: Literal["bulyan"] = "bulyan"
    needs: ClassVar[tuple[int, int]] = (4, 3)

    def combined(self, updates: Doubles, rows: Doubles) -> Doubles:
        """Of n contributions pick θ = n − 2f, and average the θ − 2f that are nearest to each coordinate's median."""
        picked = updates[self._picked(squared_distances(updates))]
        near = len(picked) - 2 * self.byzantine
        away = np.abs(picked - np.median(picked, axis=0))
        order = np.argsort(away, axis=0, kind="stable")[:near]
        return np.asarray(np.take_along_axis(picked, order, axis=0).mean(axis=0))

    def _picked(self, distances: Doubles) -> list[int]:
        """Return who is picked, in site order: again and again Krum's choice among those who are left."""
        left = list(range(len(distances)))
        picked: list[int] = []
        while len(picked) < len(distances) - 2 * self.byzantine:
            scores = krum_scores(distances[np.ix_(left, left)], self.byzantine)
            picked.append(left.pop(int(np.argmin(scores))))
        return sorted(picked)
