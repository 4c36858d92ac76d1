"""Losses, with PyTorch's definitions and class weights.

Weights multiply each row's loss by its class's weight. The mean over a batch then divides by the number of rows for
the binary loss (``BCEWithLogitsLoss(weight=…)``) and by the sum of the rows' weights for the multiclass loss
(``CrossEntropyLoss(weight=…)``).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.special import expit

from medfl.learn.model import Floats, Outcome
from medfl.learn.models.batch import Batch


class Loss(Protocol):
    """What training makes small: a mean over rows."""

    def targets(self, outcome: Floats) -> Floats:
        """Return what the scores are compared with, shape (scores, rows)."""
        ...

    def errors(self, batch: Batch, out: Floats) -> None:
        """Write the derivative of the batch's loss by its scores, shape (scores, rows)."""
        ...

    def sums(self, batch: Batch) -> tuple[float, float]:
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
        return outcome[np.newaxis]

    def errors(self, batch: Batch, out: Floats) -> None:
        """Write 2 (score − number) / rows."""
        np.subtract(batch.scores, batch.targets, out)
        np.multiply(out, np.float32(2.0 / out.shape[1]), out)

    def sums(self, batch: Batch) -> tuple[float, float]:
        """Return the sum of squares and the number of rows."""
        difference = batch.scores - batch.targets
        return float(np.sum(difference * difference, dtype=np.float64)), difference.shape[1]


class BinaryCrossEntropy:
    """−log of the probability that the logistic function of the score gives to what happened."""

    def targets(self, outcome: Floats) -> Floats:
        """Return 0 or 1."""
        return outcome[np.newaxis]

    def errors(self, batch: Batch, out: Floats) -> None:
        """Write weight (probability − target) / rows."""
        expit(batch.scores, out)
        np.subtract(out, batch.targets, out)
        np.multiply(out, np.float32(1.0 / out.shape[1]), out)
        if batch.weights is not None:
            np.multiply(out, batch.weights, out)

    def sums(self, batch: Batch) -> tuple[float, float]:
        """Return the weighted sum and the number of rows."""
        losses = np.logaddexp(np.float32(0.0), batch.scores) - batch.scores * batch.targets
        if batch.weights is not None:
            losses *= batch.weights
        return float(np.sum(losses, dtype=np.float64)), losses.shape[1]


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

    def errors(self, batch: Batch, out: Floats) -> None:
        """Write weight (probability − target) / sum of weights."""
        np.subtract(batch.scores, np.maximum.reduce(batch.scores, axis=0), out)
        np.exp(out, out)
        np.divide(out, np.add.reduce(out, axis=0), out)
        np.subtract(out, batch.targets, out)
        if batch.weights is None:
            np.multiply(out, np.float32(1.0 / out.shape[1]), out)
        else:
            np.multiply(out, batch.weights / np.add.reduce(batch.weights), out)

    def sums(self, batch: Batch) -> tuple[float, float]:
        """Return the weighted sum and the sum of weights."""
        shifted = batch.scores - np.max(batch.scores, axis=0)
        losses = np.log(np.sum(np.exp(shifted), axis=0)) - np.sum(shifted * batch.targets, axis=0)
        weights = np.ones_like(losses) if batch.weights is None else batch.weights
        return float(np.dot(losses, weights)), float(np.sum(weights))
