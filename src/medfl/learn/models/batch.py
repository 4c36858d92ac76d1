"""The rows that meet in a step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfl.learn.model import Floats


class Batch:
    """Rows that meet in a step, in one block of memory, so that a single copy replaces them by the next.

    Leading axes stack batches: then each array below has them too.

    Parameters
    ----------
    stack
        Leading axes; () for a single batch.
    rows
        Rows of the table.
    features
        Columns of the table.
    scores
        Numbers a model gives for each row.

    Attributes
    ----------
    block
        All of it, shape (…, numbers).
    inputs
        Features with a row of ones below, shape (…, features + 1, rows).
    targets
        What the scores are compared with, shape (…, scores, rows).
    shares
        What each row's slope is multiplied by in the mean over the batch, shape (…, 1, rows).
    """

    __slots__ = ("block", "inputs", "shares", "targets")

    def __init__(self, stack: tuple[int, ...], rows: int, *, features: int, scores: int) -> None:
        ones = rows * (features + 1)
        last = ones + rows * scores
        self.block = np.empty((*stack, last + rows), np.float32)
        self.inputs = self.block[..., :ones].reshape(*stack, rows, features + 1).swapaxes(-1, -2)
        self.targets = self.block[..., ones:last].reshape(*stack, scores, rows)
        self.shares = self.block[..., last:].reshape(*stack, 1, rows)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Batches that are ready to be learned from, one after the other.

    Parameters
    ----------
    batches
        A stack of them.
    present
        1 for a row, 0 for what fills up the last batch of a pass; shape (batches, 1, rows).
    weights
        Each row's weight in the loss, 0 where none is present; the same shape.
    scores
        What the network said before each step, shape (batches, scores, rows); written by the training loop.
    """

    batches: Batch
    present: Floats
    weights: Floats
    scores: Floats


def deal(order: NDArray[np.int64], *, rows: int, at_once: int) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Yield row numbers in this order and which of them are present, both of shape (batches, rows).

    The last batch is filled up with a row that counts for nothing, so that all steps of a training are alike.

    Parameters
    ----------
    order
        Row numbers.
    rows
        Rows of a batch.
    at_once
        Most batches to yield together.
    """
    count = -(-len(order) // rows)
    numbers, present = np.empty(count * rows, np.int64), np.ones(count * rows, np.float32)
    numbers[: len(order)], numbers[len(order) :] = order, order[0]
    present[len(order) :] = 0.0
    for start in range(0, count, at_once):
        some = slice(start * rows, (start + at_once) * rows)
        yield numbers[some].reshape(-1, rows), present[some].reshape(-1, rows)
