"""What a network is made of: each layer is its operations forward and, by hand, backward, on buffers it was given.

Arrays have shape (units, rows). A layer works in place on the signal it was given; only :func:`dense` carries from
one signal to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from medfl.learn.model import Floats
from medfl.learn.models.activations import ACTIVATIONS
from medfl.learn.models.operations import Operation, assign, number
from medfl.spec.model import Activation

NORM_EPS = number(1e-5)
"""Added to the variance in layer normalisation; PyTorch's default."""


@dataclass(frozen=True, slots=True)
class Part:
    """The gradient of a layer's own parameters, which has a part of each row.

    A dense layer's is the outer product of the row's inputs and errors; a normalisation's stands in `errors` itself.

    Parameters
    ----------
    gradient
        Where the sum over rows goes: the layer's block of the flat gradient.
    total
        Operations that write that sum; they come before the layer's way backward.
    apart
        Operations that, in their place, keep each row's part: in `inputs` and `errors`, once the whole way backward
        is gone.
    inputs
        Shape (inputs + 1, rows); None in a normalisation.
    errors
        Shape (units, rows); in a normalisation (2, units, rows), of its gains and of its biases.
    """

    gradient: Floats
    total: list[Operation]
    apart: list[Operation]
    inputs: Floats | None
    errors: Floats


@dataclass(frozen=True, slots=True)
class Layer:
    """One link of the chain rule.

    Parameters
    ----------
    forward
        Computes the values from the values before.
    backward
        Computes the errors from the errors after.
    part
        The gradient of its own parameters; None where it has none.
    """

    forward: list[Operation]
    backward: list[Operation]
    part: Part | None = None


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


def dense(block: Floats, gradient: Floats, *, inputs: Floats, errors: Floats | None, above: Signal) -> Layer:
    """Every unit sees every input.

    Parameters
    ----------
    block
        Weights and, as last row, biases: shape (inputs + 1, units).
    gradient
        Where their gradient goes; the same shape.
    inputs
        The values before, with a row of ones below.
    errors
        Where the errors of these values go; None where nobody asks for them.
    above
        The signal it writes.
    """
    forward: list[Operation] = [partial(block.T.dot, inputs, above.values)]
    backward: list[Operation] = [] if errors is None else [partial(block[:-1].dot, above.errors, errors)]
    total: list[Operation] = [partial(inputs.dot, above.errors.T, gradient)]
    return Layer(forward, backward, Part(gradient, total, [], inputs, above.errors))


def activate(name: Activation, signal: Signal) -> Layer:
    """Apply a function to each unit by itself; its slope is found on the way forward."""
    slope = np.empty_like(signal.values)
    return Layer(ACTIVATIONS[name](signal.values, slope), [partial(np.multiply, signal.errors, slope, signal.errors)])


def drop_out(share: float, signal: Signal, *, generator: np.random.Generator) -> Layer:
    """Leave out units at random, drawn anew at each step, and scale up the others (Srivastava et al. 2014).

    Parameters
    ----------
    share
        Probability that a unit is left out.
    signal
        What it works on.
    generator
        Draws which.
    """
    values, errors = signal.values, signal.errors
    factors = np.empty_like(values)
    kept = np.empty(values.shape, np.bool_)
    forward: list[Operation] = [
        partial(generator.random, dtype=np.float32, out=factors),
        partial(np.greater_equal, factors, number(share), kept),
        assign(factors, kept),
        partial(np.multiply, factors, number(1.0 / (1.0 - share)), factors),
        partial(np.multiply, values, factors, values),
    ]
    return Layer(forward, [partial(np.multiply, errors, factors, errors)])


def normalise(block: Floats, gradient: Floats, *, signal: Signal, apart: bool) -> Layer:
    """Layer normalisation (Ba et al. 2016, eq. 4): each row's units get mean 0 and variance 1, then gain and bias.

    Sums over an axis are products with a vector, which are several times faster.

    Parameters
    ----------
    block
        Gains and, as second row, biases: shape (2, units).
    gradient
        Where their gradient goes; the same shape.
    signal
        What it works on.
    apart
        Whether there is to be room for each row's part of the gradient.
    """
    values, errors = signal.values, signal.errors
    units, rows = values.shape
    normal, product = np.empty_like(values), np.empty_like(values)
    deviation, mean, along = (np.empty(rows, np.float32) for _ in range(3))
    average, ones = np.full(units, 1.0 / units, np.float32), np.ones(rows, np.float32)
    gain, bias = block[:, :, np.newaxis]
    share = np.empty(units, np.float32)  # of each unit in the mean of the errors by the normal values
    forward: list[Operation] = [
        partial(average.dot, values, mean),
        partial(np.subtract, values, mean, normal),
        partial(np.multiply, normal, normal, product),
        partial(average.dot, product, deviation),
        partial(np.add, deviation, NORM_EPS, deviation),
        partial(np.sqrt, deviation, deviation),
        partial(np.divide, normal, deviation, normal),
        partial(np.multiply, normal, gain, values),
        partial(np.add, values, bias, values),
    ]
    backward: list[Operation] = [  # the mean and the deviation depend on every unit of the row
        partial(np.multiply, block[0], average, share),
        partial(share.dot, errors, mean),
        partial(share.dot, product, along),
        partial(np.multiply, errors, gain, errors),
        partial(np.subtract, errors, mean, errors),
        partial(np.multiply, normal, along, product),
        partial(np.subtract, errors, product, errors),
        partial(np.divide, errors, deviation, errors),
    ]
    total: list[Operation] = [
        partial(np.multiply, errors, normal, product),
        partial(product.dot, ones, gradient[0]),
        partial(errors.dot, ones, gradient[1]),
    ]
    kept = np.empty((2, units, rows) if apart else (2, 0, 0), np.float32)
    keep: list[Operation] = [total[0], assign(kept[0], product), assign(kept[1], errors)]
    return Layer(forward, backward, Part(gradient, total, keep, None, kept))
