"""The front door: what a site counts, and what the hub reads from the sum of the counts.

A site measures; statistics add up; metrics, curves and intervals are read from one site's statistic or from the pooled
sum alike. No row leaves a site for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from medfl.errors import DivergedError
from medfl.learn.metrics import binary, multiclass, regression
from medfl.learn.metrics.resampling import Interval
from medfl.learn.model import Floats, Outcome
from medfl.learn.statistic import Statistic


def measure(
    outcome: Outcome, scores: Floats, truth: Floats, *, threshold: float | None = 0.5, brief: bool = False
) -> Statistic:
    """Return everything that metrics, curves and intervals need of these rows, as sums.

    Parameters
    ----------
    outcome
        What is predicted.
    scores
        Logits, shape (rows,) for binary or (rows, classes); for regression the predicted number, shape (rows,), in the
        outcome's own unit.
    truth
        Shape (rows,): 0 or 1; the class index; or the number in the outcome's own unit.
    threshold
        Probability from which a row counts as positive, for binary outcomes; None where it is chosen later, from the
        pooled ROC.
    brief
        Only what metrics between rounds are read from: of binary outcomes AUC, Brier score and log loss; of numbers
        all, but no curves.

    Raises
    ------
    DivergedError
        If a score is infinite or not a number.
    """
    if not np.isfinite(scores).all():
        raise DivergedError(
            "the model's scores are not finite",
            where="evaluation",
            received=f"{np.count_nonzero(~np.isfinite(scores))} of {scores.size} scores are infinite or not a number",
            remedy="lower training.learning_rate, or set training.clip_norm",
        )
    match outcome.kind:
        case "binary":
            return binary.measure(scores, truth, threshold=threshold, brief=brief)
        case "multiclass":
            return multiclass.measure(scores, truth)
        case "regression":
            return regression.measure(scores, truth, brief=brief)


def metrics(
    outcome: Outcome, statistic: Statistic, *, threshold: float | None = 0.5, brief: bool = False
) -> dict[str, float | None]:
    """Return the metrics by name (see :data:`medfl.spec.metrics.METRICS`); None where one is not defined, never NaN.

    Parameters
    ----------
    outcome
        What is predicted.
    statistic
        One site's, or a sum of several.
    threshold
        For binary outcomes. If the sites counted at this probability, the counts are exact; any other is moved to the
        nearest edge of the score histogram, and None to the edge where Youden's index is largest. The metric
        ``threshold`` says what was used; given back, it means the same edge again.
    brief
        For binary outcomes: AUC, Brier score and log loss only, as between rounds.
    """
    match outcome.kind:
        case "binary":
            found = binary.metrics(_complete(outcome, statistic), threshold=threshold, brief=brief)
        case "multiclass":
            found = multiclass.metrics(_complete(outcome, statistic))
        case "regression":
            found = regression.metrics(_complete(outcome, statistic))
    return {name: value if isfinite(value) else None for name, value in found.items()}


def curves(outcome: Outcome, statistic: Statistic) -> dict[str, Any]:
    """Return points to draw, ready for JSON.

    Binary: ``roc`` [[fpr, tpr, threshold]…], ``pr`` [[recall, precision]…], ``calibration`` [[mean predicted, observed,
    rows, low, high]…] and ``histogram`` [[from, to, negatives, positives]…] over predicted probability. Multiclass:
    ``classes``, ``confusion`` (row: true class, column: predicted) and ``roc`` by class, each against the rest.
    Regression: ``calibration``, as above in the outcome's unit. Low and high are 95 % limits of what was observed.
    """
    match outcome.kind:
        case "binary":
            return binary.curves(_complete(outcome, statistic))
        case "multiclass":
            return multiclass.curves(_complete(outcome, statistic), outcome.classes)
        case "regression":
            return regression.curves(_complete(outcome, statistic))


def intervals(
    outcome: Outcome,
    statistic: Statistic,
    found: Mapping[str, float | None],
    *,
    samples: int,
    generator: np.random.Generator,
) -> dict[str, Interval]:
    """Return 95 % bootstrap percentile intervals, from the statistic alone.

    `found` is what :func:`metrics` read from the same statistic: the threshold is held where it was put. A metric
    without an interval is left out: one that is not defined, ``threshold`` itself, and ``ece``, which resampling can
    only push up.
    """
    if not samples:
        return {}
    complete = _complete(outcome, statistic)
    match outcome.kind:
        case "binary":
            return binary.intervals(complete, found, samples=samples, generator=generator)
        case "multiclass":
            return multiclass.intervals(complete, samples=samples, generator=generator)
        case "regression":
            return regression.intervals(complete, samples=samples, generator=generator)


def _complete(outcome: Outcome, statistic: Statistic) -> Statistic:
    """Return the statistic, or for the empty one (zero) the same zero written out."""
    if statistic.arrays:
        return statistic
    shape = (0, outcome.scores) if outcome.kind == "multiclass" else (0,)
    return measure(outcome, np.zeros(shape, np.float32), np.zeros(0, np.float32), threshold=None)
