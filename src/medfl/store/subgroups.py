"""Metrics by group of patients, over repeats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from medfl.store.comparison import Estimate, across, estimate
from medfl.store.views import RunView

SITE = "site"
"""The grouping that always is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group of patients, over all sites that may show it.

    Parameters
    ----------
    grouping, group
        Their names.
    rows
        Test rows behind the numbers, as a mean over the repeats; None where the group is suppressed everywhere.
    estimates
        By metric; a metric that is not defined is absent.
    suppressed
        Sites where, in some repeat, the group may not be shown: it or another one is too small there.
    """

    grouping: str
    group: str
    rows: int | None
    estimates: Mapping[str, Estimate]
    suppressed: tuple[str, ...]


def subgroups(runs: Sequence[RunView], metrics: Sequence[str]) -> tuple[Group, ...]:
    """Return the groups of some runs, one a repeat; sites are no part of it, see :func:`by_site`."""
    judged = [entry for run in runs if run.final is not None for entry in run.final.subgroups]
    names = dict.fromkeys((entry["grouping"], group["group"]) for entry in judged for group in entry["groups"])
    return tuple(_group(judged, grouping, group, metrics) for grouping, group in names)


def by_site(runs: Sequence[RunView], metrics: Sequence[str]) -> Iterator[Group]:
    """Yield each site as a group."""
    for name, site in (runs[0].sites if runs else {}).items():
        found = {metric: across(runs, metric, site=name) for metric in metrics}
        known = {metric: one for metric, one in found.items() if one is not None}
        yield Group(grouping=SITE, group=name, rows=site.test_rows, estimates=known, suppressed=())


def withheld(runs: Sequence[RunView]) -> Mapping[str, tuple[str, ...]]:
    """Return for each grouping the sites that showed no group of it in some repeat; only groupings with any."""
    found: dict[str, dict[str, None]] = {}
    for entry in (entry for run in runs if run.final is not None for entry in run.final.subgroups):
        found.setdefault(entry["grouping"], {}).update(dict.fromkeys(entry["withheld"]))
    return {grouping: tuple(sorted(sites)) for grouping, sites in found.items() if sites}


def _group(judged: Sequence[Mapping[str, Any]], grouping: str, name: str, metrics: Sequence[str]) -> Group:
    told = [one for entry in judged if entry["grouping"] == grouping for one in entry["groups"] if one["group"] == name]
    rows = [one["rows"] for one in told if one["rows"] is not None]
    found = {metric: _estimate(told, metric) for metric in metrics}
    return Group(
        grouping=grouping,
        group=name,
        rows=round(fmean(rows)) if rows else None,
        estimates={metric: one for metric, one in found.items() if one is not None},
        suppressed=tuple(sorted({site for one in told for site in one["suppressed"]})),
    )


def _estimate(told: Sequence[Mapping[str, Any]], metric: str) -> Estimate | None:
    """Return mean and t-interval over the repeats; of one repeat its bootstrap interval."""
    known = [one for one in told if one["metrics"].get(metric) is not None]
    if len(known) == 1 and metric in known[0]["intervals"]:
        low, high = known[0]["intervals"][metric]
        return Estimate(known[0]["metrics"][metric], low, high, 1, "bootstrap")
    return estimate([one["metrics"][metric] for one in known])
