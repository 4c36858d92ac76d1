"""The built-in models: logistic and linear regression and the multilayer perceptron, in NumPy.

All of them are one thing, fully connected layers with something between them, and take one path: no layer, loss,
optimiser or option leaves it. What makes the path fast is told in ``docs/decisions/0002-fast-path.md``.
"""

from __future__ import annotations

from math import sqrt
from threading import local

import numpy as np
from numpy.typing import NDArray

from medfl.learn.model import Examples, Floats, Layout, Pull, Trained
from medfl.learn.models.batch import Batch, Chunk, deal
from medfl.learn.models.circuit import Architecture, Circuit
from medfl.learn.models.losses import Loss
from medfl.learn.models.operations import Operation
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
        self._kept = Kept()

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
        rows = min(how.batch_size, len(examples))
        step = self._step(rows, generator)
        step.begin(weights, how, pull)
        total, divisor, taken = 0.0, 0.0, 0
        with np.errstate(all="ignore"):
            for part in passes(len(examples), how, generator):
                for numbers, present in deal(part.order, rows=rows, at_once=self._at_once(rows)):
                    chunk = self._chunk(examples, numbers, present, class_weights)
                    step.take(chunk)
                    taken += len(numbers)
                    if part.counts:
                        sums = self.loss.sums(chunk)
                        total, divisor = total + sums[0], divisor + sums[1]
        return Trained(step.weights.copy(), total / divisor, taken)

    def scores(self, weights: Floats, features: Floats) -> Floats:
        """Return raw scores, shape (rows,) or (rows, classes): logits, or the predicted number."""
        widths = self.architecture.widths
        size = max(256, AT_ONCE // (max(widths) + 1))
        scores = np.empty((len(features), widths[-1]), np.float32)
        with np.errstate(all="ignore"):
            for start in range(0, len(features), size):
                rows = features[start : start + size] if len(features) > size else features
                scores[start : start + size] = self._passed(weights, rows, again=len(features) <= size).T
        return scores[:, 0] if widths[-1] == 1 else scores

    def _passed(self, weights: Floats, features: Floats, *, again: bool) -> Floats:
        """Return the scores of some rows, shape (scores, rows).

        The same few rows are judged in every round: their circuit is bound once and kept, the weights change in place.
        """
        kept = self._kept.judged
        if kept is None or kept[0] is not features:
            own = np.array(weights, np.float32)
            kept = (features, own, Circuit(self.architecture, _with_ones(features), weights=own))
            self._kept.judged = kept if again else None
        kept[1][:] = weights
        for operation in kept[2].forward:
            operation()
        return kept[2].scores

    def _step(self, rows: int, generator: np.random.Generator) -> Step:
        """Return a step for batches of so many rows: the one of the round before, unless dropout ties it to a round."""
        kept = self._kept.trained
        if kept is None or kept.rows != rows or self.architecture.dropout:
            kept = self._kept.trained = Step(self, rows, generator=generator)
        return kept

    def batch(self, *stack: int, rows: int) -> Batch:
        """Return room for a batch of so many rows, or for a stack of them."""
        widths = self.architecture.widths
        return Batch(stack, rows, features=widths[0], scores=widths[-1])

    def _at_once(self, rows: int) -> int:
        """Return how many batches of so many rows are copied together."""
        return max(1, AT_ONCE // (rows * (self.architecture.widths[0] + 2 * self.architecture.widths[-1] + 3)))

    def _chunk(
        self, examples: Examples, numbers: NDArray[np.int64], present: Floats, class_weights: Floats | None
    ) -> Chunk:
        """Return the examples with these numbers, shape (batches, rows), ready to be learned from."""
        batches = self.batch(len(numbers), rows=numbers.shape[1])
        outcome, present = examples.outcome[numbers][:, np.newaxis], present[:, np.newaxis]
        weights = present if class_weights is None else class_weights[outcome.astype(np.intp)] * present
        batches.inputs[:, :-1] = examples.features.take(numbers, axis=0).swapaxes(1, 2)
        batches.inputs[:, -1] = 1.0
        batches.targets[...] = self.loss.targets(outcome)
        batches.shares[...] = self.loss.shares(weights, present)
        return Chunk(batches, present, weights, np.empty_like(batches.targets))


class Kept(local):
    """What is bound once and used in every round; each thread has its own."""

    judged: tuple[Floats, Floats, Circuit] | None = None
    trained: Step | None = None


class Step:
    """One optimiser step, bound to a place for its batch, its weights and its gradient.

    Parameters
    ----------
    network
        What is trained.
    rows
        Rows of a batch.
    generator
        Draws what dropout leaves out.
    """

    def __init__(self, network: Network, rows: int, *, generator: np.random.Generator) -> None:
        self.rows = rows
        self.weights = np.empty(network.layout.size, np.float32)
        self._gradient = np.empty_like(self.weights)
        self._batch = network.batch(rows=rows)
        circuit = Circuit(
            network.architecture,
            self._batch.inputs,
            weights=self.weights,
            gradient=self._gradient,
            generator=generator,
        )
        self._scores = circuit.scores
        self._slope: list[Operation] = [
            *circuit.forward,
            *network.loss.errors(circuit.scores, self._batch, circuit.errors),
            *circuit.backward,
        ]
        self._operations = self._slope

    def begin(self, weights: Floats, how: LocalTraining, pull: Pull | None) -> None:
        """Start from these weights, with a fresh optimiser."""
        self.weights[:] = weights
        self._operations = [*self._slope, *Descent(how, self.weights, self._gradient, pull=pull).operations]

    def take(self, chunk: Chunk) -> None:
        """Forward, backward, and down the gradient, batch by batch."""
        place, said = self._batch.block, self._scores
        for block, scores in zip(chunk.batches.block, chunk.scores, strict=True):
            place[:] = block
            for operation in self._operations:
                operation()
            scores[:] = said


def _with_ones(features: Floats) -> Floats:
    """Return rows as columns, with a row of ones below: shape (features + 1, rows)."""
    rows, columns = features.shape
    padded = np.ones((rows, columns + 1), np.float32)
    padded[:, :-1] = features
    return padded.T
