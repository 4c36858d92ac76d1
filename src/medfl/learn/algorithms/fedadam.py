"""FedAdam: Reddi et al. 2021, "Adaptive Federated Optimization", algorithm 2."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from medfl.learn.averaging import AdaptiveServer
from medfl.learn.statistic import Array


class FedAdam(AdaptiveServer):
    """Adam at the server, over the sites' average update."""

    kind: Literal["fedadam"] = "fedadam"
    beta2: float = Field(default=0.999, ge=0.0, lt=1.0)
    """Decay of the second moment; the paper's experiments use 0.99, Adam and FLamby 0.999."""

    def second_moment(self, before: Array, square: Array) -> Array:
        """Average the squares over time."""
        return self.beta2 * before + (1 - self.beta2) * square
