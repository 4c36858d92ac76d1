"""What each site contributes to the federation, from runs that only some of the sites trained.

The value v of a coalition is the metric, over all sites' test rows, of the model that it trains; that of nobody is the
metric of the untrained model. Values are kept in the metric's own unit: a positive contribution raises the metric.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb, fsum
from statistics import fmean, stdev
from typing import Literal, TypeAlias

from medfl.store.comparison import Estimate, over_draws, over_repeats
from medfl.store.views import ExecutionView, RunView

Kind = Literal["leave-one-out", "shapley"]
Values: TypeAlias = Mapping[frozenset[str], float]
Orders: TypeAlias = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """One site's.

    Parameters
    ----------
    site
        Its name.
    value
        What it adds, with its 95 % interval: over the repeats; with one repeat, over the orders that were drawn.
    standard_error
        Monte-Carlo standard error of the mean, from the orders; None where all coalitions were trained.
    """

    site: str
    value: Estimate
    standard_error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributions:
    """Those of one arm's sites.

    Parameters
    ----------
    arm, metric, kind
        Whose, in what, and how it was measured.
    sites
        By name.
    together, nobody
        Means over the repeats of the metric that all sites reach, and of that of the untrained model; a Shapley value's
        contributions add up to their difference.
    orders
        Orders drawn in each repeat; 0 where every coalition was trained.
    coalitions
        Coalitions trained in each repeat, besides that of all sites.
    n
        Repeats behind it.
    """

    arm: str
    metric: str
    kind: Kind
    sites: tuple[Contribution, ...]
    together: float
    nobody: float | None
    orders: int
    coalitions: int
    n: int


def contributions(execution: ExecutionView, metric: str) -> tuple[Contributions, ...]:
    """Return the contributions to each arm, from those repeats in which every run they need was judged."""
    found = (_of_arm(execution, runs, metric) for runs in execution.arms.values())
    return tuple(one for one in found if one is not None)


def _of_arm(execution: ExecutionView, runs: Sequence[RunView], metric: str) -> Contributions | None:
    kind = _kind(runs[0])
    theirs = [run for run in execution.coalitions if run.arm == runs[0].arm]
    if kind is None or not theirs:
        return None
    sites = sorted({site for run in theirs for site in run.members})
    measured = [(run, values) for run in runs if (values := _values(run, theirs, sites, metric)) is not None]
    if not measured:
        return None
    whole = frozenset(sites)
    nobody = [values[frozenset()] for _, values in measured if frozenset() in values]
    return Contributions(
        arm=runs[0].arm,
        metric=metric,
        kind=kind,
        sites=tuple(_site(site, kind, measured, whole) for site in sites),
        together=fmean(values[whole] for _, values in measured),
        nobody=fmean(nobody) if nobody else None,
        orders=len(measured[0][0].orders),
        coalitions=len(measured[0][1]) - 1 - bool(nobody),
        n=len(measured),
    )


def _values(run: RunView, theirs: Sequence[RunView], sites: Sequence[str], metric: str) -> Values | None:
    """Return the value of each coalition of one repeat; None where one of them is not known."""
    same = [other for other in theirs if other.seed == run.seed]
    known = {frozenset(other.members): _metric(other, metric) for other in same} | {
        frozenset(sites): _metric(run, metric)
    }
    untrained = next((line.metrics.get(metric) for line in run.table if line.round == 0), None)
    if untrained is not None:
        known[frozenset()] = untrained
    values = {members: value for members, value in known.items() if value is not None}
    needs_nobody = _kind(run) == "shapley" and untrained is None
    return None if len(values) < len(known) or needs_nobody else values


def _kind(run: RunView) -> Kind | None:
    """Return how contributions are measured; an arm may have written the kind alone."""
    asked = run.asked("evaluation").get("contributions")
    kind: Kind | None = asked["kind"] if isinstance(asked, Mapping) else asked
    return kind


def _metric(run: RunView, metric: str) -> float | None:
    return run.final.pooled.get(metric) if run.final else None


def _site(site: str, kind: Kind, measured: Sequence[tuple[RunView, Values]], whole: frozenset[str]) -> Contribution:
    if kind == "leave-one-out":
        differences = [values[whole] - values[whole - {site}] for _, values in measured]
        return Contribution(site=site, value=over_repeats(differences, [run for run, _ in measured]))
    if not measured[0][0].orders:
        exact = [shapley(site, values, whole) for _, values in measured]
        return Contribution(site=site, value=over_repeats(exact, [run for run, _ in measured]))
    drawn = [list(marginals(site, values, run.orders)) for run, values in measured]
    error = sum(stdev(each) ** 2 / len(each) for each in drawn) ** 0.5 / len(drawn)
    value = (
        over_draws(drawn[0], how="orders of sites")
        if len(drawn) == 1
        else over_repeats(list(map(fmean, drawn)), [run for run, _ in measured])
    )
    return Contribution(site=site, value=value, standard_error=error)


def shapley(site: str, values: Values, whole: frozenset[str]) -> float:
    """Return the exact Shapley value (Shapley 1953): the mean over all orders of what a site adds when it joins.

    ``φᵢ = Σ_S (v(S ∪ {i}) − v(S)) / (n · C(n − 1, |S|))`` over all coalitions S without i.
    """
    count = len(whole)
    return fsum(
        (values[members | {site}] - value) / (count * comb(count - 1, len(members)))
        for members, value in values.items()
        if site not in members
    )


def marginals(site: str, values: Values, orders: Orders) -> Iterator[float]:
    """Yield what a site adds in each order of joining (Castro, Gómez & Tejada 2009; Ghorbani & Zou 2019, algorithm 1).

    Their mean is an unbiased estimate of the Shapley value. In each order the sites' marginals add up to
    v(all) − v(nobody), so the estimates do as well.
    """
    for order in orders:
        before = frozenset(order[: list(order).index(site)])
        yield values[before | {site}] - values[before]
