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
"""Numbers copied together where rows are many: 256 kB stay in the processor's cache, whatever the site's size."""
SCORED = 1 << 14
"""Numbers of a layer scored together: fewer, because every layer's stay in the cache at once."""
STEPS = 16
"""Sizes of a batch that a network keeps a step bound for."""


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
        scores = np.empty((len(features), self.architecture.widths[-1]), np.float32)
        bench = self._bench(len(features))
        bench.weights[:] = weights
        with np.errstate(all="ignore"):
            for start in range(0, len(features), bench.rows):
                stop = start + bench.rows
                scores[start:stop] = bench.scored(features[start:stop])
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def _bench(self, rows: int) -> Bench:
        """Return a place to score so many rows, or equal parts of them in turn; there are places of a few sizes."""
        most = max(256, SCORED // (max(self.architecture.widths) + 1))
        part = -(-rows // max(1, -(-rows // most)))
        # An odd number of 16: lines that lie a power of two apart would drive each other out of the cache.
        room = -(-(part - 16) // 32) * 32 + 16
        if room not in self._kept.benches:
            self._kept.benches[room] = Bench(self.architecture, room)
        return self._kept.benches[room]

    def _step(self, rows: int, generator: np.random.Generator) -> Step:
        """Return a step for batches of so many rows: the one used before, unless dropout ties it to a round."""
        if self.architecture.dropout:
            return Step(self, rows, generator=generator)
        if rows not in self._kept.steps:
            if len(self._kept.steps) == STEPS:  # one for every size of small sites would fill the memory
                self._kept.steps.clear()
            self._kept.steps[rows] = Step(self, rows, generator=generator)
        return self._kept.steps[rows]

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
    """What is bound once and used in every round, by all sites of a process; each thread has its own."""

    def __init__(self) -> None:
        self.benches: dict[int, Bench] = {}
        self.steps: dict[int, Step] = {}


class Bench:
    """A place to score rows: the circuit is bound once, rows and weights change in place.

    Parameters
    ----------
    architecture
        What scores.
    rows
        How many fit on it.
    """

    def __init__(self, architecture: Architecture, rows: int) -> None:
        self.rows = rows
        self.weights = np.empty(architecture.layout.size, np.float32)
        self._inputs = np.ones((rows, architecture.widths[0] + 1), np.float32)
        self._circuit = Circuit(architecture, self._inputs.T, weights=self.weights)

    def scored(self, features: Floats) -> Floats:
        """Return the scores of some rows, shape (rows, scores)."""
        self._inputs[: len(features), :-1] = features
        for operation in self._circuit.forward:
            operation()
        return self._circuit.scores[:, : len(features)].T


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
