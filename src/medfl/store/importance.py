"""How much each feature matters to a model: what shuffling it costs, over repeats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from medfl.spec.metrics import METRICS
from medfl.store.comparison import Estimate, estimate, over_draws
from medfl.store.views import RunView


@dataclass(frozen=True, slots=True)
class Importance:
    """One feature.

    Parameters
    ----------
    feature
        Its name.
    cost
        How much worse the metric is with the feature shuffled: positive for a feature that the model uses well, whether
        more or less of the metric is better. With several repeats of the study the interval is over these; with one it
        is over the shufflings.
    """

    feature: str
    cost: Estimate


def importance(runs: Sequence[RunView], metric: str) -> tuple[Importance, ...]:
    """Return the features of some runs, one a repeat, the one whose shuffling costs most first.

    A feature for which the metric was not defined is left out.
    """
    costs: dict[str, list[list[float]]] = {}
    for run in runs:
        for feature, found in _costs(run, metric):
            costs.setdefault(feature, []).append(found)
    estimates = [Importance(feature, one) for feature, each in costs.items() if (one := _estimate(each)) is not None]
    return tuple(sorted(estimates, key=lambda one: (-one.cost.mean, one.feature)))


def _costs(run: RunView, metric: str) -> Iterator[tuple[str, list[float]]]:
    """Yield for each feature what each shuffling cost."""
    whole = run.final.pooled.get(metric) if run.final else None
    if run.final is None or whole is None:
        return
    lower_is_better = metric in METRICS and METRICS[metric].higher_is_better is False
    sign = -1.0 if lower_is_better else 1.0
    for entry in run.final.importance:
        known = [value for value in entry["metrics"].get(metric, ()) if value is not None]
        if known:
            yield entry["feature"], [sign * (whole - value) for value in known]


def _estimate(each: Sequence[Sequence[float]]) -> Estimate | None:
    if len(each) == 1:
        return over_draws(each[0], how="shufflings")
    return estimate([fmean(values) for values in each])
