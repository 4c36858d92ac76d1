"""Losses, with PyTorch's definitions and class weights.

Weights multiply each row's loss by its class's weight. The mean over a batch then divides by the number of rows for
the binary loss (``BCEWithLogitsLoss(weight=…)``) and by the sum of the rows' weights for the multiclass loss
(``CrossEntropyLoss(weight=…)``).
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

import numpy as np
from scipy.special import expit

from medfl.learn.model import Floats, Outcome
from medfl.learn.models.batch import Batch, Chunk
from medfl.learn.models.operations import Operation


class Loss(Protocol):
    """What training makes small: a mean over rows.

    Outcome, weights and present have shape (batches, 1, rows); weights are 0 where no row is present.
    """

    def targets(self, outcome: Floats) -> Floats:
        """Return what the scores are compared with, shape (batches, scores, rows)."""
        ...

    def shares(self, weights: Floats, present: Floats) -> Floats:
        """Return what each row's slope is multiplied by in the mean over its batch."""
        ...

    def errors(self, scores: Floats, batch: Batch, out: Floats) -> list[Operation]:
        """Return operations that write the derivative of the batch's loss by its scores, shape (scores, rows)."""
        ...

    def sums(self, chunk: Chunk) -> tuple[float, float]:
        """Return the sum of the rows' losses and what to divide it by for their mean."""
        ...


def of(outcome: Outcome) -> Loss:
    """Return the loss of this kind of outcome."""
    match outcome.kind:
        case "binary":
            return BinaryCrossEntropy()
        case "multiclass":
            return CrossEntropy(len(outcome.classes))
        case "regression":
            return SquaredError()


class SquaredError:
    """(score − number)²; class weights have no meaning here."""

    def targets(self, outcome: Floats) -> Floats:
        """Return the numbers."""
        return outcome

    def shares(self, weights: Floats, present: Floats) -> Floats:
        """Return 2 / rows."""
        return _mean(present) * np.float32(2.0)

    def errors(self, scores: Floats, batch: Batch, out: Floats) -> list[Operation]:
        """Write share (score − number)."""
        return [
            partial(np.subtract, scores, batch.targets, out),
            partial(np.multiply, out, batch.shares, out),
        ]

    def sums(self, chunk: Chunk) -> tuple[float, float]:
        """Return the sum of squares and the number of rows."""
        difference = (chunk.scores - chunk.batches.targets) * chunk.present
        return float((difference * difference).sum(dtype=np.float64)), float(chunk.present.sum())


class BinaryCrossEntropy:
    """−log of the probability that the logistic function of the score gives to what happened."""

    def targets(self, outcome: Floats) -> Floats:
        """Return 0 or 1."""
        return outcome

    def shares(self, weights: Floats, present: Floats) -> Floats:
        """Return weight / rows."""
        return weights * _mean(present)

    def errors(self, scores: Floats, batch: Batch, out: Floats) -> list[Operation]:
        """Write share (probability − target)."""
        return [
            partial(expit, scores, out),
            partial(np.subtract, out, batch.targets, out),
            partial(np.multiply, out, batch.shares, out),
        ]

    def sums(self, chunk: Chunk) -> tuple[float, float]:
        """Return the weighted sum and the number of rows."""
        scores = chunk.scores
        softplus = np.maximum(scores, 0.0) + np.log1p(np.exp(-np.abs(scores)))
        losses = softplus - scores * chunk.batches.targets
        return float((losses * chunk.weights).sum(dtype=np.float64)), float(chunk.present.sum())


class CrossEntropy:
    """−log of the probability that the softmax of the scores gives to the class that happened.

    Parameters
    ----------
    classes
        How many there are.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def targets(self, outcome: Floats) -> Floats:
        """Return 1 where the class is the row's, else 0."""
        return np.equal(outcome, np.arange(self.classes)[:, np.newaxis]).astype(np.float32)

    def shares(self, weights: Floats, present: Floats) -> Floats:
        """Return weight / sum of weights."""
        shares: Floats = weights / weights.sum(axis=-1, keepdims=True)
        return shares

    def errors(self, scores: Floats, batch: Batch, out: Floats) -> list[Operation]:
        """Write share (probability − target)."""
        of_row, ones = np.empty(out.shape[1], np.float32), np.ones(len(out), np.float32)
        return [
            partial(np.maximum.reduce, scores, axis=0, out=of_row),
            partial(np.subtract, scores, of_row, out),
            partial(np.exp, out, out),
            partial(ones.dot, out, of_row),
            partial(np.divide, out, of_row, out),
            partial(np.subtract, out, batch.targets, out),
            partial(np.multiply, out, batch.shares, out),
        ]

    def sums(self, chunk: Chunk) -> tuple[float, float]:
        """Return the weighted sum and the sum of weights."""
        shifted = chunk.scores - np.max(chunk.scores, axis=1, keepdims=True)
        logs = np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
        losses = logs - np.sum(shifted * chunk.batches.targets, axis=1, keepdims=True)
        return float((losses * chunk.weights).sum(dtype=np.float64)), float(chunk.weights.sum(dtype=np.float64))


def _mean(present: Floats) -> Floats:
    """Return what each row is multiplied by in the mean over its batch, 0 where none is present."""
    mean: Floats = present / present.sum(axis=-1, keepdims=True)
    return mean
