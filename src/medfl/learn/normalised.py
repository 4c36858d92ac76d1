"""Batch normalisation under federation, around any aggregation rule.

A batch normalisation keeps a running mean and variance of what passes through it. They are no weights: no gradient
reaches them, so that a server's optimiser, momentum, a control variate or a distance between contributions must not
count them. Here a rule never sees them. They are averaged by training rows, through what adds up, the first and second
moments, so that the variance is that of all rows: the mean of the sites' variances plus the variance of their means.
A rule that is made to hold against poisoned contributions gets the median over sites of each number instead.

With ``batch_norm = "local"`` a site keeps its normalisations to itself, learned scale and shift included, and never
sends them: FedBN, Li et al. 2021, "FedBN: Federated Learning on Non-IID Features via Local Batch Normalization",
section 3, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medfl.learn.algorithm import Algorithm, Local, Memory, State
from medfl.learn.apart import Apart, Around
from medfl.learn.model import Floats, Layout
from medfl.learn.statistic import Array, Statistic

OWN = "own-layers"
"""What a site's memory calls the layers that stay with it."""
_MOMENTS = "running"


def around(algorithm: Algorithm, layout: Layout) -> Algorithm:
    """Return the rule, kept from what of the model it must not touch; itself where there is nothing of that kind."""
    return algorithm if layout.even else Normalised(algorithm, Apart(layout))


def with_own(weights: Floats, layout: Layout, memory: Memory) -> Floats:
    """Return the weights with the layers that a site has kept for itself."""
    if OWN not in memory:
        return weights
    whole = np.array(weights, np.float32)
    whole[Apart(layout).own] = memory[OWN]
    return whole


@dataclass(frozen=True, slots=True)
class Normalised:
    """An :class:`~medfl.learn.algorithm.Algorithm` around another one, whose weights are those that are learned.

    Parameters
    ----------
    rule
        What aggregates the learned weights.
    apart
        Which weights those are.
    """

    rule: Algorithm
    apart: Apart

    def init(self, weights: Floats, sites: int) -> State:
        """Return the rule's first state, with all weights in it."""
        return self._whole(self.rule.init(weights[self.apart.learned], sites), weights)

    def at_site(self, shared: Mapping[str, Array], data: Local, memory: Memory, seed: int) -> tuple[Statistic, Memory]:
        """Train as the rule does; send running statistics beside what it sends, and keep what is the site's own."""
        start = with_own(shared["weights"], self.apart.layout, memory)
        site = replace(data, around=Around(self.apart, start))
        rest = {name: array for name, array in memory.items() if name != OWN}
        sent, kept = self.rule.at_site({**shared, "weights": start[self.apart.learned]}, site, rest, seed)
        after = site.around.after if site.around is not None else start
        if self.apart.own.any():
            kept = {**kept, OWN: after[self.apart.own]}
        return sent + self._moments(after, len(data.examples)).prefixed(_MOMENTS), kept

    def at_hub(self, state: State, total: Statistic) -> State:
        """Aggregate as the rule does, and pool the running statistics."""
        rest = total.without(_MOMENTS)
        learned = State({**state.shared, "weights": state.weights[self.apart.learned]}, state.kept)
        whole = np.array(state.weights, np.float32)
        if self.apart.running.any():
            whole[self.apart.running] = self._pooled(total.under(_MOMENTS))
        return self._whole(self.rule.at_hub(learned, rest), whole)

    def _whole(self, state: State, weights: Floats) -> State:
        return State({**state.shared, "weights": self.apart.with_learned(weights, state.weights)}, state.kept)

    def _moments(self, weights: Floats, rows: int) -> Statistic:
        """Return rows × (what is averaged), with second moments in the place of variances, and the rows."""
        values = weights[self.apart.running].astype(np.float64)
        if not values.size:
            return Statistic()
        values[self.apart.variances] += np.square(values[self.apart.means])
        return Statistic({"moments": values * rows, "rows": np.array(float(rows))})

    def _pooled(self, total: Statistic) -> NDArray[np.float64]:
        """Return the running statistics over all sites, shape (running,), from a sum or from a stack."""
        rows = total["rows"]
        if not rows.ndim:
            return self._read(total["moments"] / rows)
        values = np.stack([self._read(one / count) for one, count in zip(total["moments"], rows, strict=True)])
        sound = np.isfinite(values).all(axis=1)
        return np.median(values[sound], axis=0)

    def _read(self, moments: Array) -> NDArray[np.float64]:
        """Return means and variances from first and second moments."""
        values = np.array(moments, np.float64)
        values[self.apart.variances] -= np.square(values[self.apart.means])
        values[self.apart.variances] = np.maximum(values[self.apart.variances], 0.0)
        return values
