"""A network bound to its weights and to a place for its inputs; every buffer is there before the first step.

Data flow with one column a row of the table, so that a layer's values are one contiguous block and the row of ones
below them lets the next layer apply weights and bias in a single matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from medfl.learn.model import Floats, Layout
from medfl.learn.models.layers import Layer, Signal, activate, dense, drop_out, normalise
from medfl.learn.models.operations import Operation
from medfl.spec.model import Activation


@dataclass(frozen=True)
class Architecture:
    """Fully connected layers and what is between them.

    Parameters
    ----------
    widths
        Units from the input to the scores, at least two numbers.
    activation
        Function after each hidden layer.
    dropout
        Share of hidden units left out in training, after the activation.
    layer_norm
        Normalise each hidden layer over its units, before the activation.
    """

    widths: tuple[int, ...]
    activation: Activation = "relu"
    dropout: float = 0.0
    layer_norm: bool = False

    @cached_property
    def layout(self) -> Layout:
        """Names and shapes of all parameters."""
        shapes: list[tuple[str, tuple[int, ...]]] = []
        for number, (inputs, units) in enumerate(pairwise(self.widths), start=1):
            shapes += [(f"layer{number}.weight", (inputs, units)), (f"layer{number}.bias", (units,))]
            if self.layer_norm and number < len(self.widths) - 1:
                shapes += [(f"norm{number}.gain", (units,)), (f"norm{number}.bias", (units,))]
        return Layout(tuple(shapes))

    @cached_property
    def blocks(self) -> Layout:
        """The same flat vector with one matrix a layer: its bias (and a norm's) is the last row."""
        shapes: list[tuple[str, tuple[int, ...]]] = []
        for name, shape in self.layout.shapes:
            layer, parameter = name.split(".")
            if parameter != "bias":
                shapes.append((layer, (shape[0] + 1 if parameter == "weight" else 2, shape[-1])))
        return Layout(tuple(shapes))


class Circuit:
    """One architecture, bound to the inputs and weights it reads and the gradient it writes.

    Parameters
    ----------
    architecture
        What it computes.
    inputs
        Rows of the table as columns with a row of ones below: shape (features + 1, rows); read at each pass.
    weights
        Flat vector; read at each pass, so that an optimiser may change it in place.
    gradient
        Flat vector that the way backward fills; None for a circuit that only scores.
    generator
        Draws what dropout leaves out; None leaves out nothing.
    apart
        Leave the gradient to whoever asks for ``parts``, which then hold each row's.

    Attributes
    ----------
    forward
        Operations that compute ``scores``, shape (scores, rows).
    backward
        Operations that fill the gradient, or each row's part of it, from ``errors``: the loss's derivative by the
        scores.
    parts
        The gradient layer by layer, in the order of the architecture's blocks.
    """

    def __init__(
        self,
        architecture: Architecture,
        inputs: Floats,
        *,
        weights: Floats,
        gradient: Floats | None = None,
        generator: np.random.Generator | None = None,
        apart: bool = False,
    ) -> None:
        blocks = architecture.blocks.split(weights)
        slopes = architecture.blocks.split(np.empty_like(weights) if gradient is None else gradient)
        signals = [Signal(units, inputs.shape[1]) for units in architecture.widths[1:]]
        layers = [dense(blocks["layer1"], slopes["layer1"], inputs=inputs, errors=None, above=signals[0])]
        for number, (below, above) in enumerate(pairwise(signals), start=1):
            if architecture.layer_norm:
                layers.append(normalise(blocks[f"norm{number}"], slopes[f"norm{number}"], signal=below, apart=apart))
            layers.append(activate(architecture.activation, below))
            if architecture.dropout and generator is not None:
                layers.append(drop_out(architecture.dropout, below, generator=generator))
            name = f"layer{number + 1}"
            layers.append(dense(blocks[name], slopes[name], inputs=below.padded, errors=below.errors, above=above))
        self.forward = [operation for layer in layers for operation in layer.forward]
        self.backward = [operation for layer in reversed(layers) for operation in _backward(layer, apart)]
        self.parts = [layer.part for layer in layers if layer.part is not None]
        self.scores = signals[-1].values
        self.errors = signals[-1].errors


def _backward(layer: Layer, apart: bool) -> list[Operation]:
    if layer.part is None:
        return layer.backward
    return [*(layer.part.apart if apart else layer.part.total), *layer.backward]
