"""What rules share that hold against poisoned contributions: each site's own change, and a half of the hub to fill in.

A site's row count is its own word. Rules that follow papers without weights therefore give every site the same say,
however many rows it claims; only RFA, whose paper weighs, takes them into account.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from medfl.errors import PlanError
from medfl.learn.algorithm import Local, Memory, State, weighted_update
from medfl.learn.averaging import Averaging
from medfl.learn.statistic import Array, Statistic

Doubles = NDArray[np.float64]


class Robust(Averaging):
    """Sites send their change; the hub makes one of them all, in a way that few of them cannot spoil."""

    single_contributions: ClassVar[bool] = True
    sends: ClassVar[str] = "the change of the model's weights{size}, the number of training rows, and the training loss"

    def at_site(self, shared: Mapping[str, Array], data: Local, memory: Memory, seed: int) -> tuple[Statistic, Memory]:
        """Train locally and send the change as it is."""
        trained = data.train(shared["weights"], seed=seed)
        sent = weighted_update(shared["weights"], trained, len(data.examples))
        change = trained.weights.astype(np.float64) - shared["weights"]
        return Statistic({**sent.arrays, "delta": change}), memory

    def at_hub(self, state: State, total: Statistic) -> State:
        """Add what is made of the sites' changes; one that is not finite counts as not sent.

        Raises
        ------
        PlanError
            If too few are left for the rule.
        """
        updates, rows = total["delta"], total["weight"]
        sound = np.isfinite(updates).all(axis=1) & np.isfinite(rows) & (rows > 0)
        short = self.shortfall(int(sound.sum()))
        if short is not None:
            raise PlanError(
                f"too few sites are left in this round: {short[0]}",
                where="[algorithm] kind",
                received=f"{sound.sum()} contributions that can be used",
                remedy=f"bring the other sites back and resume the run, or {short[1]}",
            )
        step = self.combined(updates[sound], rows[sound])
        return State({"weights": (state.weights + step).astype(np.float32)})

    @abstractmethod
    def combined(self, updates: Doubles, rows: Doubles) -> Doubles:
        """Return one change, shape (weights,), from the sites', shape (sites, weights), and their training rows."""


class Distrustful(Robust):
    """A robust rule that is told how many sites it must hold against, and needs so many others."""

    byzantine: int = Field(default=1, ge=0)
    """Sites that may send anything at all (f)."""

    needs: ClassVar[tuple[int, int]] = (2, 3)
    """The rule is defined for a × f + b contributions or more."""

    def shortfall(self, contributions: int) -> tuple[str, str] | None:
        """Say what the paper's condition asks for."""
        factor, rest = self.needs
        least = factor * self.byzantine + rest
        if contributions >= least:
            return None
        most = (contributions - rest) // factor
        lower = f"set byzantine to {most} at most, or " if most >= 0 else ""
        return (
            f"{self.kind} with byzantine = {self.byzantine} needs {least} contributions or more a round",
            f"{lower}choose fedmedian, which works with any number",
        )


def squared_distances(updates: Doubles) -> Doubles:
    """Return the squared Euclidean distance of each to each, shape (sites, sites)."""
    return np.stack([np.square(updates - one).sum(axis=1) for one in updates])


def krum_scores(distances: Doubles, byzantine: int) -> Doubles:
    """Return each site's sum of squared distances to its nearest others: all but f and one of them.

    Blanchard et al. 2017, section 4: of n sites, the n − f − 2 nearest; one at least.
    """
    count = len(distances)
    others = [np.sort(np.delete(row, place)) for place, row in enumerate(distances)]
    return np.array([row[: max(1, count - byzantine - 2)].sum() for row in others])
