"""The table a study is told by: each site alone, federated, centralised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import stdev
from typing import Literal

from medfl.spec.metrics import METRICS
from medfl.store.comparison import Estimate, across, average_across
from medfl.store.views import ExecutionView, RunView

HEADLINE = ("auc", "accuracy", "sensitivity", "specificity", "rmse", "mae", "r2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the results.

    Parameters
    ----------
    learned
        "alone" (local-only), "federated", "fine-tuned" (each site's copy of the federated model) or "centralised".
    arm
        The arm's name; empty for a baseline.
    scope
        Judged at one site, on all sites' test rows together, or as the unweighted mean over the sites.
    site
        The site's name; empty unless scope is "site".
    worst
        Whether this is the site that does worst of its group, by the first metric.
    estimates
        By metric; a metric that is not defined is absent.
    """

    learned: Literal["alone", "federated", "fine-tuned", "centralised"]
    arm: str = ""
    scope: Literal["site", "average of sites", "pooled"] = "site"
    site: str = ""
    worst: bool = False
    estimates: Mapping[str, Estimate]


def results_table(execution: ExecutionView, metrics: Sequence[str] | None = None) -> tuple[Row, ...]:
    """Return each site alone, each arm and the centralised model: by site, their mean, and pooled.

    `metrics` are the headline ones where they are left out.
    """
    wanted = tuple(metrics) if metrics is not None else headline(execution)
    groups = [
        (Row(learned="alone", estimates={}), execution.baseline("local-only")),
        *((Row(learned="federated", arm=arm, estimates={}), runs) for arm, runs in execution.arms.items()),
        *((Row(learned="fine-tuned", arm=runs[0].arm, estimates={}), runs) for runs in execution.fine_tuned.values()),
        (Row(learned="centralised", estimates={}), execution.baseline("centralised")),
    ]
    return tuple(row for kind, runs in groups for row in _rows(kind, runs, wanted))


def headline(execution: ExecutionView) -> tuple[str, ...]:
    """Return those of the headline metrics that the execution's runs have, in that order."""
    judged = [run.final for run in (*execution.runs, *execution.baselines) if run.final is not None]
    known = {name for final in judged for metrics in (final.pooled, *final.sites.values()) for name in metrics}
    return tuple(name for name in HEADLINE if name in known)


def worst_site(runs: Sequence[RunView], metric: str) -> tuple[str, Estimate] | None:
    """Return the site with the worst mean of a metric over the repeats; None where no site has it, or none is worse."""
    better = METRICS[metric].higher_is_better if metric in METRICS else None
    found = [(site, estimate) for site in _sites(runs) if (estimate := across(runs, metric, site=site)) is not None]
    if better is None or not found:
        return None
    return (min if better else max)(found, key=lambda pair: pair[1].mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstSite:
    """How a way of learning serves the site that it serves worst, and how unlike the sites are.

    Parameters
    ----------
    site, worst
        The site, and the metric there with its interval. It was chosen for its number, which is therefore somewhat too
        bad: of several noisy numbers the lowest is low by chance as well.
    best
        The best site's metric.
    range, sd
        Best and worst apart, and standard deviation over the sites (0 of one site); of means over the repeats.
    sites
        Sites where the metric is defined.
    """

    site: str
    worst: Estimate
    best: float
    range: float
    sd: float
    sites: int


def worst_sites(runs: Sequence[RunView], metric: str) -> WorstSite | None:
    """Return the site that some runs, one a repeat, serve worst; None where no site is worse than another."""
    worst = worst_site(runs, metric)
    if worst is None:
        return None
    found = [estimate for site in _sites(runs) if (estimate := across(runs, metric, site=site)) is not None]
    values = [estimate.mean for estimate in found]
    best = max(values, key=lambda value: abs(value - worst[1].mean))
    return WorstSite(
        site=worst[0],
        worst=worst[1],
        best=best,
        range=abs(best - worst[1].mean),
        sd=stdev(values) if len(values) > 1 else 0.0,
        sites=len(values),
    )


def _rows(kind: Row, runs: Sequence[RunView], metrics: Sequence[str]) -> Iterator[Row]:
    worst = worst_site(runs, metrics[0]) if metrics else None
    for site in _sites(runs):
        found = {metric: across(runs, metric, site=site) for metric in metrics}
        yield replace(kind, site=site, worst=worst is not None and worst[0] == site, estimates=_defined(found))
    if average := _defined({metric: average_across(runs, metric) for metric in metrics}):
        yield replace(kind, scope="average of sites", estimates=average)
    if pooled := _defined({metric: across(runs, metric) for metric in metrics}):
        yield replace(kind, scope="pooled", estimates=pooled)


def _defined(estimates: Mapping[str, Estimate | None]) -> dict[str, Estimate]:
    return {metric: estimate for metric, estimate in estimates.items() if estimate is not None}


def _sites(runs: Sequence[RunView]) -> tuple[str, ...]:
    """Return the sites that were judged, in the runs' own order."""
    return tuple(dict.fromkeys(site for run in runs if run.final is not None for site in run.final.sites))
