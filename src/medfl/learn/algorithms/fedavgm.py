"""FedAvgM: Hsu et al. 2019, "Measuring the Effects of Non-Identical Data Distribution", section 3.3."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from medfl.learn.algorithm import State, mean_update
from medfl.learn.averaging import Averaging
from medfl.learn.model import Floats
from medfl.learn.statistic import Statistic


class FedAvgM(Averaging):
    """FedAvg with momentum at the server."""

    kind: Literal["fedavgm"] = "fedavgm"
    server_learning_rate: float = Field(default=1.0, gt=0.0)
    """Size of the server's step."""
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Share of the previous step that is kept (β)."""

    def init(self, weights: Floats, sites: int) -> State:
        """Start at rest."""
        return State({"weights": weights}, {"velocity": np.zeros(weights.shape, np.float64)})

    def at_hub(self, state: State, total: Statistic) -> State:
        """Add the momentum's step."""
        velocity = self.momentum * state.kept["velocity"] + mean_update(total)
        weights = state.weights + self.server_learning_rate * velocity
        return State({"weights": weights.astype(np.float32)}, {"velocity": velocity})
