"""One of two outcomes: what is counted, and what is read from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import expit

from medfl.learn.metrics import calibration, confusion, ranking, resampling
from medfl.learn.metrics.ranking import Counts, Reals
from medfl.learn.metrics.resampling import Interval
from medfl.learn.model import Floats
from medfl.learn.statistic import Statistic


def measure(scores: Floats, truth: Floats, *, threshold: float | None, brief: bool = False) -> Statistic:
    """Return the sums of these rows.

    Arrays: ``scores`` (histogram of logits by class), ``reliability`` and ``predicted`` (rows by class, sum of
    probabilities, in 20 equal bins of probability), ``losses`` (moments of squared error and log loss), ``confusion@t``
    at the threshold t. Only ``scores`` and ``losses`` where it is `brief`.
    """
    logits, labels = scores.astype(np.float64), (truth > 0.5).astype(np.int64)
    probabilities = expit(logits)
    squared_errors = (probabilities - labels) ** 2
    log_losses = np.log1p(np.exp(-np.abs(logits))) + np.maximum(logits, 0.0) - labels * logits
    arrays = {
        "scores": ranking.tally(ranking.bins(logits), labels, ranking.BINS),
        "losses": resampling.moments(squared_errors, log_losses),
    }
    if brief:
        return Statistic(arrays)
    shares = np.minimum((probabilities * calibration.SHARES).astype(np.int64), calibration.SHARES - 1)
    arrays["reliability"] = ranking.tally(shares, labels, calibration.SHARES)
    arrays["predicted"] = ranking.add_up(shares, probabilities, calibration.SHARES)
    if threshold is not None:
        called = (logits >= np.log(threshold) - np.log1p(-threshold)).astype(np.int64)
        arrays[_counted_at(threshold)] = ranking.tally(called, labels, 2)
    return Statistic(arrays)


def metrics(statistic: Statistic, *, threshold: float | None, brief: bool = False) -> dict[str, float]:
    """Return the metrics by name, NaN where one is not defined; AUC, Brier score and log loss where it is `brief`."""
    histogram, losses = statistic["scores"], statistic["losses"][0]
    brier, log_loss = ranking.ratio(losses[1:], losses[0])
    found: dict[str, Reals | float] = {"auc": ranking.auc(histogram), "brier": brier, "log_loss": log_loss}
    if not brief:
        used, counts = _operating_point(statistic, threshold)
        slope, intercept = calibration.recalibration(histogram)
        found = {
            "auc": found["auc"],
            "auprc": ranking.auprc(histogram),
            **confusion.rates(counts),
            "brier": brier,
            "log_loss": log_loss,
            "ece": calibration.calibration_error(statistic["reliability"], statistic["predicted"]),
            "calibration_slope": slope,
            "calibration_intercept": intercept,
            "threshold": used,
        }
    return {name: float(value) for name, value in found.items()}


def curves(statistic: Statistic) -> dict[str, Any]:
    """Return ROC, precision and recall, calibration, and the histogram of predicted probabilities by class."""
    histogram = statistic["scores"]
    edges = (np.arange(calibration.SHARES + 1) / calibration.SHARES).tolist()
    negatives, positives = statistic["reliability"].tolist()
    return {
        "roc": ranking.roc(histogram),
        "pr": ranking.precision_recall(histogram),
        "calibration": calibration.calibration_table(histogram),
        "histogram": [list(bar) for bar in zip(edges[:-1], edges[1:], negatives, positives, strict=True)],
    }


def intervals(
    statistic: Statistic, found: Mapping[str, float | None], *, samples: int, generator: np.random.Generator
) -> dict[str, Interval]:
    """Return the intervals by metric, around what was found."""
    _, counts = _operating_point(statistic, found.get("threshold"))
    sums = np.maximum(resampling.resampled_sums(statistic["losses"], samples=samples, generator=generator), 0.0)
    replicates = {
        **_resampled_scores(statistic["scores"], found, samples=samples, generator=generator),
        **confusion.rates(confusion.resampled(counts, samples=samples, generator=generator)),
        "brier": ranking.ratio(sums[:, 1], sums[:, 0]),
        "log_loss": ranking.ratio(sums[:, 2], sums[:, 0]),
    }
    return resampling.percentiles(replicates)


def _operating_point(statistic: Statistic, threshold: float | None) -> tuple[float, Counts]:
    """Return the probability used and the confusion matrix at it."""
    histogram = statistic["scores"]
    if threshold is not None:
        counts = statistic.arrays.get(_counted_at(threshold))
        # Sites that counted at another threshold would be missing in it.
        if counts is not None and counts.sum() == histogram.sum():
            return threshold, counts
    edge = ranking.youden(histogram) if threshold is None else ranking.edge_near(threshold)
    return float(expit(ranking.logits_at(np.array(edge)))), ranking.split_at(histogram, edge)


def _counted_at(threshold: float) -> str:
    return f"confusion@{float(threshold)!r}"


def _resampled_scores(
    histogram: Counts, found: Mapping[str, float | None], *, samples: int, generator: np.random.Generator
) -> Mapping[str, Reals]:
    """Return replicates of what is read from the score histogram."""
    slope, intercept = (_number(found.get(f"calibration_{name}")) for name in ("slope", "intercept"))
    filled = np.flatnonzero(histogram.any(axis=0))
    logits = ranking.logits_at(filled + 0.5)
    parts = []
    for block in resampling.resampled(histogram[:, filled], samples=samples, generator=generator):
        slopes, intercepts = calibration.recalibrations(block, logits, slope=slope, intercept=intercept)
        parts.append((ranking.auc(block), ranking.auprc(block), slopes, intercepts))
    names = ("auc", "auprc", "calibration_slope", "calibration_intercept")
    return dict(zip(names, map(np.concatenate, zip(*parts, strict=True)), strict=True))


def _number(value: float | None) -> float:
    return np.nan if value is None else value
