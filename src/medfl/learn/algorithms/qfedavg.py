"""q-FedAvg: Li et al. 2020, "Fair Resource Allocation in Federated Learning", algorithm 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from medfl.learn.algorithm import Local, Memory, State
from medfl.learn.averaging import Averaging
from medfl.learn.statistic import Array, Statistic

LEAST_LOSS = 1e-10
"""A loss below this counts as this, so that a power below one of it stays finite."""


class QFedAvg(Averaging):
    """A site counts the more, the worse the global model serves it: by its loss to the power q.

    The paper draws sites in proportion to their rows and adds up; here all that are asked count by their rows.
    """

    sends: ClassVar[str] = (
        "the change of the model's weights{size} times the number of training rows and a power of the loss of the "
        "incoming model; those numbers in all, and the training loss"
    )

    kind: Literal["qfedavg"] = "qfedavg"
    q: float = Field(default=1.0, ge=0.0, le=20.0)
    """How much a higher loss counts; 0 is FedAvg; the paper takes 0.001 to 5."""
    lipschitz: float | None = Field(default=None, gt=0.0)
    """Lipschitz constant of the gradient (L); 1 / learning_rate of [training], as in the paper, where left out."""

    def at_site(self, shared: Mapping[str, Array], data: Local, memory: Memory, seed: int) -> tuple[Statistic, Memory]:
        """Train locally; send the change and what the hub divides by, h, both times a power of the incoming loss F.

        With Δw = L (w − w′): Δ = F^q Δw and h = q F^(q−1) ‖Δw‖² + L F^q. Both are divided by L here, and the step
        points downhill, so that q = 0 leaves plain averaging.
        """
        start, rows = shared["weights"], len(data.examples)
        loss = max(data.loss(start, seed=seed), LEAST_LOSS) if self.q else 1.0
        trained = data.train(start, seed=seed)
        steepness = self.lipschitz if self.lipschitz is not None else 1.0 / data.how.learning_rate
        change = trained.weights.astype(np.float64) - start
        step = loss**self.q * change
        divisor = self.q * loss ** (self.q - 1.0) * steepness * float(np.square(change).sum()) + loss**self.q
        sent = {"delta": rows * step, "divisor": rows * divisor, "loss": rows * trained.loss, "weight": float(rows)}
        return Statistic({name: np.asarray(value, np.float64) for name, value in sent.items()}), memory

    def at_hub(self, state: State, total: Statistic) -> State:
        """Divide the summed steps by the summed divisors."""
        step = total["delta"] / total["divisor"]
        return State({"weights": (state.weights + step).astype(np.float32)})
