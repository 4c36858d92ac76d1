"""FedProx: Li et al. 2020, "Federated Optimization in Heterogeneous Networks", algorithm 2."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from medfl.learn.averaging import Averaging
from medfl.learn.model import Floats, Pull


class FedProx(Averaging):
    """FedAvg whose sites are pulled back to the global weights while they train."""

    kind: Literal["fedprox"] = "fedprox"
    mu: float = Field(default=0.01, ge=0.0)
    """Strength of the pull (μ); 0 is FedAvg."""

    def pull(self, start: Floats) -> Pull | None:
        """Pull towards the global weights (eq. 2)."""
        return Pull(mu=self.mu, anchor=start) if self.mu else None
