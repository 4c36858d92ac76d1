"""The rows that meet in a step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from medfl.learn.model import Floats


@dataclass(slots=True)
class Batch:
    """Rows that meet in a step, one a column; a chunk of many batches looks the same.

    Parameters
    ----------
    inputs
        Features with a row of ones below, shape (features + 1, rows).
    targets
        What the scores are compared with, shape (scores, rows).
    scores
        What the network said before the step, shape (scores, rows); written by the training loop.
    weights
        Each row's weight in the loss, shape (rows,); None for equal weights.
    """

    inputs: Floats
    targets: Floats
    scores: Floats
    weights: Floats | None

    @property
    def rows(self) -> int:
        """Rows of the table."""
        rows: int = self.inputs.shape[1]
        return rows

    def dealt(self, rows: int) -> Iterator[Batch]:
        """Yield consecutive batches of this many rows, the last of what is left."""
        for start in range(0, self.rows, rows):
            stop = start + rows
            weights = None if self.weights is None else self.weights[start:stop]
            yield Batch(self.inputs[:, start:stop], self.targets[:, start:stop], self.scores[:, start:stop], weights)


def with_ones(features: Floats) -> Floats:
    """Return rows as columns, with a row of ones below: shape (features + 1, rows)."""
    rows, columns = features.shape
    padded = np.ones((rows, columns + 1), np.float32)
    padded[:, :-1] = features
    return padded.T
