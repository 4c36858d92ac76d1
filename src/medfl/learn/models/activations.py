"""Activation functions: each returns the operations that replace values by the function's and write its slope there.

Definitions and constants are PyTorch's defaults: GELU with the exact normal distribution, leaky ReLU with slope 0.01,
ELU with α = 1, and slope 0 at the corner of the ReLU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import pi, sqrt
from types import MappingProxyType

import numpy as np
from scipy.special import ndtr

from medfl.learn.model import Floats
from medfl.learn.models.operations import Operation, assign, number
from medfl.spec.model import Activation

HALF = number(0.5)
ONE = number(1.0)
ZERO = number(0.0)


def relu(values: Floats, slope: Floats) -> list[Operation]:
    """Replace z by max(z, 0)."""
    return [*_step(values, slope), partial(np.multiply, values, slope, values)]


def leaky_relu(values: Floats, slope: Floats) -> list[Operation]:
    """Replace z by itself where positive, else 0.01 z."""
    leak = np.full_like(values, 0.01)
    return [
        *_step(values, slope),
        partial(np.maximum, slope, leak, out=slope),
        partial(np.multiply, values, slope, values),
    ]


def elu(values: Floats, slope: Floats) -> list[Operation]:
    """Replace z by itself where positive, else exp(z) − 1."""
    zeros = np.zeros_like(values)
    return [
        partial(np.minimum, values, zeros, out=slope),
        partial(np.expm1, slope, slope),
        partial(np.maximum, values, slope, out=values),
        partial(np.add, slope, ONE, slope),
    ]


def tanh(values: Floats, slope: Floats) -> list[Operation]:
    """Replace z by tanh(z); the slope is 1 − tanh²."""
    return [
        partial(np.tanh, values, values),
        partial(np.multiply, values, values, slope),
        partial(np.subtract, ONE, slope, slope),
    ]


def sigmoid(values: Floats, slope: Floats) -> list[Operation]:
    """Replace z by σ(z) = 1 / (1 + exp(−z)); the slope is σ (1 − σ)."""
    return [
        *_sigmoid(values, values),
        partial(np.subtract, ONE, values, slope),
        partial(np.multiply, slope, values, slope),
    ]


def silu(values: Floats, slope: Floats) -> list[Operation]:
    """Replace z by z σ(z); the slope is σ + z σ (1 − σ)."""
    gate = np.empty_like(values)
    return [
        *_sigmoid(values, gate),
        partial(np.multiply, values, gate, values),
        partial(np.subtract, ONE, gate, slope),
        partial(np.multiply, slope, values, slope),
        partial(np.add, slope, gate, slope),
    ]


def gelu(values: Floats, slope: Floats) -> list[Operation]:
    """Replace z by z Φ(z), Φ the normal distribution and φ its density; the slope is Φ + z φ."""
    gate = np.empty_like(values)
    return [
        partial(ndtr, values, gate),
        partial(np.multiply, values, values, slope),
        partial(np.multiply, slope, number(-0.5), slope),
        partial(np.exp, slope, slope),
        partial(np.multiply, slope, number(1.0 / sqrt(2.0 * pi)), slope),
        partial(np.multiply, slope, values, slope),
        partial(np.add, slope, gate, slope),
        partial(np.multiply, values, gate, values),
    ]


ACTIVATIONS: Mapping[Activation, Callable[[Floats, Floats], list[Operation]]] = MappingProxyType(
    {
        "relu": relu,
        "tanh": tanh,
        "sigmoid": sigmoid,
        "gelu": gelu,
        "silu": silu,
        "leaky-relu": leaky_relu,
        "elu": elu,
    }
)


def _step(values: Floats, out: Floats) -> list[Operation]:
    """Write 1 where values are positive, else 0; comparing straight into floats takes NumPy longer."""
    positive = np.empty(values.shape, np.bool_)
    return [partial(np.greater, values, ZERO, positive), assign(out, positive)]


def _sigmoid(values: Floats, out: Floats) -> list[Operation]:
    """Write ½ + ½ tanh(z / 2), which is σ(z): NumPy's tanh works on many numbers at once, SciPy's expit on one."""
    return [
        partial(np.multiply, values, HALF, out),
        partial(np.tanh, out, out),
        partial(np.multiply, out, HALF, out),
        partial(np.add, out, HALF, out),
    ]
