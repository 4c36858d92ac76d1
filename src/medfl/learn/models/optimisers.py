"""From a gradient to new weights: the algorithm's pull, clipping, and PyTorch's optimisers.

The pull belongs to the objective (FedProx adds μ/2 ‖w − w₀‖², SCAFFOLD a linear term), so it is part of the gradient
that is clipped, as it would be if it had been added to the loss. Weight decay belongs to the optimiser and comes
after. Each object holds its buffers and may overwrite the gradient it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Protocol

import numpy as np

from medfl.learn.model import Floats, Pull
from medfl.spec.training import SGD, Adam, AdamW, LocalTraining

CLIP_EPS = 1e-6
"""Added to the norm that a gradient is divided by; PyTorch's constant."""


class Optimiser(Protocol):
    """Changes weights in place, with its own memory of the steps before."""

    def step(self, gradient: Floats) -> None:
        """Take one step."""
        ...


class Descent:
    """The whole way of one step: pull, clip, optimiser.

    Parameters
    ----------
    how
        Optimiser and clipping norm.
    weights
        Flat vector, changed in place.
    pull
        What the algorithm adds to the gradient.
    """

    def __init__(self, how: LocalTraining, weights: Floats, *, pull: Pull | None) -> None:
        self._stages: list[Callable[[Floats], None]] = []
        if pull is not None and pull.anchor is not None and pull.mu:
            self._stages.append(Proximal(pull.mu, pull.anchor, weights=weights).add)
        if pull is not None and pull.correction is not None:
            self._stages.append(Correction(pull.correction).add)
        if how.clip_norm is not None:
            self._stages.append(Clip(how.clip_norm).scale)
        self._stages.append(optimiser(how, weights).step)

    def step(self, gradient: Floats) -> None:
        """Take one step."""
        for stage in self._stages:
            stage(gradient)


class Proximal:
    """Pulls the weights to an anchor: μ (w − w₀) (Li et al. 2020, eq. 2)."""

    def __init__(self, mu: float, anchor: Floats, *, weights: Floats) -> None:
        self.mu = np.float32(mu)
        self.anchor = anchor
        self.weights = weights
        self.difference = np.empty_like(weights)

    def add(self, gradient: Floats) -> None:
        """Add the pull to the gradient."""
        np.subtract(self.weights, self.anchor, self.difference)
        np.multiply(self.difference, self.mu, self.difference)
        np.add(gradient, self.difference, gradient)


class Correction:
    """A constant vector (Karimireddy et al. 2020, eq. 3)."""

    def __init__(self, correction: Floats) -> None:
        self.correction = correction

    def add(self, gradient: Floats) -> None:
        """Add it to the gradient."""
        np.add(gradient, self.correction, gradient)


class Clip:
    """Scales a gradient whose Euclidean norm is above the limit down to it (Pascanu et al. 2013, algorithm 1)."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def scale(self, gradient: Floats) -> None:
        """Scale the gradient where it is too long; one that is not a number stays so."""
        share = self.limit / (sqrt(float(np.dot(gradient, gradient))) + CLIP_EPS)
        if not share >= 1.0:
            np.multiply(gradient, np.float32(share), gradient)


class GradientDescent:
    """Stochastic gradient descent, with momentum if asked for, as ``torch.optim.SGD``."""

    def __init__(self, how: SGD, weights: Floats) -> None:
        self.weights = weights
        self.rate = np.float32(how.learning_rate)
        self.decay = np.float32(how.weight_decay)
        self.momentum = np.float32(how.momentum)
        self.nesterov = how.nesterov
        self.velocity = np.zeros_like(weights)
        self.scratch = np.empty_like(weights)

    def step(self, gradient: Floats) -> None:
        """Take one step."""
        if self.decay:
            np.multiply(self.weights, self.decay, self.scratch)
            np.add(gradient, self.scratch, gradient)
        if self.momentum:
            np.multiply(self.velocity, self.momentum, self.velocity)
            np.add(self.velocity, gradient, self.velocity)
            if self.nesterov:
                np.multiply(self.velocity, self.momentum, self.scratch)
                np.add(gradient, self.scratch, gradient)
            else:
                np.copyto(gradient, self.velocity)
        np.multiply(gradient, self.rate, gradient)
        np.subtract(self.weights, gradient, self.weights)


class AdaptiveMoments:
    """Adam, and AdamW with its decoupled decay, as ``torch.optim``.

    The moments are kept without their factors 1 − β, and the corrections of both biases go into one rate and one ε a
    step: the same numbers by fewer passes over the vectors.
    """

    def __init__(self, how: Adam | AdamW, weights: Floats) -> None:
        self.weights = weights
        self.how = how
        self.decoupled = isinstance(how, AdamW)
        self.first = np.zeros_like(weights)
        self.second = np.zeros_like(weights)
        self.scratch = np.empty_like(weights)
        self.steps = 0

    def step(self, gradient: Floats) -> None:
        """Take one step."""
        how = self.how
        self.steps += 1
        if how.weight_decay:
            self._decay(gradient)
        np.multiply(self.first, np.float32(how.beta1), self.first)
        np.add(self.first, gradient, self.first)
        np.multiply(self.second, np.float32(how.beta2), self.second)
        np.multiply(gradient, gradient, gradient)
        np.add(self.second, gradient, self.second)
        scale = sqrt((1.0 - how.beta2**self.steps) / (1.0 - how.beta2))
        rate = how.learning_rate * scale * (1.0 - how.beta1) / (1.0 - how.beta1**self.steps)
        np.sqrt(self.second, gradient)
        np.add(gradient, np.float32(how.eps * scale), gradient)
        np.divide(self.first, gradient, gradient)
        np.multiply(gradient, np.float32(rate), gradient)
        np.subtract(self.weights, gradient, self.weights)

    def _decay(self, gradient: Floats) -> None:
        if self.decoupled:
            np.multiply(self.weights, np.float32(1.0 - self.how.learning_rate * self.how.weight_decay), self.weights)
        else:
            np.multiply(self.weights, np.float32(self.how.weight_decay), self.scratch)
            np.add(gradient, self.scratch, gradient)


def optimiser(how: LocalTraining, weights: Floats) -> Optimiser:
    """Return the optimiser that `how` asks for, without memory of earlier rounds."""
    match how:
        case SGD():
            return GradientDescent(how, weights)
        case Adam() | AdamW():
            return AdaptiveMoments(how, weights)
    raise TypeError(f"no optimiser for {type(how).__name__}")
