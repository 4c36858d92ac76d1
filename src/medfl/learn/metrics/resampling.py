"""Bootstrap without rows: replicates of counts by resampling their cells, of sums from their second moments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from medfl.learn.metrics.ranking import Counts, Reals

Interval = tuple[float, float]

# Numbers held in memory at a time: 8 MB of int64.
BLOCK = 1_000_000
# Drawing one cell's count costs about as much as drawing this many rows.
ROWS_A_CELL = 10
LIMITS = (0.025, 0.975)


def resampled(counts: Counts, *, samples: int, generator: np.random.Generator) -> Iterator[Counts]:
    """Yield replicates of counts in blocks of shape (some, *counts.shape): as many rows, drawn with replacement."""
    cells = np.flatnonzero(counts)
    rows = int(counts.sum())
    size = min(samples, max(1, BLOCK // max(rows, counts.size, 1)))
    by_row = rows <= ROWS_A_CELL * len(cells)
    draw = partial(_drawn_rows if by_row else _drawn_cells, counts.ravel(), cells, generator=generator)
    for start in range(0, samples, size):
        count = min(size, samples - start)
        yield draw(samples=count).reshape(count, *counts.shape)


def moments(*columns: Reals) -> Reals:
    """Return XᵀX of the columns with a column of ones in front: rows and sums in line 0, second moments below."""
    table = np.empty((1 + len(columns), len(columns[0])))
    table[0], table[1:] = 1.0, columns
    return np.asarray(table @ table.T)


def resampled_sums(second: Reals, *, samples: int, generator: np.random.Generator) -> Reals:
    """Return replicates of line 0 of the :func:`moments`, shape (samples, columns + 1).

    By the central limit theorem, sums over rows drawn with replacement are normal around the observed sums with
    covariance XᵀX − (Σx)(Σx)ᵀ / rows: so they can be drawn when no row is at hand.
    """
    sums, rows = second[0], max(second[0, 0], 1.0)
    # On a common scale, so that a column in large units does not drown the others in rounding.
    scale = np.sqrt(np.maximum(np.diagonal(second), np.finfo(np.float64).tiny))
    covariance = (second - np.outer(sums, sums) / rows) / np.outer(scale, scale)
    values, vectors = np.linalg.eigh(covariance)
    spread = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(sums + (generator.standard_normal((samples, len(sums))) @ spread.T) * scale)


def percentiles(replicates: Mapping[str, Reals]) -> dict[str, Interval]:
    """Return the 2.5 % and 97.5 % points of each metric's defined replicates; a metric that has none is left out."""
    table = np.stack(list(replicates.values()))
    ordered = np.sort(np.where(np.isfinite(table), table, np.nan), axis=1)  # NaN comes last.
    defined = np.count_nonzero(~np.isnan(ordered), axis=1)
    low, high = (_quantiles(ordered, defined, share).tolist() for share in LIMITS)
    limits = zip(replicates, defined.tolist(), low, high, strict=True)
    return {name: (start, end) for name, count, start, end in limits if count}


def _quantiles(ordered: Reals, counts: Counts, share: float) -> Reals:
    """Return for each line the quantile of its first numbers, to the bit that of ``np.quantile``.

    That takes lines of one length, or line by line five times as long.
    """
    last = np.maximum(counts - 1, 0)
    place = share * last
    left = place.astype(np.int64)
    lines, part = np.arange(len(ordered)), place - left
    below, above = ordered[lines, left], ordered[lines, np.minimum(left + 1, last)]
    step = above - below
    return np.where(part < 0.5, below + step * part, above - step * (1 - part))


def _drawn_rows(counts: Counts, cells: Counts, *, samples: int, generator: np.random.Generator) -> Counts:
    """Draw each row's cell and count."""
    owner = np.repeat(cells, counts[cells])
    drawn = owner.take(generator.integers(max(len(owner), 1), size=(samples, len(owner)), dtype=np.uint32))
    drawn += counts.size * np.arange(samples)[:, np.newaxis]
    return np.bincount(drawn.ravel(), minlength=samples * counts.size)


def _drawn_cells(counts: Counts, cells: Counts, *, samples: int, generator: np.random.Generator) -> Counts:
    """Draw all cells' counts at once, from the multinomial distribution."""
    drawn = np.zeros((samples, counts.size), np.int64)
    rows = counts.sum()
    drawn[:, cells] = generator.multinomial(rows, counts[cells] / rows, size=samples)
    return drawn
