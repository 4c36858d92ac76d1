"""SCAFFOLD: Karimireddy et al. 2020, "Stochastic Controlled Averaging for Federated Learning", algorithm 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from medfl.learn.algorithm import Local, Memory, State, mean_update, weighted_update
from medfl.learn.averaging import Averaging
from medfl.learn.model import Floats, Pull
from medfl.learn.statistic import Array, Statistic
from medfl.spec.training import SGD, LocalTraining


class Scaffold(Averaging):
    """Each site corrects its gradients by how its own differ from everybody's, so that sites do not drift apart.

    Control variates follow option II. The paper's objective is the plain mean over sites; here sites count by their
    rows, as they do in FedAvg: with equal rows it is the paper's algorithm. The hub's variate c is kept as a sum over
    sites of rows × variate, so that it stays their weighted mean when only some sites are asked. A reply that is lost
    after its site has kept the new variate leaves c off by that one change.
    """

    sends: ClassVar[str] = (
        "the change of the model's weights{size} and of the site's control variate (as many numbers), both times the "
        "number of training rows, that number, and the training loss"
    )
    keeps: ClassVar[str] = "its control variate, as many numbers as the model"

    kind: Literal["scaffold"] = "scaffold"
    server_learning_rate: float = Field(default=1.0, gt=0.0)
    """Size of the server's step (η_g)."""

    def init(self, weights: Floats, sites: int) -> State:
        """Start without corrections, and remember how many sites there are (N)."""
        kept = {
            "variates": np.zeros(weights.shape),
            "rows": np.zeros(()),
            "seen": np.zeros(()),
            "sites": np.array(sites),
        }
        return State({"weights": weights, "variate": np.zeros_like(weights)}, kept)

    def at_site(self, shared: Mapping[str, Array], data: Local, memory: Memory, seed: int) -> tuple[Statistic, Memory]:
        """Train with the correction c − cᵢ (eq. 3); the new cᵢ is cᵢ − c + (x − y) / (K η) (eq. 4, option II)."""
        start, rows = shared["weights"], float(len(data.examples))
        common = shared["variate"].astype(np.float64)
        own = memory.get("variate", np.zeros(start.shape))
        trained = data.train(start, seed=seed, pull=Pull(correction=(common - own).astype(np.float32)))
        way = start.astype(np.float64) - trained.weights
        after = _variate(own, common, way / (trained.steps * data.how.learning_rate), rates=data.rates)
        new = 0.0 if "variate" in memory else 1.0
        sent = {"variates": rows * (after - own), "rows": np.array(rows * new), "seen": np.array(new)}
        update = weighted_update(start, trained, len(data.examples))
        return Statistic({**update.arrays, **sent}), {"variate": after}

    def at_hub(self, state: State, total: Statistic) -> State:
        """Move by the mean change; let c be the mean of all sites' variates.

        A site that was never asked has variate 0, and counts with the mean rows of those that were.
        """
        kept = {name: np.asarray(state.kept[name] + total[name]) for name in ("variates", "rows", "seen")}
        everybody = kept["rows"] * (state.kept["sites"] / kept["seen"])
        weights = state.weights + self.server_learning_rate * mean_update(total)
        shared = {"weights": weights, "variate": kept["variates"] / everybody}
        return State(
            {name: array.astype(np.float32) for name, array in shared.items()}, kept | {"sites": state.kept["sites"]}
        )

    def misfits(self, training: LocalTraining) -> Iterator[tuple[str, str, str]]:
        """Refuse solvers in which the way gone is not a sum of gradients times the learning rate."""
        if not isinstance(training, SGD):
            what = "scaffold reads gradients off the way gone, which an adaptive optimiser rescales"
            yield "optimizer", what, 'set optimizer = "sgd", or choose fedavg'
        elif training.momentum:
            what = "scaffold reads gradients off the way gone, in which momentum counts them several times"
            yield "momentum", what, "set momentum to 0"
        if training.clip_norm is not None:
            what = "scaffold reads gradients off the way gone, which clip_norm cuts short"
            yield "clip_norm", what, "leave clip_norm out, and lower learning_rate if training diverges"


def _variate(own: Array, common: Array, slope: Array, *, rates: Floats | None) -> Array:
    """Return the new cᵢ; a layer's own rate is part of its η, and a frozen layer keeps what it had."""
    if rates is None:
        return own - common + slope
    live = rates > 0
    return np.where(live, own - common + slope / np.where(live, rates, 1.0), own)
