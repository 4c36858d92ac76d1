"""Figures as numbers: what each one shows, computed from views; nothing here draws.

A figure whose numbers do not exist is None, or has no lines: then it is left out of the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import numpy as np

from medfl.publish.dropped import judged_rows
from medfl.publish.ways import CENTRALISED, Mark, Way, arms, mark_of, ways
from medfl.publish.wording import in_sentence, label
from medfl.store.comparison import NOT_ALIKE, Comparison, Estimate, across, comparisons
from medfl.store.views import ExecutionView, RoundView, RunView

Numbers: TypeAlias = tuple[float, ...]
Levels: TypeAlias = tuple[tuple[Mark, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line, and the range of the repeats around it.

    Parameters
    ----------
    mark, name
        Whose line it is, and what is written at its end.
    x, y
        Its points; y is the mean over the repeats.
    low, high
        Smallest and largest repeat at each x; empty for one repeat.
    faint
        Whether it is context, such as a single site.
    """

    mark: Mark
    name: str
    x: Numbers
    y: Numbers
    low: Numbers = ()
    high: Numbers = ()
    faint: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Lines that share axes.

    Parameters
    ----------
    levels
        Horizontal references: whose, and where.
    metric
        The metric on the y axis; empty for the loss.
    """

    title: str
    lines: tuple[Line, ...]
    levels: Levels = ()
    metric: str = ""


def course(execution: ExecutionView, metric: str) -> tuple[Panel, ...]:
    """Return the training by round: the metric and the loss with the arms overlaid, then each arm with its sites.

    A single arm is shown with its sites at once.
    """
    federated = arms(execution)
    centralised = across(execution.baseline("centralised"), metric)
    levels = () if centralised is None else ((CENTRALISED, centralised.mean),)
    loss = Panel(
        title="Training loss",
        lines=_lines(_by_round(way.mark, way.mark.label, way.runs, lambda line: line.loss) for way in federated),
    )
    if len(federated) == 1:
        panels = [_arm_with_sites(federated[0], metric, levels), loss]
    else:
        pooled = _lines(_by_round(way.mark, way.mark.label, way.runs, _pooled(metric)) for way in federated)
        together = Panel(title=f"{label(metric)}, all sites together", lines=pooled, levels=levels, metric=metric)
        panels = [together, loss, *(_arm_with_sites(way, metric) for way in federated)]
    return tuple(panel for panel in panels if panel.lines)


def loss_by_site(execution: ExecutionView, run: RunView) -> Panel | None:
    """Return the training loss of each site of a run by round, and of all together; None before there is one."""
    mark = mark_of(execution, run.arm)
    faint = _lines(_by_round(mark, site, [run], _site_loss(site), faint=True) for site in run.sites)
    together = _lines([_by_round(mark, "all sites", [run], lambda line: line.loss)])
    return Panel(title="Training loss by site", lines=faint + together) if faint else None


def _site_loss(site: str) -> Callable[[RoundView], float | None]:
    # Of a round that goes on, only some sites have one.
    return lambda line: line.site_loss.get(site) if line.finished else None


def _arm_with_sites(way: Way, metric: str, levels: Levels = ()) -> Panel:
    names = dict.fromkeys(chain.from_iterable(run.sites for run in way.runs))
    faint = _lines(_by_round(way.mark, site, way.runs, _at_site(site, metric), faint=True) for site in names)
    pooled = _lines([_by_round(way.mark, "all sites", way.runs, _pooled(metric))])
    title = f"{label(metric)} by site, {way.mark.label}"
    return Panel(title=title, lines=faint + pooled if len(faint) > 1 else pooled, levels=levels, metric=metric)


def _pooled(metric: str) -> Callable[[RoundView], float | None]:
    return lambda line: line.metrics.get(metric)


def _at_site(site: str, metric: str) -> Callable[[RoundView], float | None]:
    return lambda line: line.site_metrics.get(site, {}).get(metric)


def _by_round(
    mark: Mark, name: str, runs: Sequence[RunView], value: Callable[[RoundView], float | None], *, faint: bool = False
) -> Line | None:
    values: dict[int, list[float]] = {}
    for line in chain.from_iterable(run.table for run in runs):
        found = value(line)
        if found is not None:
            values.setdefault(line.round, []).append(found)
    x = sorted(values)
    if not x:
        return None
    repeated = len(runs) > 1 and not faint
    return Line(
        mark=mark,
        name=name,
        x=tuple(float(number) for number in x),
        y=tuple(_mean(values[number]) for number in x),
        low=tuple(min(values[number]) for number in x) if repeated else (),
        high=tuple(max(values[number]) for number in x) if repeated else (),
        faint=faint,
    )


def _mean(values: list[float]) -> float:
    # Of a single run, as most are: a page of many sites asks for some thousand of them.
    return float(values[0] if len(values) == 1 else np.mean(values))


def _lines(found: Iterable[Line | None]) -> tuple[Line, ...]:
    return tuple(line for line in found if line is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestRow:
    """One site (or all of them together) and what each way of learning reaches there."""

    site: str
    test_rows: int | None
    estimates: tuple[tuple[Mark, Estimate | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Every site under every way of learning.

    Parameters
    ----------
    rows
        The largest site first.
    pooled
        All sites' test rows together.
    """

    metric: str
    rows: tuple[ForestRow, ...]
    pooled: ForestRow

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The ways shown, in order."""
        return tuple(mark for mark, _ in self.pooled.estimates)


def forest(execution: ExecutionView, metric: str) -> Forest | None:
    """Return the per-site figure; None where no site was judged by the metric."""
    every = [way for way in ways(execution) if way.finished]
    sizes = {name: site.test_rows for way in every for name, site in way.finished[0].sites.items()}
    rows = [_forest_row(site, sizes[site], every, metric) for site in sizes]
    if not any(estimate for row in rows for _, estimate in row.estimates):
        return None
    rows.sort(key=lambda row: (-(row.test_rows or 0), row.site))
    total = judged_rows([run for way in every for run in way.finished])
    together = tuple((way.mark, across(way.finished, metric)) for way in every)
    return Forest(metric=metric, rows=tuple(rows), pooled=ForestRow(site="", test_rows=total, estimates=together))


def _forest_row(site: str, test_rows: int | None, every: Sequence[Way], metric: str) -> ForestRow:
    estimates = tuple((way.mark, across(way.finished, metric, site=site)) for way in every)
    return ForestRow(site=site, test_rows=test_rows, estimates=estimates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One difference between two ways of learning."""

    first: Mark
    second: Mark
    result: Comparison


def compared(execution: ExecutionView, metric: str) -> tuple[Compared, ...]:
    """Return each comparison that has a difference."""
    return tuple(
        Compared(first=mark_of(execution, result.first), second=mark_of(execution, result.second), result=result)
        for result in comparisons(execution, metric)
        if result.difference is not None
    )


def not_alike(execution: ExecutionView, metric: str) -> tuple[Compared, ...]:
    """Return each comparison that is not made, because a site was left out of one of the two."""
    return tuple(
        Compared(first=mark_of(execution, result.first), second=mark_of(execution, result.second), result=result)
        for result in comparisons(execution, metric)
        if result.reason == NOT_ALIKE
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Participation:
    """Who failed in which round.

    Parameters
    ----------
    rounds
        Their number.
    failed
        For each site that failed, in how many runs it did by round.
    runs, sites
        Runs that have rounds; all sites.
    """

    rounds: int
    failed: Mapping[str, Mapping[int, int]]
    runs: int
    sites: int


def participation(execution: ExecutionView) -> Participation | None:
    """Return the map of failures during rounds; None when no site failed in any."""
    runs = [run for run in execution.runs if run.table]
    failed: dict[str, dict[int, int]] = {}
    for line in chain.from_iterable(run.table for run in runs):
        for site in line.failed:
            by_round = failed.setdefault(site, {})
            by_round[line.round] = by_round.get(line.round, 0) + 1
    if not failed:
        return None
    last = max(line.round for run in runs for line in run.table)
    sites = len({site for run in runs for site in run.sites})
    return Participation(rounds=last, failed=dict(sorted(failed.items())), runs=len(runs), sites=sites)


def describe(panel: Panel) -> str:
    """Return a line figure in words, for readers who cannot see it."""
    ends = [f"{line.name} ends at {line.y[-1]:.3f}" for line in panel.lines if not line.faint]
    ends += [f"{mark.label} is at {value:.3f}" for mark, value in panel.levels]
    return f"{panel.title}: {in_sentence(panel.metric) if panel.metric else 'loss'} by round; " + ", ".join(ends)
