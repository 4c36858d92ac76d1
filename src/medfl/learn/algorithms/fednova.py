"""FedNova: Wang et al. 2020, "Tackling the Objective Inconsistency Problem", section 4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from medfl.learn.algorithm import Local, Memory, State
from medfl.learn.averaging import Averaging
from medfl.learn.model import Floats, Pull
from medfl.learn.statistic import Array, Statistic
from medfl.spec.training import SGD, LocalTraining


class FedNova(Averaging):
    """Each site's change is divided by how far its steps reach, so that who takes more steps does not decide more.

    A local solver is a sum of gradients with coefficients a: all 1 for plain SGD, growing with momentum, shrinking with
    a proximal pull. Sites send their change divided by ‖a‖₁, and the hub takes τ = the mean of ‖a‖₁ such steps.
    """

    sends: ClassVar[str] = (
        "the change of the model's weights{size} divided by its effective steps and times the number of training rows; "
        "that number, the effective steps, and the training loss"
    )

    kind: Literal["fednova"] = "fednova"
    mu: float = Field(default=0.0, ge=0.0)
    """Strength of a proximal pull to the global weights (μ), as FedProx's; 0 for none."""

    def at_site(self, shared: Mapping[str, Array], data: Local, memory: Memory, seed: int) -> tuple[Statistic, Memory]:
        """Train locally and send the normalised change."""
        start, rows = shared["weights"], float(len(data.examples))
        trained = data.train(start, seed=seed, pull=self.pull(start))
        reach = self.reach(data.how, trained.steps)
        change = trained.weights.astype(np.float64) - start
        sent = {"delta": rows / reach * change, "reach": rows * reach, "loss": rows * trained.loss, "weight": rows}
        return Statistic({name: np.asarray(value, np.float64) for name, value in sent.items()}), memory

    def at_hub(self, state: State, total: Statistic) -> State:
        """Take τ normalised steps, with τ = Σ p ‖a‖₁ and p each site's share of the rows."""
        step = total["reach"] / total["weight"] * (total["delta"] / total["weight"])
        return State({"weights": (state.weights + step).astype(np.float32)})

    def pull(self, start: Floats) -> Pull | None:
        """Pull towards the global weights."""
        return Pull(mu=self.mu, anchor=start) if self.mu else None

    def reach(self, how: LocalTraining, steps: int) -> float:
        """Return ‖a‖₁: how many times the learning rate the weights move where every gradient is 1.

        For SGD it is the number of steps τ; with a pull α = ημ it is (1 − (1 − α)^τ) / α; with momentum ρ it is
        (τ − ρ (1 − ρ^τ) / (1 − ρ)) / (1 − ρ).
        """
        momentum = how.momentum if isinstance(how, SGD) else 0.0
        moved = velocity = 0.0
        for _ in range(steps):
            velocity = momentum * velocity + 1.0 - how.learning_rate * self.mu * moved
            moved += velocity
        return moved

    def misfits(self, training: LocalTraining) -> Iterator[tuple[str, str, str]]:
        """Refuse solvers whose coefficients the paper does not give, or that are not all positive."""
        if not isinstance(training, SGD):
            what = "fednova normalises the steps of SGD; its paper gives no coefficients for adaptive optimisers"
            yield "optimizer", what, 'set optimizer = "sgd", or choose fedavg'
            return
        if training.nesterov:
            what = "fednova's paper gives coefficients for plain momentum, not for Nesterov's"
            yield "nesterov", what, "leave nesterov out"
        if training.momentum and self.mu:
            what = "fednova's paper gives coefficients for momentum or for a pull (mu), not for both at once"
            yield "momentum", what, "set momentum to 0, or leave mu of [algorithm] out"
        if training.learning_rate * self.mu >= 1.0:
            what = f"with mu = {self.mu:g} of [algorithm] a step would throw the weights past the global ones"
            yield "learning_rate", what, f"choose one below {1 / self.mu:g}, or a smaller mu"
