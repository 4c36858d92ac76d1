"""Whether the federation is worse than all rows in one place by less than a margin that was set before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtr, stdtrit

from medfl.spec.metrics import METRICS
from medfl.store.comparison import CONFIDENCE, Comparison, comparisons
from medfl.store.views import ExecutionView

Verdict = Literal["non-inferior", "inferior", "not shown", "not tested"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NonInferiority:
    """One arm against all rows in one place.

    Parameters
    ----------
    comparison
        The difference, arm minus centralised, with its 95 % interval.
    margin
        How much worse is still good enough, in the metric's unit.
    verdict
        Non-inferior where the whole interval is better than the margin, inferior where all of it is worse, not shown
        where the margin lies inside; not tested without an interval.
    p
        One-sided p-value of the hypothesis that the arm is worse by the margin or more; below 0.025 exactly where the
        verdict is non-inferior.
    """

    comparison: Comparison
    margin: float
    verdict: Verdict
    p: float | None = None


def noninferiority(execution: ExecutionView, metric: str) -> tuple[NonInferiority, ...]:
    """Test each arm that sets a margin: one-sided at 2.5 %, by the 95 % interval of the paired difference.

    The interval is that of :func:`medfl.store.comparison.paired_test`, corrected for overlapping repeats. Arms are
    tested one by one: there is no correction for their number.
    """
    return tuple(_tests(execution, metric))


def _tests(execution: ExecutionView, metric: str) -> Iterator[NonInferiority]:
    for result in comparisons(execution, metric):
        if result.second != "centralised":
            continue
        margin = execution.arms[result.first][0].asked("evaluation").get("margin")
        if margin is not None:
            yield _judged(result, float(margin))


def _judged(result: Comparison, margin: float) -> NonInferiority:
    better, found = METRICS[result.metric].higher_is_better if result.metric in METRICS else None, result.difference
    if better is None or result.p is None or found is None or found.low is None or found.high is None:
        return NonInferiority(comparison=result, margin=margin, verdict="not tested")
    sign = 1.0 if better else -1.0
    worst, best = sorted((sign * found.low, sign * found.high))
    verdict: Verdict = "non-inferior" if worst > -margin else "inferior" if best < -margin else "not shown"
    error = (found.high - found.low) / 2.0 / float(stdtrit(found.n - 1, (1.0 + CONFIDENCE) / 2.0))
    p = float(stdtr(found.n - 1, -(sign * found.mean + margin) / error))
    return NonInferiority(comparison=result, margin=margin, verdict=verdict, p=p)
