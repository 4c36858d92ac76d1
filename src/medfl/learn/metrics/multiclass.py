"""One of several outcomes: what is counted, and what is read from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medfl.learn.metrics import confusion, ranking, resampling
from medfl.learn.metrics.ranking import Counts, Reals
from medfl.learn.metrics.resampling import Interval
from medfl.learn.model import Floats
from medfl.learn.statistic import Statistic

# The spread of an AUC needs fewer bins than its value.
RESAMPLED_BINS = 512


def measure(scores: Floats, truth: Floats) -> Statistic:
    """Return the sums of these rows.

    Arrays: ``scores`` (for each class the histogram of its log-odds by whether it is the true one, shape (classes, 2,
    bins)), ``confusion`` (row: true class, column: highest score), ``losses`` (moments of squared error, summed over
    classes, and log loss).
    """
    logits, labels = np.ascontiguousarray(scores.T, np.float64), truth.astype(np.int64)
    size, rows = len(logits), np.arange(len(labels))
    of_class = (labels == np.arange(size)[:, np.newaxis]).astype(np.int64)
    logarithms, odds = _log_softmax(logits)
    squared_errors = ((np.exp(logarithms) - of_class) ** 2).sum(axis=0)
    binned = zip(ranking.bins(odds), of_class, strict=True)
    called = size * labels + logits.argmax(axis=0)
    return Statistic(
        {
            "scores": np.stack([ranking.tally(places, is_class, ranking.BINS) for places, is_class in binned]),
            "confusion": np.bincount(called, minlength=size * size).reshape(size, size),
            "losses": resampling.moments(squared_errors, -logarithms[labels, rows]),
        }
    )


def log_odds(logits: Reals) -> Reals:
    """Return each class's log-odds against the rest, shape (classes, rows), of logits of that shape."""
    return _log_softmax(logits)[1]


def metrics(statistic: Statistic) -> dict[str, float]:
    """Return the metrics by name, NaN where one is not defined."""
    rows, squared_errors, log_losses = statistic["losses"][0]
    found = {
        "auc": confusion.macro_mean(ranking.auc(statistic["scores"])),
        **confusion.macro_rates(statistic["confusion"]),
        "brier": ranking.ratio(squared_errors, rows),
        "log_loss": ranking.ratio(log_losses, rows),
    }
    return {name: float(value) for name, value in found.items()}


def curves(statistic: Statistic, classes: Sequence[str]) -> dict[str, Any]:
    """Return the confusion matrix and each class's ROC against the rest."""
    return {
        "classes": list(classes),
        "confusion": statistic["confusion"].tolist(),
        "roc": {name: ranking.roc(histogram) for name, histogram in zip(classes, statistic["scores"], strict=True)},
    }


def intervals(statistic: Statistic, *, samples: int, generator: np.random.Generator) -> dict[str, Interval]:
    """Return the intervals by metric."""
    sums = np.maximum(resampling.resampled_sums(statistic["losses"], samples=samples, generator=generator), 0.0)
    replicates = {
        "auc": _resampled_auc(statistic["scores"], samples=samples, generator=generator),
        **confusion.macro_rates(confusion.resampled(statistic["confusion"], samples=samples, generator=generator)),
        "brier": ranking.ratio(sums[:, 1], sums[:, 0]),
        "log_loss": ranking.ratio(sums[:, 2], sums[:, 0]),
    }
    return resampling.percentiles(replicates)


def _resampled_auc(histograms: Counts, *, samples: int, generator: np.random.Generator) -> Reals:
    """Return replicates of the macro AUC.

    Classes are resampled one by one, as their histograms do not say which rows they share. But a row that is taken for
    another class lowers the AUC of both: the variance of the mean is up to twice that of independent classes (with two
    classes exactly twice), so the spread is widened by √2.
    """
    coarse = histograms.reshape(-1, 2, RESAMPLED_BINS, ranking.BINS // RESAMPLED_BINS).sum(axis=-1)
    classes = []
    for histogram in coarse:
        blocks = resampling.resampled(histogram, samples=samples, generator=generator)
        classes.append(np.concatenate([ranking.auc(block) for block in blocks]))
    observed, centre = (confusion.macro_mean(ranking.auc(table)) for table in (histograms, coarse))
    spread = confusion.macro_mean(np.stack(classes, axis=-1)) - centre
    return np.asarray(np.clip(observed + np.sqrt(2.0) * spread, 0.0, 1.0))


def _log_softmax(logits: Reals) -> tuple[Reals, Reals]:
    """Return log probabilities and log-odds against the rest, shape (classes, rows); exact where one rounds to 1."""
    top = logits.argmax(axis=0), np.arange(logits.shape[1])
    shifted = logits - logits[top]
    # The top class's own term is 1; the others are summed without it, as they may vanish beside it.
    others = np.exp(shifted)
    others[top] = 0.0
    rest = others.sum(axis=0)
    odds = shifted - np.log1p(rest - others)
    odds[top] = -np.log(np.maximum(rest, np.finfo(np.float64).tiny))
    return shifted - np.log1p(rest), odds
