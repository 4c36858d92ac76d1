"""Metrics of the confusion matrix, for one matrix or for a stack of replicates."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from medfl.learn.metrics.ranking import Counts, Reals, ratio

# What is counted over what: how often (tn, fp, fn, tp) each is in it.
SHARES = MappingProxyType(
    {
        "accuracy": ((1, 0, 0, 1), (1, 1, 1, 1)),
        "sensitivity": ((0, 0, 0, 1), (0, 0, 1, 1)),
        "specificity": ((1, 0, 0, 0), (1, 1, 0, 0)),
        "ppv": ((0, 0, 0, 1), (0, 1, 0, 1)),
        "npv": ((1, 0, 0, 0), (1, 0, 1, 0)),
        "f1": ((0, 0, 0, 2), (0, 1, 1, 2)),
        "prevalence": ((0, 0, 1, 1), (1, 1, 1, 1)),
    }
)
PARTS, WHOLES = np.array(list(SHARES.values())).swapaxes(0, 1)


def rates(confusion: Counts) -> dict[str, Reals]:
    """Return the metrics of binary confusion matrices; NaN where one is not defined.

    Parameters
    ----------
    confusion
        Shape (…, 2, 2): row is truth, column is prediction.
    """
    counts = confusion.reshape(-1, 4).T
    shares = ratio(PARTS @ counts, WHOLES @ counts)
    return dict(zip(SHARES, shares.reshape(-1, *confusion.shape[:-2]), strict=True))


def macro_rates(confusion: Counts) -> dict[str, Reals]:
    """Return accuracy, and each class against the rest averaged over the classes where that is defined.

    Parameters
    ----------
    confusion
        Shape (…, classes, classes): row is truth, column is prediction.
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    rows = confusion.sum(axis=(-2, -1))
    missed, false = confusion.sum(axis=-1) - right, confusion.sum(axis=-2) - right
    rest = rows[..., np.newaxis] - right - missed - false
    against_rest = rates(np.stack([np.stack([rest, false], -1), np.stack([missed, right], -1)], -2))
    macro = {name: macro_mean(against_rest[name]) for name in ("sensitivity", "specificity", "f1")}
    return {"accuracy": ratio(right.sum(axis=-1), rows), **macro}


def macro_mean(values: Reals) -> Reals:
    """Return the mean over the last axis of what is defined; NaN where nothing is."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))


def resampled(confusion: Counts, *, samples: int, generator: np.random.Generator) -> Counts:
    """Return bootstrap replicates of a confusion matrix, shape (samples, classes, classes)."""
    rows = int(confusion.sum())
    drawn: Counts = generator.multinomial(rows, confusion.ravel() / max(rows, 1), size=samples)
    return drawn.reshape(samples, *confusion.shape)
