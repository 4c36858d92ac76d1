"""Curves as numbers: ROC, precision and recall, calibration, confusion matrix, over the repeats of a way of learning.

What a judged run holds of each is described in :func:`medfl.learn.metrics.judge.curves`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medfl.publish.figures import Line, Numbers
from medfl.publish.ways import ALONE, Mark, Way, ways
from medfl.store.comparison import Estimate, across
from medfl.store.views import ExecutionView

Reals: TypeAlias = NDArray[np.float64]

FALSE_POSITIVE_GRID = np.union1d(np.linspace(0, 0.05, 26), np.linspace(0, 1, 101))
RECALL_GRID = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operating:
    """Where a way of learning works on its ROC curve: sensitivity and 1 − specificity at its threshold."""

    mark: Mark
    sensitivity: Estimate
    specificity: Estimate
    threshold: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Roc:
    """ROC curves of one question ("yes", or one class against the rest), with operating points."""

    title: str
    lines: tuple[Line, ...]
    points: tuple[Operating, ...] = ()


def rocs(execution: ExecutionView) -> tuple[Roc, ...]:
    """Return one figure for a binary outcome, one a class for several, none for regression."""
    judged = [way for way in ways(execution) if way.mark != ALONE and any(_curves(way, "roc"))]
    if not judged:
        return ()
    first = next(curve for curve in _curves(judged[0], "roc") if curve)
    if isinstance(first, Mapping):
        return tuple(
            Roc(title=f"{name} against the rest", lines=tuple(_roc_line(way, name) for way in judged)) for name in first
        )
    lines = tuple(_roc_line(way) for way in judged)
    return (Roc(title="ROC curve", lines=lines, points=tuple(chain.from_iterable(map(_operating, judged)))),)


def _roc_line(way: Way, name: str = "") -> Line:
    curves = [curve[name] if name else curve for curve in _curves(way, "roc") if curve]
    tables = [np.asarray(curve, np.float64)[:, :2] for curve in curves if len(curve)]
    if len(tables) == 1:
        x, y = tables[0].T
        return Line(mark=way.mark, name=way.mark.label, x=_floats(x), y=_floats(y))
    # Vertical averaging (Fawcett 2006, algorithm 3): sensitivity over the repeats at each false positive rate.
    stacked = np.array([np.interp(FALSE_POSITIVE_GRID, *table.T) for table in tables]).reshape(len(tables), -1)
    return _from_origin(way.mark, stacked)


def _from_origin(mark: Mark, stacked: Reals) -> Line:
    if not len(stacked):
        return Line(mark=mark, name=mark.label, x=(), y=())
    mean, low, high = ((0.0, *_floats(part)) for part in (stacked.mean(0), stacked.min(0), stacked.max(0)))
    return Line(mark=mark, name=mark.label, x=(0.0, *_floats(FALSE_POSITIVE_GRID)), y=mean, low=low, high=high)


def _operating(way: Way) -> Iterable[Operating]:
    sensitivity, specificity = across(way.finished, "sensitivity"), across(way.finished, "specificity")
    if sensitivity is not None and specificity is not None:
        threshold = across(way.finished, "threshold")
        mean = threshold.mean if threshold else None
        yield Operating(mark=way.mark, sensitivity=sensitivity, specificity=specificity, threshold=mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionRecall:
    """Precision at each recall; guessing gives the prevalence."""

    lines: tuple[Line, ...]
    prevalence: float | None


def precision_recall(execution: ExecutionView) -> PrecisionRecall | None:
    """Return the curves of the arms and the centralised model; None where there are none."""
    judged = [way for way in ways(execution) if any(_curves(way, "pr"))]
    if not judged:
        return None
    prevalence = across(judged[0].finished, "prevalence")
    return PrecisionRecall(lines=tuple(map(_pr_line, judged)), prevalence=prevalence.mean if prevalence else None)


def _pr_line(way: Way) -> Line:
    tables = [np.asarray(curve, np.float64) for curve in _curves(way, "pr") if curve]
    if len(tables) == 1:
        x, y = tables[0].T
        return Line(mark=way.mark, name=way.mark.label, x=_floats(x), y=_floats(y))
    stacked = np.array([np.interp(RECALL_GRID, *table.T) for table in tables])
    mean, low, high = (_floats(part) for part in (stacked.mean(0), stacked.min(0), stacked.max(0)))
    return Line(mark=way.mark, name=way.mark.label, x=_floats(RECALL_GRID), y=mean, low=low, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Predicted beside observed, in bins of what was predicted.

    Parameters
    ----------
    predicted, observed, rows
        Mean prediction, what was observed, and rows of each bin (their mean over the repeats).
    low, high
        95 % limits of what was observed, for one repeat; for several, smallest and largest of them.
    edges, negatives, positives
        Histogram of the predicted probability: edges of its bins, rows without and with the outcome. Empty for
        regression.
    slope, intercept
        Of the recalibration, where they are defined.
    """

    mark: Mark
    predicted: Numbers
    observed: Numbers
    rows: Numbers
    low: Numbers
    high: Numbers
    edges: Numbers = ()
    negatives: Numbers = ()
    positives: Numbers = ()
    slope: Estimate | None = None
    intercept: Estimate | None = None


def calibrations(execution: ExecutionView) -> tuple[Calibration, ...]:
    """Return one figure for each arm and for the centralised model, where they were judged by it."""
    return tuple(_calibration(way) for way in ways(execution) if any(_curves(way, "calibration")))


def _calibration(way: Way) -> Calibration:
    tables = [np.asarray(table, np.float64) for table in _curves(way, "calibration") if table]
    predicted, observed, rows, low, high = (tables[0] if len(tables) == 1 else _merged(tables)).T
    edges, negatives, positives = _histogram(way)
    return Calibration(
        mark=way.mark,
        predicted=_floats(predicted),
        observed=_floats(observed),
        rows=_floats(rows),
        low=_floats(low),
        high=_floats(high),
        edges=edges,
        negatives=negatives,
        positives=positives,
        slope=across(way.finished, "calibration_slope"),
        intercept=across(way.finished, "calibration_intercept"),
    )


def _merged(tables: Sequence[Reals]) -> Reals:
    """Join the groups of several repeats by their rank: predicted and observed are means weighted by rows."""
    every = np.concatenate(tables)
    rank = np.concatenate([(np.arange(len(table)) + 0.5) / len(table) for table in tables])
    place = (rank * max(len(table) for table in tables)).astype(np.int64)
    return np.array([_joined(every[place == group], len(tables)) for group in np.unique(place)])


def _joined(groups: Reals, repeats: int) -> tuple[float, ...]:
    predicted, observed = np.average(groups[:, :2], axis=0, weights=groups[:, 2])
    return predicted, observed, groups[:, 2].sum() / repeats, groups[:, 1].min(), groups[:, 1].max()


def _histogram(way: Way) -> tuple[Numbers, Numbers, Numbers]:
    tables = [np.asarray(table, np.float64) for table in _curves(way, "histogram") if table]
    if not tables or len({table.shape for table in tables}) > 1:
        return (), (), ()
    table = np.mean(tables, axis=0)
    return (*_floats(table[:, 0]), float(table[-1, 1])), _floats(table[:, 2]), _floats(table[:, 3])


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """True class by predicted class, in rows (their mean over the repeats)."""

    mark: Mark
    classes: tuple[str, ...]
    rows: tuple[Numbers, ...]


def confusions(execution: ExecutionView) -> tuple[Confusion, ...]:
    """Return the confusion matrix of each arm and of the centralised model, for outcomes of several classes."""
    return tuple(_confusion(way) for way in ways(execution) if any(_curves(way, "confusion")))


def _confusion(way: Way) -> Confusion:
    mean = np.mean([np.asarray(matrix, np.float64) for matrix in _curves(way, "confusion") if matrix], axis=0)
    classes = next(classes for classes in _curves(way, "classes") if classes)
    return Confusion(mark=way.mark, classes=tuple(classes), rows=tuple(_floats(row) for row in mean))


def _curves(way: Way, name: str) -> list[Any]:
    """Return one kind of curve of every judged run, as the journal holds it; None where it has none."""
    return [(run.final.curves or {}).get(name) for run in way.finished if run.final is not None]


def _floats(values: Reals) -> Numbers:
    return tuple(float(value) for value in values)
