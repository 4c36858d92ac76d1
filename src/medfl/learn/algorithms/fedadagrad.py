"""FedAdagrad: Reddi et al. 2021, "Adaptive Federated Optimization", algorithm 2."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from medfl.learn.averaging import AdaptiveServer
from medfl.learn.statistic import Array


class FedAdagrad(AdaptiveServer):
    """Adagrad at the server: the second moment only grows."""

    kind: Literal["fedadagrad"] = "fedadagrad"
    server_learning_rate: float = Field(default=0.1, gt=0.0)
    """Size of the server's step (η)."""
    beta1: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Decay of the first moment."""

    def second_moment(self, before: Array, square: Array) -> Array:
        """Add the square."""
        return before + square
