"""FedYogi: Reddi et al. 2021, "Adaptive Federated Optimization", algorithm 2."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from medfl.learn.averaging import AdaptiveServer
from medfl.learn.statistic import Array


class FedYogi(AdaptiveServer):
    """Yogi at the server: like FedAdam, but the second moment changes by no more than the square itself."""

    kind: Literal["fedyogi"] = "fedyogi"
    beta2: float = Field(default=0.999, ge=0.0, lt=1.0)
    """Decay of the second moment; the paper's experiments use 0.99, Adam and FLamby 0.999."""

    def second_moment(self, before: Array, square: Array) -> Array:
        """Move towards the square by a share of it."""
        direction: Array = np.sign(before - square)
        return before - (1 - self.beta2) * square * direction
