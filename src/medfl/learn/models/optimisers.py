"""From a gradient to new weights: the algorithm's pull, clipping, and PyTorch's optimisers.

The pull belongs to the objective (FedProx adds μ/2 ‖w − w₀‖², SCAFFOLD a linear term), so it is part of the gradient
that is clipped, as it would be if it had been added to the loss. Weight decay belongs to the optimiser and comes
after. Everything here returns operations on two flat vectors, the weights and the gradient, which they may overwrite.

Layers that learn at a rate of their own have it as PyTorch's parameter groups do: it takes the learning rate's place
wherever that stands, in AdamW's decay too. A frozen weight has the rate 0 and no part in the clipped norm.
"""

from __future__ import annotations

from functools import partial
from math import sqrt

import numpy as np

from medfl.learn.model import Floats, Pull
from medfl.learn.models.operations import Operation, number
from medfl.spec.training import SGD, Adam, AdamW, LocalTraining

CLIP_EPS = 1e-6
"""Added to the norm that a gradient is divided by; PyTorch's constant."""


class Descent:
    """The whole way of one step down a gradient: pull, clip, optimiser; without memory of earlier rounds.

    Parameters
    ----------
    how
        Optimiser and clipping norm.
    weights
        Flat vector, changed in place.
    gradient
        Flat vector that the operations expect to be filled.
    pull
        What the algorithm adds to the gradient, and which weights learn slower.

    Attributes
    ----------
    operations
        One step.
    """

    def __init__(self, how: LocalTraining, weights: Floats, gradient: Floats, *, pull: Pull | None) -> None:
        self.operations: list[Operation] = []
        if pull is not None and pull.anchor is not None and pull.mu:
            self.operations += _proximal(pull.mu, pull.anchor, weights=weights, gradient=gradient)
        if pull is not None and pull.correction is not None:
            self.operations += [partial(np.add, gradient, pull.correction, gradient)]
        rates = None if pull is None else pull.rates
        if rates is not None and not rates.all():
            self.operations += [partial(np.multiply, gradient, (rates > 0).astype(np.float32), gradient)]
        if how.clip_norm is not None:
            self.operations += [partial(_clip, gradient, how.clip_norm)]
        self.operations += _optimiser(how, weights, gradient, rates=rates)


def _optimiser(how: LocalTraining, weights: Floats, gradient: Floats, *, rates: Floats | None) -> list[Operation]:
    match how:
        case SGD():
            return _gradient_descent(how, weights, gradient, rates=rates)
        case Adam() | AdamW():
            return _adaptive_moments(how, weights, gradient, rates=rates)
    raise TypeError(f"no optimiser for {type(how).__name__}")


def _proximal(mu: float, anchor: Floats, *, weights: Floats, gradient: Floats) -> list[Operation]:
    """Pull the weights to an anchor: μ (w − w₀) (Li et al. 2020, eq. 2)."""
    difference = np.empty_like(weights)
    return [
        partial(np.subtract, weights, anchor, difference),
        partial(np.multiply, difference, number(mu), difference),
        partial(np.add, gradient, difference, gradient),
    ]


def _clip(gradient: Floats, limit: float) -> None:
    """Scale a gradient that is longer than the limit down to it (Pascanu et al. 2013); one of NaN stays so."""
    share = limit / (sqrt(gradient.dot(gradient)) + CLIP_EPS)
    if not share >= 1.0:
        np.multiply(gradient, np.float32(share), gradient)


def _gradient_descent(how: SGD, weights: Floats, gradient: Floats, *, rates: Floats | None) -> list[Operation]:
    """Stochastic gradient descent, with momentum if asked for, as ``torch.optim.SGD``."""
    direction = gradient
    operations = _decay(how.weight_decay, weights, gradient) if how.weight_decay else []
    if how.momentum:
        direction = velocity = np.zeros_like(weights)
        momentum = number(how.momentum)
        operations += [
            partial(np.multiply, velocity, momentum, velocity),
            partial(np.add, velocity, gradient, velocity),
        ]
        if how.nesterov:
            direction = ahead = np.empty_like(weights)
            operations += [partial(np.multiply, velocity, momentum, ahead), partial(np.add, gradient, ahead, ahead)]
    return [
        *operations,
        partial(np.multiply, direction, _each(how.learning_rate, rates), gradient),
        partial(np.subtract, weights, gradient, weights),
    ]


def _adaptive_moments(how: Adam | AdamW, weights: Floats, gradient: Floats, *, rates: Floats | None) -> list[Operation]:
    """Adam, and AdamW with its decoupled decay, as ``torch.optim``.

    The moments are kept without their factors 1 − β, and the corrections of both biases go into one rate and one ε a
    step: the same numbers by fewer passes over the vectors.
    """
    first, second, correction = np.zeros_like(weights), np.zeros_like(weights), BiasCorrection(how)
    operations: list[Operation] = [correction.advance]
    if how.weight_decay and isinstance(how, AdamW):
        kept = _each(-how.learning_rate * how.weight_decay, rates, plus=1.0)
        operations.append(partial(np.multiply, weights, kept, weights))
    elif how.weight_decay:
        operations += _decay(how.weight_decay, weights, gradient)
    return [
        *operations,
        partial(np.multiply, first, number(how.beta1), first),
        partial(np.add, first, gradient, first),
        partial(np.multiply, second, number(how.beta2), second),
        partial(np.multiply, gradient, gradient, gradient),
        partial(np.add, second, gradient, second),
        partial(np.sqrt, second, gradient),
        partial(np.add, gradient, correction.eps, gradient),
        partial(np.divide, first, gradient, gradient),
        partial(np.multiply, gradient, correction.rate, gradient),
        *([] if rates is None else [partial(np.multiply, gradient, rates, gradient)]),
        partial(np.subtract, weights, gradient, weights),
    ]


def _each(value: float, rates: Floats | None, *, plus: float = 0.0) -> Floats:
    """Return a number for all weights, or ``plus + value × rate`` for each of them."""
    return number(plus + value) if rates is None else (plus + value * rates.astype(np.float64)).astype(np.float32)


class BiasCorrection:
    """Rate and ε of Adam's next step: its moments start at zero, and this makes up for it."""

    def __init__(self, how: Adam | AdamW) -> None:
        self.rate = np.empty((), np.float32)
        self.eps = np.empty((), np.float32)
        self._beta1, self._beta2 = how.beta1, how.beta2
        self._rate, self._eps = how.learning_rate, how.eps
        self._steps = 0

    def advance(self) -> None:
        """Go to the next step."""
        self._steps += 1
        scale = sqrt((1.0 - self._beta2**self._steps) / (1.0 - self._beta2))
        self.rate[()] = self._rate * scale * (1.0 - self._beta1) / (1.0 - self._beta1**self._steps)
        self.eps[()] = self._eps * scale


def _decay(share: float, weights: Floats, gradient: Floats) -> list[Operation]:
    """Add the L2 penalty's slope to the gradient."""
    penalty = np.empty_like(weights)
    return [partial(np.multiply, weights, number(share), penalty), partial(np.add, gradient, penalty, gradient)]
