"""A clip norm that follows the sites' updates.

Andrew et al. 2021, "Differentially private learning with adaptive clipping", algorithm 1.

Each site also says whether its update was shorter than the clip norm, as ±½; the noisy sum tells the share of those
that were, and the next clip norm is larger or smaller as that share lies below or above the quantile that was asked
for. Updates get 5 % more noise, which pays for the noisy sum of the halves: both together cost what updates alone would
(theorem 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from medfl.learn.algorithm import Algorithm, Local, Memory, State
from medfl.learn.model import Floats
from medfl.learn.statistic import Array, Statistic
from medfl.spec.privacy import DifferentialPrivacy

NORM = "clip_norm"
"""What the clip norm is called in what every site is sent."""
SHORT = "short"
"""What the sum of halves is called."""
RATE = 0.2
"""How fast the clip norm follows (η_C), as in the paper's experiments."""
DEARER = 1.05
"""How much more noise updates get."""
HALVES = 0.5 / (1.0 - DEARER**-2) ** 0.5
"""Noise in the sum of halves, over that of updates alone: what the 5 % leave (theorem 1 solved for it)."""


def following(algorithm: Algorithm, dp: DifferentialPrivacy | None) -> Algorithm:
    """Return the rule with a clip norm that follows the updates; itself where that is not asked for."""
    return algorithm if dp is None or dp.clip_quantile is None else Following(algorithm, dp.clip_norm, dp.clip_quantile)


def norm_of(shared: Mapping[str, Array], dp: DifferentialPrivacy) -> float:
    """Return the clip norm of a round."""
    return float(shared[NORM]) if dp.clip_quantile is not None else dp.clip_norm


@dataclass(frozen=True, slots=True)
class Following:
    """An :class:`~medfl.learn.algorithm.Algorithm` around another one, with the clip norm in its state.

    Parameters
    ----------
    rule
        What aggregates the clipped updates.
    first
        The clip norm of the first round.
    quantile
        The share of updates that shall be shorter (γ).
    """

    rule: Algorithm
    first: float
    quantile: float

    def init(self, weights: Floats, sites: int) -> State:
        """Return the rule's first state with the first clip norm in it."""
        return self._with(self.rule.init(weights, sites), self.first)

    def at_site(self, shared: Mapping[str, Array], data: Local, memory: Memory, seed: int) -> tuple[Statistic, Memory]:
        """Train as the rule does; what leaves is clipped afterwards."""
        return self.rule.at_site(_without(shared), data, memory, seed)

    def at_hub(self, state: State, total: Statistic) -> State:
        """Aggregate as the rule does, and take one step towards the quantile (algorithm 1, last line)."""
        rest = Statistic({name: array for name, array in total.arrays.items() if name != SHORT})
        short = 0.5 + float(total[SHORT]) / float(total["weight"])
        after = float(state.shared[NORM]) * float(np.exp(-RATE * (np.clip(short, 0.0, 1.0) - self.quantile)))
        return self._with(self.rule.at_hub(State(_without(state.shared), state.kept), rest), after)

    def _with(self, state: State, norm: float) -> State:
        return State({**state.shared, NORM: np.array(norm)}, state.kept)


def _without(shared: Mapping[str, Array]) -> dict[str, Array]:
    return {name: array for name, array in shared.items() if name != NORM}
