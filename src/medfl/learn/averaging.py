"""What algorithms that average the sites' updates share: the site's half, and a hub's half to fill in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from medfl.learn.algorithm import Local, Memory, State, mean_update, weighted_update
from medfl.learn.model import Floats, Pull
from medfl.learn.statistic import Array, Statistic
from medfl.spec.algorithm import AlgorithmPart


class Averaging(AlgorithmPart):
    """Sites send their weighted change; the hub adds the average change to the global weights."""

    def init(self, weights: Floats, sites: int) -> State:
        """Start from the given weights."""
        return State({"weights": weights})

    def at_site(self, shared: Mapping[str, Array], data: Local, memory: Memory, seed: int) -> tuple[Statistic, Memory]:
        """Train locally and send the weighted change."""
        trained = data.train(shared["weights"], seed=seed, pull=self.pull(shared["weights"]))
        return weighted_update(shared["weights"], trained, len(data.examples)), memory

    def at_hub(self, state: State, total: Statistic) -> State:
        """Add the average change."""
        return State({"weights": (state.weights + mean_update(total)).astype(np.float32)})

    def pull(self, start: Floats) -> Pull | None:
        """Return what is added to every local gradient; nothing in plain averaging."""
        return None


class AdaptiveServer(Averaging):
    """The average update as a gradient for a server optimiser.

    Reddi et al. 2021, "Adaptive Federated Optimization", algorithm 2.
    """

    server_learning_rate: float = Field(default=0.01, gt=0.0)
    """Size of the server's step (η)."""
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Decay of the first moment."""
    tau: float = Field(default=1e-3, gt=0.0)
    """Degree of adaptivity (τ): smaller adapts more."""

    def init(self, weights: Floats, sites: int) -> State:
        """Start with no momentum and a second moment of τ²."""
        zeros = np.zeros(weights.shape, np.float64)
        return State({"weights": weights}, {"moment1": zeros, "moment2": zeros + self.tau**2})

    def at_hub(self, state: State, total: Statistic) -> State:
        """Take one step of the server optimiser."""
        update = mean_update(total)
        first = self.beta1 * state.kept["moment1"] + (1 - self.beta1) * update
        second = self.second_moment(state.kept["moment2"], np.square(update))
        step = self.server_learning_rate * first / (np.sqrt(second) + self.tau)
        return State({"weights": (state.weights + step).astype(np.float32)}, {"moment1": first, "moment2": second})

    def second_moment(self, before: Array, square: Array) -> Array:
        """Return the next second moment from the last one and the squared average update."""
        raise TypeError(f"{type(self).__name__} does not say how its second moment grows")
