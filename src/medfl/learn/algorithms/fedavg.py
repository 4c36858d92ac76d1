"""Federated averaging: McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks", algorithm 1."""

from __future__ import annotations

from typing import Literal

from medfl.learn.averaging import Averaging


class FedAvg(Averaging):
    """Each site trains from the global weights; the new ones are the average, weighted by training rows."""

    kind: Literal["fedavg"] = "fedavg"
