"""Activation functions: each replaces values by the function's and writes the function's slope there.

Definitions and constants are PyTorch's defaults: GELU with the exact normal distribution, leaky ReLU with slope 0.01,
ELU with α = 1, and slope 0 at the corner of the ReLU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import pi, sqrt
from types import MappingProxyType

import numpy as np
from scipy.special import expit, ndtr

from medfl.learn.model import Floats
from medfl.spec.model import Activation

LEAK = np.float32(0.01)
ONE = np.float32(1.0)
ZERO = np.float32(0.0)


def relu(values: Floats, slope: Floats) -> None:
    """Replace z by max(z, 0)."""
    np.copyto(slope, values > ZERO)
    np.multiply(values, slope, values)


def leaky_relu(values: Floats, slope: Floats) -> None:
    """Replace z by itself where positive, else 0.01 z."""
    np.copyto(slope, values > ZERO)
    np.maximum(slope, LEAK, out=slope)
    np.multiply(values, slope, values)


def elu(values: Floats, slope: Floats) -> None:
    """Replace z by itself where positive, else exp(z) − 1."""
    np.minimum(values, ZERO, out=slope)
    np.expm1(slope, slope)
    np.maximum(values, slope, out=values)
    np.add(slope, ONE, slope)


def tanh(values: Floats, slope: Floats) -> None:
    """Replace z by tanh(z); the slope is 1 − tanh²."""
    np.tanh(values, values)
    np.multiply(values, values, slope)
    np.subtract(ONE, slope, slope)


def sigmoid(values: Floats, slope: Floats) -> None:
    """Replace z by σ = 1 / (1 + exp(−z)); the slope is σ (1 − σ)."""
    expit(values, values)
    np.subtract(ONE, values, slope)
    np.multiply(slope, values, slope)


def silu(values: Floats, slope: Floats) -> None:
    """Replace z by z σ(z); the slope is σ + z σ (1 − σ)."""
    gate = expit(values)
    np.multiply(values, gate, values)
    np.subtract(ONE, gate, slope)
    np.multiply(slope, values, slope)
    np.add(slope, gate, slope)


def gelu(values: Floats, slope: Floats) -> None:
    """Replace z by z Φ(z), Φ the normal distribution and φ its density; the slope is Φ + z φ."""
    gate = ndtr(values)
    np.multiply(values, values, slope)
    np.multiply(slope, np.float32(-0.5), slope)
    np.exp(slope, slope)
    np.multiply(slope, np.float32(1.0 / sqrt(2.0 * pi)), slope)
    np.multiply(slope, values, slope)
    np.add(slope, gate, slope)
    np.multiply(values, gate, values)


ACTIVATIONS: Mapping[Activation, Callable[[Floats, Floats], None]] = MappingProxyType(
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
