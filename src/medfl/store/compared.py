"""What ``--json`` prints of comparisons: every number of them, by the study's first metric or by all headline ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from medfl.store.comparison import Comparison, Estimate, comparisons
from medfl.store.contributions import Contributions, contributions
from medfl.store.importance import importance
from medfl.store.noninferiority import noninferiority
from medfl.store.results import headline, worst_sites
from medfl.store.subgroups import Group, by_site, subgroups, withheld
from medfl.store.views import ExecutionView, RunView


def told(execution: ExecutionView) -> dict[str, Any]:
    """Return one list for each kind of comparison, empty where there is none."""
    metrics = headline(execution)
    first = next(iter(metrics), "")
    return {
        "comparisons": [_comparison(result) for metric in metrics for result in comparisons(execution, metric)],
        "noninferiority": [
            _comparison(one.comparison) | {"margin": one.margin, "verdict": one.verdict, "p_one_sided": one.p}
            for one in noninferiority(execution, first)
        ],
        "worst_sites": [
            {
                "way": way,
                "metric": first,
                "site": one.site,
                **_estimate(one.worst),
                "best": one.best,
                "range": one.range,
                "sd": one.sd,
            }
            for way, runs in _ways(execution)
            if (one := worst_sites(runs, first)) is not None
        ],
        "subgroups": [entry for way, runs in _ways(execution) for entry in _groups(way, runs, metrics)],
        "contributions": [_contributions(one) for one in contributions(execution, first)],
        "importance": [
            {"way": way, "metric": first, "feature": one.feature, **_estimate(one.cost)}
            for way, runs in _ways(execution)
            for one in importance(runs, first)
        ],
    }


def _ways(execution: ExecutionView) -> Iterator[tuple[str, Sequence[RunView]]]:
    every = {
        **execution.arms,
        **execution.fine_tuned,
        **{role: execution.baseline(role) for role in ("centralised", "local-only")},
    }
    for way, runs in every.items():
        if judged := [run for run in runs if run.final is not None]:
            yield way, judged


def _estimate(found: Estimate | None) -> dict[str, Any]:
    if found is None:
        return {"value": None, "low": None, "high": None, "n": 0, "interval": None}
    return {"value": found.mean, "low": found.low, "high": found.high, "n": found.n, "interval": found.how}


def _comparison(result: Comparison) -> dict[str, Any]:
    found = result.difference
    return {
        "first": result.first,
        "second": result.second,
        "metric": result.metric,
        "scope": result.scope,
        "first_mean": result.first_mean,
        "second_mean": result.second_mean,
        "difference": found.mean if found else None,
        "low": found.low if found else None,
        "high": found.high if found else None,
        "n": result.n,
        "test": result.test,
        "p": result.p,
        "p_holm": result.p_holm,
        "reason": result.reason,
    }


def _groups(way: str, runs: Sequence[RunView], metrics: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield every group of every grouping asked for, and the sites; nothing where no grouping was asked for."""
    found = subgroups(runs, metrics)
    closed = withheld(runs)
    for group in (*found, *(by_site(runs, metrics) if found or closed else ())):
        yield _group(way, group) | {"withheld_at": list(closed.get(group.grouping, ()))}
    shown = {group.grouping for group in found}
    for grouping, sites in closed.items():
        if grouping not in shown:
            yield {"way": way, "grouping": grouping, "group": None, "withheld_at": list(sites)}


def _group(way: str, group: Group) -> dict[str, Any]:
    return {
        "way": way,
        "grouping": group.grouping,
        "group": group.group,
        "rows": group.rows,
        "metrics": {metric: _estimate(one) for metric, one in group.estimates.items()},
        "suppressed_at": list(group.suppressed),
    }


def _contributions(found: Contributions) -> dict[str, Any]:
    return {
        "arm": found.arm,
        "metric": found.metric,
        "kind": found.kind,
        "together": found.together,
        "nobody": found.nobody,
        "orders": found.orders,
        "coalitions": found.coalitions,
        "n": found.n,
        "sites": [
            {"site": one.site, **_estimate(one.value), "standard_error": one.standard_error} for one in found.sites
        ],
    }
