"""What the page's tables and figures show, read from the journals: values by repeat, and their estimates."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from medfl.store.comparison import Estimate, average_across, estimate, paired_test
from medfl.store.views import ExecutionView, RunView

SPECIFICITY = 0.9


def ways(view: ExecutionView) -> dict[str, tuple[RunView, ...]]:
    """Return the runs of each way of learning: alone, every arm, centralised."""
    ends = {name: view.baseline(role) for name, role in (("alone", "local-only"), ("centralised", "centralised"))}
    return {"alone": ends["alone"], **view.arms, "centralised": ends["centralised"]}


def pooled(runs: Sequence[RunView], metric: str) -> Estimate | None:
    """Estimate a metric over all sites' test rows, over the repeats."""
    return estimate([value for run in runs if (value := run.metrics.get(metric)) is not None])


def of_sites(runs: Sequence[RunView], metric: str) -> Estimate | None:
    """Estimate the unweighted mean over the sites."""
    return average_across(runs, metric)


def of_worst(runs: Sequence[RunView], metric: str) -> Estimate | None:
    """Estimate the worst site's value, whichever site it is in each repeat."""
    return estimate([min(values) for run in runs if (values := _by_site(run, metric))])


def sensitivity(runs: Sequence[RunView]) -> Estimate | None:
    """Estimate the sensitivity at the threshold that gives a specificity of 90 %, read from the pooled ROC."""
    found = []
    for run in runs:
        points = (run.final.curves or {}).get("roc") if run.final else None
        if points:
            false, true, _ = np.array(points).T
            found.append(float(np.interp(1.0 - SPECIFICITY, false, true)))
    return estimate(found)


def after(runs: Sequence[RunView], round: int, metric: str = "auc") -> Estimate | None:
    """Estimate a metric of the model that a round ended with; the last round where it is -1."""
    found = []
    for run in runs:
        judged = {line.round: line.metrics.get(metric) for line in run.table if line.metrics}
        value = judged.get(max(judged) if round < 0 else round) if judged else None
        if value is not None:
            found.append(value)
    return estimate(found)


def course(runs: Sequence[RunView], metric: str = "auc") -> tuple[list[int], list[Estimate]]:
    """Return the rounds and the estimate after each."""
    rounds = sorted({line.round for run in runs for line in run.table if line.metrics.get(metric) is not None})
    found = [(round, known) for round in rounds if (known := after(runs, round, metric)) is not None]
    return [round for round, _ in found], [known for _, known in found]


def difference(first: Sequence[RunView], second: Sequence[RunView], *, sites: bool = False) -> Estimate | None:
    """Estimate the difference in AUC over shared seeds, with the interval for overlapping splits.

    The variance of the mean is s² (1/n + n_test/n_train) (Nadeau & Bengio 2003, eq. 9), as in MEDfl's own reports.
    """
    return paired_test(first, second, metric="auc", scope="average of sites" if sites else "pooled").difference


def seconds(runs: Sequence[RunView]) -> float:
    """Return the median wall time of a run, in seconds."""
    return float(np.median([run.seconds for run in runs]))


def spread(runs: Sequence[RunView], metric: str = "auc") -> float | None:
    """Return the mean over repeats of the range over sites."""
    ranges = [max(values) - min(values) for run in runs if (values := _by_site(run, metric))]
    return fmean(ranges) if ranges else None


def _by_site(run: RunView, metric: str) -> list[float]:
    judged = run.final.sites.values() if run.final else ()
    return [value for metrics in judged if (value := metrics.get(metric)) is not None]
