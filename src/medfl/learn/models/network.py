"""The built-in models: logistic and linear regression and the multilayer perceptron, in NumPy.

All of them are one thing, fully connected layers with something between them, and take one path: no layer, loss,
optimiser or option leaves it. What makes the path fast is told in ``docs/decisions/0002-fast-path.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from medfl.learn.model import Examples, Floats, Layout, Pull, Trained
from medfl.learn.models.batch import Batch, with_ones
from medfl.learn.models.circuit import Architecture, Circuit
from medfl.learn.models.losses import Loss
from medfl.learn.models.optimisers import Descent
from medfl.learn.models.passes import passes
from medfl.spec.training import LocalTraining

AT_ONCE = 1 << 16
"""Numbers worked on together where rows are many: 256 kB stay in the processor's cache, whatever the site's size."""


class Network:
    """Fully connected layers: a :class:`~medfl.learn.model.Model`.

    The weights of layer i are named ``layer1.weight``, of shape (inputs, units) (the transpose of PyTorch's), and
    ``layer1.bias``, of shape (units,); layer normalisation adds ``norm1.gain`` and ``norm1.bias``.

    Parameters
    ----------
    architecture
        Widths from the input to the scores, and what is between the layers.
    loss
        What training makes small.
    """

    def __init__(self, architecture: Architecture, loss: Loss) -> None:
        self.architecture = architecture
        self.loss = loss

    @property
    def layout(self) -> Layout:
        """Names and shapes of its parameters."""
        return self.architecture.layout

    def init(self, generator: np.random.Generator) -> Floats:
        """Return fresh weights, drawn as PyTorch does: U(−1/√inputs, 1/√inputs) for weights and biases of a layer."""
        flat = np.empty(self.layout.size, np.float32)
        for name, block in self.architecture.blocks.split(flat).items():
            if name.startswith("norm"):
                block[:] = [[1.0], [0.0]]
            else:
                bound = 1.0 / sqrt(len(block) - 1)
                block[:] = generator.uniform(-bound, bound, block.shape)
        return flat

    def train(
        self,
        weights: Floats,
        examples: Examples,
        how: LocalTraining,
        *,
        generator: np.random.Generator,
        class_weights: Floats | None = None,
        pull: Pull | None = None,
    ) -> Trained:
        """Return the weights after one round of local training; `weights` is not changed.

        `generator` draws each pass's order and, as steps go, what dropout leaves out. Weights that leave the finite
        numbers are returned as they are.
        """
        weights = np.array(weights, np.float32)
        step = Step(self, Descent(how, weights, pull=pull), weights=weights, generator=generator)
        deal = partial(self._chunks, examples, batch_size=how.batch_size, class_weights=class_weights)
        total, divisor = 0.0, 0.0
        with np.errstate(all="ignore"):
            for part in passes(len(examples), how, generator):
                for chunk in deal(part.order):
                    for batch in chunk.dealt(how.batch_size):
                        step.take(batch)
                    if part.counts:
                        sums = self.loss.sums(chunk)
                        total, divisor = total + sums[0], divisor + sums[1]
        return Trained(weights, total / divisor, step.taken)

    def scores(self, weights: Floats, features: Floats) -> Floats:
        """Return raw scores, shape (rows,) or (rows, classes): logits, or the predicted number."""
        weights = np.ascontiguousarray(weights, np.float32)
        widths = self.architecture.widths
        size = max(256, AT_ONCE // (max(widths) + 1))
        scores = np.empty((len(features), widths[-1]), np.float32)
        with np.errstate(all="ignore"):
            for start in range(0, len(features), size):
                inputs = with_ones(features[start : start + size])
                circuit = Circuit(self.architecture, inputs.shape[1], weights=weights)
                scores[start : start + size] = circuit.forward(inputs).T
        return scores[:, 0] if widths[-1] == 1 else scores

    def _chunks(
        self, examples: Examples, order: NDArray[np.int64], *, batch_size: int, class_weights: Floats | None
    ) -> Iterator[Batch]:
        """Yield the examples in this order, as many whole batches at once as fit: each step's batch is then a view."""
        widths = self.architecture.widths
        size = batch_size * max(1, AT_ONCE // (batch_size * (widths[0] + 2 * widths[-1] + 2)))
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            outcome = examples.outcome[rows]
            targets = self.loss.targets(outcome)
            weights = None if class_weights is None else class_weights[outcome.astype(np.intp)]
            yield Batch(with_ones(examples.features[rows]), targets, np.empty_like(targets), weights)


class Step:
    """One optimiser step on a batch; keeps a circuit for each number of rows (the last batch of a pass is smaller).

    Parameters
    ----------
    network
        What is trained.
    descent
        What makes new weights of a gradient.
    weights
        Flat vector that `descent` changes in place.
    generator
        Draws what dropout leaves out.
    """

    def __init__(self, network: Network, descent: Descent, *, weights: Floats, generator: np.random.Generator) -> None:
        self.taken = 0
        self._descent = descent
        self._errors = network.loss.errors
        self._gradient = gradient = np.empty_like(weights)
        self._circuit = cache(
            lambda rows: Circuit(network.architecture, rows, weights=weights, gradient=gradient, generator=generator)
        )

    def take(self, batch: Batch) -> None:
        """Forward, backward, and down the gradient."""
        circuit = self._circuit(batch.rows)
        batch.scores[:] = circuit.forward(batch.inputs)
        self._errors(batch, circuit.errors)
        circuit.backward()
        self._descent.step(self._gradient)
        self.taken += 1
