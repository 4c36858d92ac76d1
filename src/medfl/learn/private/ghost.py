"""Clipped sums of the built-in networks, without any unit's gradient ever being written down.

A row's gradient of a dense layer is the outer product of its inputs and its errors, so its squared norm is the product
of theirs (Goodfellow 2015, "Efficient Per-Example Gradient Computations", section 4). The inner product of two rows'
gradients is a product likewise, which gives the norm of a unit of several rows (Li et al. 2022, "Large Language Models
Can Be Strong Differentially Private Learners", section 4, for the positions of a text). Clipping scales a unit's
errors, and scaled errors make a scaled gradient: one way forward, one way backward, one product a layer
(Bu et al. 2023, "Differentially Private Optimization on Large Model at Small Cost", section 2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from medfl.learn.model import Floats
from medfl.learn.models.batch import Batch
from medfl.learn.models.circuit import Circuit
from medfl.learn.models.layers import Part
from medfl.learn.models.losses import Loss
from medfl.learn.models.network import Network
from medfl.learn.private.units import LEAST, SLACK, Drawn, Task

Doubles = NDArray[np.float64]

AT_ONCE = 512
"""Rows that are worked on together; a unit of more rows is worked on by itself."""
ROOM = 16
"""Rows for which there is room come in multiples of this, so that few sizes of batch need buffers of their own."""


class GhostClipping:
    """The sum of a built-in network's clipped gradients.

    Parameters
    ----------
    network
        What is trained.
    task
        Rows, class weights and the norm to clip to.
    generator
        Draws what dropout leaves out.
    """

    learning: Floats | None = None

    def __init__(self, network: Network, task: Task, generator: np.random.Generator) -> None:
        self._network, self._task, self._generator = network, task, generator
        self._weights = np.empty(network.layout.size, np.float32)
        self._gradient, self._total = np.zeros_like(self._weights), np.zeros_like(self._weights)
        rates = np.ones_like(self._weights) if task.rates is None else task.rates
        blocks = network.architecture.blocks.split(np.ascontiguousarray(rates, np.float32))
        self._live: list[Floats] = [
            np.any(block, axis=1, keepdims=True)[:, 0].astype(np.float32) for block in blocks.values()
        ]
        self._places: dict[int, Place] = {}

    def summed(self, weights: Floats, drawn: Drawn) -> Floats:
        """Return the sum over the units drawn, at these weights: flat, and good until the next call."""
        self._weights[:] = weights
        self._total[:] = 0.0
        for piece in _pieces(drawn):
            place = self._place(len(piece.rows))
            place.fill(self._task, piece)
            place.write_gradient(piece, self._task.clip_norm)
            self._total += self._gradient
        return self._total

    def _place(self, rows: int) -> Place:
        """Return a place for so many rows or a few more; those of usual sizes are kept."""
        room = -(-rows // ROOM) * ROOM
        if room in self._places:
            return self._places[room]
        batch = self._network.batch(rows=room)
        circuit = Circuit(
            self._network.architecture,
            batch.inputs,
            weights=self._weights,
            gradient=self._gradient,
            generator=self._generator,
            apart=True,
        )
        place = Place(self._network.loss, batch, circuit, live=self._live)
        if room <= AT_ONCE:
            self._places[room] = place
        return place


class Place:
    """Where the rows of some units meet: bound to a circuit once, filled again at each step.

    Parameters
    ----------
    loss
        What training makes small.
    batch
        Room for the rows.
    circuit
        Bound to that room, and keeping the rows' parts of the gradient apart.
    live
        For each of the circuit's parts, 1 for each of its block's rows that is trained, else 0.
    """

    def __init__(self, loss: Loss, batch: Batch, circuit: Circuit, *, live: Sequence[Floats]) -> None:
        self._loss, self._batch = loss, batch
        self._parts = list(zip(circuit.parts, live, strict=True))
        one = np.ones((1, 1, 1), np.float32)
        self._slope = loss.shares(one, one)[0, 0, 0]  # a row's, where it is the whole batch
        self._factors = np.zeros(batch.inputs.shape[1], np.float32)
        self._operations = [
            *circuit.forward,
            *loss.errors(circuit.scores, batch, circuit.errors),
            *circuit.backward,
        ]
        batch.block[:] = 0.0
        batch.inputs[-1] = 1.0

    def fill(self, task: Task, drawn: Drawn) -> None:
        """Copy the rows' features and outcome; what room is left counts for nothing."""
        rows, batch = len(drawn.rows), self._batch
        batch.inputs[:-1, :rows] = task.examples.features[drawn.rows].T
        batch.inputs[:-1, rows:] = 0.0
        batch.targets[:, :rows] = self._loss.targets(task.examples.outcome[drawn.rows][np.newaxis, np.newaxis])[0]
        batch.targets[:, rows:] = 0.0
        batch.shares[0, :rows] = task.importance(drawn) * self._slope
        batch.shares[0, rows:] = 0.0

    def write_gradient(self, drawn: Drawn, limit: float) -> None:
        """Fill the circuit's gradient with the sum over the units, each of norm `limit` at most."""
        for operation in self._operations:
            operation()
        rows = len(drawn.rows)
        if rows < len(self._factors):
            # Huge weights make NaN of empty places too, and a gradient that is none would tell how many were drawn.
            self._silence(np.arange(rows, len(self._factors)))
        norms = self._norms(drawn)
        shares = np.minimum(1.0, limit / np.maximum(norms, 1e-30))
        # NaN is neither: of what is not finite no multiple is bounded, and of a share below LEAST none is exact.
        if not (sound := shares >= LEAST).all():
            shares[~sound] = 0.0
            self._silence(np.flatnonzero(~sound[drawn.owners]))
        self._factors[:rows] = shares[drawn.owners]
        for part, live in self._parts:
            _write(part, self._factors)
            # What is held still has no part in the norm, so that nothing bounds it: 0 times infinity would be seen.
            part.gradient[live == 0.0] = 0.0

    def _norms(self, drawn: Drawn) -> Doubles:
        """Return at least the norm of each unit's gradient, shape (units,)."""
        if drawn.count == len(drawn.rows):
            summed = reduce(np.add, (_squares(part, live) for part, live in self._parts))
            return np.asarray(np.sqrt(summed[: drawn.count], dtype=np.float64) * (1.0 + SLACK))
        if drawn.count == 1:
            return self._norm_of_all()
        rows = len(drawn.rows)
        products = reduce(np.add, (_products(part, live, rows) for part, live in self._parts))
        within = np.where(drawn.owners == drawn.owners[:, np.newaxis], products, 0.0).sum(axis=1)
        lengths = np.sqrt(np.diagonal(products))
        squares = np.bincount(drawn.owners, within, drawn.count)
        norms: Doubles = np.sqrt(np.maximum(squares, 0.0))
        # What float32 cannot square, it cannot scale down to the limit either: whose it is says nothing.
        squared = reduce(np.add, (_squares(part, live) for part, live in self._parts))[:rows]
        lengths[(lengths > 0.0) & ~np.isfinite(squared)] = np.inf
        return norms + SLACK * np.bincount(drawn.owners, lengths, drawn.count)

    def _norm_of_all(self) -> Doubles:
        """Return the norm of the one unit that all rows belong to: its gradient is theirs added up."""
        self._factors[:] = 1.0
        squares = 0.0
        lengths = np.zeros(len(self._factors))
        for part, live in self._parts:
            _write(part, self._factors)
            trained = part.gradient.astype(np.float64) * live[:, np.newaxis]
            squares += float(np.sum(trained * trained))
            lengths += _squares(part, live)
        return np.array([np.sqrt(squares) + SLACK * np.sqrt(lengths).sum()])

    def _silence(self, rows: NDArray[np.int64]) -> None:
        """Let rows say nothing: of what is not finite, no multiple is bounded."""
        for part, _ in self._parts:
            part.errors[..., rows] = 0.0
            if part.inputs is not None:
                part.inputs[:-1, rows] = 0.0


def _pieces(drawn: Drawn) -> Iterator[Drawn]:
    """Yield the units in groups of so many rows as are worked on together, or one that is larger alone."""
    if 0 < len(drawn.rows) <= AT_ONCE:
        yield drawn
        return
    first = 0
    while first < drawn.count:
        start = np.searchsorted(drawn.owners, first)
        last = drawn.count if start + AT_ONCE >= len(drawn.rows) else int(drawn.owners[start + AT_ONCE])
        end = max(last, first + 1)
        yield drawn.between(first, end)
        first = end


def _squares(part: Part, live: Floats) -> Floats:
    """Return at least the squared norm of each row's gradient in a part, shape (rows,).

    A square below the least float32 comes out as 0, however much the other factor makes of it: LEAST makes up for each.
    """
    if part.inputs is None:
        norms: Floats = np.einsum("b,bur,bur->r", live, part.errors, part.errors)
        return norms + np.float32(part.errors[..., 0].size * LEAST)
    inputs = live.dot(np.square(part.inputs)) + np.float32(len(part.inputs) * LEAST)
    errors = np.einsum("ur,ur->r", part.errors, part.errors) + np.float32(len(part.errors) * LEAST)
    product: Floats = inputs * errors
    return product


def _products(part: Part, live: Floats, rows: int) -> Doubles:
    """Return the inner product of each two rows' gradients in a part, shape (rows, rows)."""
    errors = part.errors[..., :rows].astype(np.float64)
    if part.inputs is None:
        flat = (errors * live[:, np.newaxis, np.newaxis]).reshape(-1, rows)
        return np.asarray(flat.T @ flat)
    inputs = part.inputs[:, :rows].astype(np.float64) * live[:, np.newaxis]
    return np.asarray((inputs.T @ inputs) * (errors.T @ errors))


def _write(part: Part, factors: Floats) -> None:
    """Write the sum of the rows' gradients, each times its factor."""
    if part.inputs is None:
        np.dot(part.errors, factors, out=part.gradient)
    else:
        part.inputs.dot((part.errors * factors).T, part.gradient)
