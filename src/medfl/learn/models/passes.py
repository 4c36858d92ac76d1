"""Which rows meet in a step: every pass over a site's rows in a fresh order, dealt out in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfl.errors import DataError
from medfl.spec.training import LocalTraining


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over the rows, or the part of it that training still needs.

    Parameters
    ----------
    order
        Row numbers, shape (rows,).
    counts
        Whether its loss is reported: the last epoch's, or that of all steps.
    """

    order: NDArray[np.int64]
    counts: bool


def passes(rows: int, how: LocalTraining, generator: np.random.Generator) -> Iterator[Pass]:
    """Yield each pass's order: so many epochs, or as many as the steps need.

    Raises
    ------
    DataError
        If there are no rows.
    """
    if rows == 0:
        raise DataError("there are no rows to learn from", remedy="leave this site out, or give it more rows")
    if how.local_steps is None:
        for epoch in range(1, how.epochs + 1):
            yield Pass(generator.permutation(rows), counts=epoch == how.epochs)
        return
    steps = how.local_steps
    while steps > 0:
        yield Pass(generator.permutation(rows)[: steps * how.batch_size], counts=True)
        steps -= -(-rows // how.batch_size)
