"""What a network is made of: each layer knows its way forward, and backward by hand, on buffers it was given.

Arrays have shape (units, rows). A layer works in place on the signal it was given; only :class:`Dense` carries from
one signal to the next.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from medfl.learn.model import Floats
from medfl.learn.models.activations import ACTIVATIONS
from medfl.spec.model import Activation

NORM_EPS = 1e-5
"""Added to the variance in layer normalisation; PyTorch's default."""


class Layer(Protocol):
    """One link of the chain rule."""

    def forward(self) -> None:
        """Compute the values from the values before."""
        ...

    def backward(self) -> None:
        """Compute the errors from the errors after, and the gradient of the layer's own parameters."""
        ...


class Signal:
    """What flows between two layers: values forward and errors (the loss's derivative by them) backward.

    Parameters
    ----------
    units
        Rows of both arrays.
    rows
        Rows of the table, columns of both arrays.
    """

    __slots__ = ("errors", "padded", "values")

    def __init__(self, units: int, rows: int) -> None:
        self.padded = np.ones((units + 1, rows), np.float32)
        """The values with a row of ones below, which meets the next layer's bias."""
        self.values = self.padded[:-1]
        self.errors = np.empty((units, rows), np.float32)


class Dense:
    """Every unit sees every input.

    Parameters
    ----------
    block
        Weights and, as last row, biases: shape (inputs + 1, units).
    gradient
        Where their gradient goes; the same shape.
    below
        The signal it reads; None for the first layer, which is given its ``inputs`` with each batch.
    above
        The signal it writes.
    """

    __slots__ = ("above", "below", "gradient", "inputs", "transposed", "weights")

    def __init__(self, block: Floats, gradient: Floats, *, below: Signal | None, above: Signal) -> None:
        self.transposed = block.T
        self.weights = block[:-1]
        self.gradient = gradient
        self.below = below
        self.above = above
        self.inputs = np.empty((0, 0), np.float32) if below is None else below.padded

    def forward(self) -> None:
        """Compute the values from the values before."""
        np.dot(self.transposed, self.inputs, self.above.values)

    def backward(self) -> None:
        """Compute the errors from the errors after, and the gradient of weights and biases."""
        errors = self.above.errors
        np.dot(self.inputs, errors.T, self.gradient)
        if self.below is not None:
            np.dot(self.weights, errors, self.below.errors)


class Activate:
    """A function of each unit by itself; its slope is found on the way forward.

    Parameters
    ----------
    name
        Which function.
    signal
        What it works on.
    """

    __slots__ = ("errors", "function", "slope", "values")

    def __init__(self, name: Activation, signal: Signal) -> None:
        self.function = ACTIVATIONS[name]
        self.values = signal.values
        self.errors = signal.errors
        self.slope = np.empty_like(signal.values)

    def forward(self) -> None:
        """Apply the function."""
        self.function(self.values, self.slope)

    def backward(self) -> None:
        """Apply the chain rule."""
        np.multiply(self.errors, self.slope, self.errors)


class Dropout:
    """Leaves out units at random and scales up the others (Srivastava et al. 2014).

    Parameters
    ----------
    share
        Probability that a unit is left out.
    signal
        What it works on.
    generator
        Draws anew at each step.
    """

    __slots__ = ("draws", "errors", "generator", "keep", "scale", "share", "values")

    def __init__(self, share: float, signal: Signal, *, generator: np.random.Generator) -> None:
        self.share = np.float32(share)
        self.scale = np.float32(1.0 / (1.0 - share))
        self.generator = generator
        self.values = signal.values
        self.errors = signal.errors
        self.draws = np.empty_like(signal.values)
        self.keep = np.empty_like(signal.values)

    def forward(self) -> None:
        """Draw and leave out."""
        self.generator.random(dtype=np.float32, out=self.draws)
        np.multiply(self.draws >= self.share, self.scale, self.keep)
        np.multiply(self.values, self.keep, self.values)

    def backward(self) -> None:
        """Leave out the same units."""
        np.multiply(self.errors, self.keep, self.errors)


class Normalise:
    """Layer normalisation (Ba et al. 2016, eq. 4): each row's units get mean 0 and variance 1, then gain and bias.

    Parameters
    ----------
    block
        Gains and, as second row, biases: shape (2, units).
    gradient
        Where their gradient goes; the same shape.
    signal
        What it works on.
    """

    def __init__(self, block: Floats, gradient: Floats, *, signal: Signal) -> None:
        units, rows = signal.values.shape
        self.gain, self.bias = block[:, :, np.newaxis]
        self.gain_gradient, self.bias_gradient = gradient
        self.values = signal.values
        self.errors = signal.errors
        self.mean = np.full(units, 1.0 / units, np.float32)
        """Its product with an array of shape (units, rows) is the mean over the units."""
        self.normal = np.empty_like(signal.values)
        self.product = np.empty_like(signal.values)
        self.inverse = np.empty(rows, np.float32)
        """One over the standard deviation of each row."""

    def forward(self) -> None:
        """Normalise, then scale and shift."""
        values, normal = self.values, self.normal
        np.subtract(values, np.dot(self.mean, values), normal)
        np.multiply(normal, normal, self.product)
        np.dot(self.mean, self.product, self.inverse)
        self.inverse += NORM_EPS
        np.sqrt(self.inverse, self.inverse)
        np.reciprocal(self.inverse, self.inverse)
        np.multiply(normal, self.inverse, normal)
        np.multiply(normal, self.gain, values)
        np.add(values, self.bias, values)

    def backward(self) -> None:
        """Apply the chain rule: the mean and the variance depend on every unit of the row."""
        errors, normal, product = self.errors, self.normal, self.product
        np.multiply(errors, normal, product)
        np.add.reduce(product, axis=1, out=self.gain_gradient)
        np.add.reduce(errors, axis=1, out=self.bias_gradient)
        np.multiply(errors, self.gain, errors)
        np.multiply(product, self.gain, product)
        along = np.dot(self.mean, product)
        np.subtract(errors, np.dot(self.mean, errors), errors)
        np.multiply(normal, along, product)
        np.subtract(errors, product, errors)
        np.multiply(errors, self.inverse, errors)
