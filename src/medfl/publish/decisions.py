"""What a threshold does: who is called positive at it, and whether acting on the model helps more than it harms.

All of it is read from the pooled ROC curve that a judged run has stored: at each of its thresholds the shares of the
rows with and without the outcome that reach it. A curve that was thinned to its 201 points is off by no more than the
step between two of them; at the threshold that the study used, the counts are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfl.publish.figures import Line, Numbers
from medfl.publish.ways import ALONE, Mark, Way, ways
from medfl.store.views import ExecutionView, RunView

GRID = np.arange(1, 100) / 100
"""Thresholds of the decision curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moving:
    """The pooled ROC of one run, to move the threshold along.

    Parameters
    ----------
    mark, run, seed
        Whose it is.
    thresholds, sensitivity, specificity
        Its points, from the highest threshold to the lowest: probability from which a row counts as positive.
    positives, negatives
        Test rows with and without the outcome.
    used
        The threshold that the study used.
    """

    mark: Mark
    run: str
    seed: int
    thresholds: tuple[float, ...]
    sensitivity: tuple[float, ...]
    specificity: tuple[float, ...]
    positives: int
    negatives: int
    used: float | None


def movings(execution: ExecutionView) -> tuple[Moving, ...]:
    """Return what the threshold moves along: each way's first repeat; nothing unless the outcome is yes or no."""
    return tuple(
        found for way in _judged(execution) if way.finished and (found := moving(way.mark, way.finished[0])) is not None
    )


def moving(mark: Mark, run: RunView) -> Moving | None:
    """Return what the threshold of a run moves along; None where it has no ROC curve."""
    curves = (run.final.curves or {}) if run.final is not None else {}
    points, bars = curves.get("roc"), curves.get("histogram")
    if not isinstance(points, list | tuple) or not points or not bars:
        return None
    table = np.asarray(points, np.float64)[:, [2, 1, 0]]
    table[:, 2] = 1.0 - table[:, 2]
    used = run.metrics.get("threshold")
    table = _with_the_one_used(table, run, used)
    thresholds, sensitivity, specificity = (tuple(map(float, column)) for column in table.T)
    return Moving(
        mark=mark,
        run=run.run,
        seed=run.seed,
        thresholds=thresholds,
        sensitivity=sensitivity,
        specificity=specificity,
        positives=round(sum(bar[3] for bar in bars)),
        negatives=round(sum(bar[2] for bar in bars)),
        used=used,
    )


def _with_the_one_used(table: NDArray[np.float64], run: RunView, used: float | None) -> NDArray[np.float64]:
    """Put in the study's own operating point, which was counted at the sites, so that it is met exactly."""
    sensitivity, specificity = (run.metrics.get(name) for name in ("sensitivity", "specificity"))
    if used is None or sensitivity is None or specificity is None or used in table[:, 0]:
        return table
    return np.insert(table, int(np.count_nonzero(table[:, 0] > used)), [used, sensitivity, specificity], axis=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionCurve:
    """Net benefit by the threshold at which somebody would be treated.

    Parameters
    ----------
    lines
        One a way of learning; the mean over the repeats and their range.
    everyone
        Net benefit of treating everybody, over the same thresholds; treating nobody gives 0.
    thresholds
        Those thresholds.
    used
        The threshold that the study used, where all ways used the same.
    """

    lines: tuple[Line, ...]
    everyone: Numbers
    thresholds: Numbers
    used: float | None


def decision_curve(execution: ExecutionView) -> DecisionCurve | None:
    """Return the decision curve of each arm and of the centralised model (Vickers & Elkin 2006, equation 1).

    At a threshold t, net benefit is TP/n − FP/n · t/(1 − t): a false alarm weighs against a patient found as whoever
    chose t weighs them. None unless the outcome is yes or no.
    """
    found = [(way, [one for run in way.finished if (one := moving(way.mark, run))]) for way in _judged(execution)]
    known = [(way, each) for way, each in found if each]
    if not known:
        return None
    # A way that was judged on other patients, without a site that was left out, has another share of positives.
    rows = {(one.positives, one.negatives) for one in known[0][1]}
    known = [(way, each) for way, each in known if {(one.positives, one.negatives) for one in each} <= rows]
    share = np.mean([one.positives / (one.positives + one.negatives) for one in known[0][1]])
    used = {one.used for _, each in known for one in each}
    return DecisionCurve(
        lines=tuple(_line(way.mark, each) for way, each in known),
        everyone=tuple(map(float, share - (1.0 - share) * _odds())),
        thresholds=tuple(map(float, GRID)),
        used=used.pop() if len(used) == 1 else None,
    )


def _judged(execution: ExecutionView) -> Iterator[Way]:
    return (way for way in ways(execution) if way.mark != ALONE)


def _line(mark: Mark, each: list[Moving]) -> Line:
    stacked = np.array([_net_benefit(one) for one in each])
    x, y = tuple(map(float, GRID)), tuple(map(float, stacked.mean(axis=0)))
    if len(each) == 1:
        return Line(mark=mark, name=mark.label, x=x, y=y)
    low, high = (tuple(map(float, side)) for side in (stacked.min(axis=0), stacked.max(axis=0)))
    return Line(mark=mark, name=mark.label, x=x, y=y, low=low, high=high)


def _net_benefit(one: Moving) -> NDArray[np.float64]:
    """Return the net benefit over the grid."""
    # The operating point of the lowest known threshold that is not below the one asked for.
    place = np.searchsorted(-np.array(one.thresholds), -GRID, side="right") - 1
    true = np.array(one.sensitivity)[place] * one.positives
    false = (1.0 - np.array(one.specificity)[place]) * one.negatives
    return (true - false * _odds()) / (one.positives + one.negatives)


def _odds() -> NDArray[np.float64]:
    return GRID / (1.0 - GRID)
