"""Figures of a comparison in parts, as numbers: margins, groups of patients, contributions of sites, features.

Each is rows of dots with intervals; nothing here draws. One without rows is None, and left out of the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from medfl.publish.ways import Mark, Way, mark_of, ways
from medfl.publish.wording import bounded, difference, in_sentence, label, metric_of, number, whole, with_interval
from medfl.store.comparison import Estimate
from medfl.store.contributions import Contributions, contributions
from medfl.store.importance import Importance, importance
from medfl.store.noninferiority import NonInferiority, noninferiority
from medfl.store.subgroups import Group, subgroups, withheld
from medfl.store.views import ExecutionView

MOST_FEATURES = 12
"""Features that a figure shows; the table has all."""
SUPPRESSED = "suppressed"


@dataclass(frozen=True, slots=True)
class Dot:
    """One number with its interval, and how it is written; without a number only what is written."""

    mark: Mark
    estimate: Estimate | None
    text: str


@dataclass(frozen=True, slots=True)
class DotRow:
    """One row: what it is about, how many test rows are behind it where that is told, its dots; none in a heading."""

    name: str
    count: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dots:
    """Rows of dots on one axis.

    Parameters
    ----------
    title, names, values
        The figure's title, and the heads of its rows and of its numbers.
    marks
        The ways of learning to tell apart; empty where there is one.
    reference
        Where a line stands that nothing is worth crossing by itself; None for none.
    margin
        Where the margin stands; None for none.
    left, right
        What it means to lie on either side.
    low, high
        Ends of the axis that the numbers cannot pass; None for none.
    metric
        Whose numbers they are, for how they are written.
    """

    title: str
    names: str
    values: str
    rows: tuple[DotRow, ...]
    marks: tuple[Mark, ...] = ()
    reference: float | None = None
    margin: float | None = None
    left: str = ""
    right: str = ""
    low: float | None = None
    high: float | None = None
    metric: str = ""


def margins(execution: ExecutionView, metric: str) -> tuple[Dots, ...]:
    """Return each arm against all rows in one place; one figure for each margin that was set."""
    found = sorted(noninferiority(execution, metric), key=lambda one: one.margin)
    return tuple(
        _margin(execution, metric, margin, tuple(same)) for margin, same in groupby(found, key=lambda one: one.margin)
    )


def _margin(execution: ExecutionView, metric: str, margin: float, found: Sequence[NonInferiority]) -> Dots:
    rows = []
    for one in found:
        mark, gap = mark_of(execution, one.comparison.first), one.comparison.difference
        dot = Dot(mark, gap, f"{difference(gap, metric=metric)}, {one.verdict}")
        rows.append(DotRow(f"{mark.label} − centralised", "", (dot,)))
    rising = metric_of(metric).higher_is_better
    return Dots(
        title=f"Is the federation good enough? {label(metric)} against all rows in one place",
        names="",
        values="federated less centralised (95 % interval)",
        rows=tuple(rows),
        reference=0.0,
        metric=metric,
        margin=-margin if rising else margin,
        left="worse" if rising else "better",
        right="better" if rising else "worse",
    )


def groups(execution: ExecutionView, metric: str) -> Dots | None:
    """Return the groups of patients under every model that all sites share, grouping by grouping."""
    shared = [way for way in ways(execution) if way.finished and way.mark.role != "local-only"]
    found = [
        (way.mark, {(one.grouping, one.group): one for one in subgroups(way.finished, (metric,))}) for way in shared
    ]
    order = list(dict.fromkeys(key for _, known in found for key in known))
    rows: list[DotRow] = []
    for grouping, keys in groupby(order, key=lambda key: key[0]):
        rows.append(DotRow(grouping, "", ()))
        rows += [_group_row(key[1], [(mark, known.get(key)) for mark, known in found], metric) for key in keys]
    shown = {grouping for grouping, _ in order}
    for grouping in dict.fromkeys(name for way in shared for name in withheld(way.finished) if name not in shown):
        rows += [DotRow(grouping, "", ()), DotRow("all groups", "–", (Dot(shared[0].mark, None, SUPPRESSED),))]
    if not rows:
        return None
    known = metric_of(metric)
    return Dots(
        title=f"{label(metric)} in groups of patients",
        names="Group",
        values=f"{label(metric)} (95 % interval)",
        rows=tuple(rows),
        marks=tuple(way.mark for way in shared),
        low=known.low,
        high=known.high,
    )


def _group_row(name: str, found: Sequence[tuple[Mark, Group | None]], metric: str) -> DotRow:
    if all(group is None or group.rows is None for _, group in found):
        return DotRow(name, "–", (Dot(found[0][0], None, SUPPRESSED),))
    count = next((whole(group.rows) for _, group in found if group is not None and group.rows is not None), "–")
    return DotRow(name, count, tuple(_group_dot(mark, group, metric) for mark, group in found))


def _group_dot(mark: Mark, group: Group | None, metric: str) -> Dot:
    estimate = group.estimates.get(metric) if group is not None else None
    if group is None or group.rows is None:
        return Dot(mark, None, SUPPRESSED)
    return Dot(mark, bounded(estimate, metric=metric) if estimate else None, with_interval(estimate, metric=metric))


def weights(execution: ExecutionView, metric: str) -> tuple[Dots, ...]:
    """Return what each site contributes, one figure an arm."""
    return tuple(_weights(execution, one) for one in contributions(execution, metric))


def _weights(execution: ExecutionView, found: Contributions) -> Dots:
    mark, metric = mark_of(execution, found.arm), found.metric
    sites = sorted(found.sites, key=lambda one: (-one.value.mean, one.site))
    dots = [DotRow(one.site, "", (Dot(mark, one.value, difference(one.value, metric=metric)),)) for one in sites]
    name = label(metric)
    how = f"Shapley value, {name}" if found.kind == "shapley" else f"{name} lost without it"
    whose = "" if mark.label == "federated" else f", {mark.label}"
    return Dots(
        title=f"What each site contributes to the {in_sentence(metric)}{whose}",
        names="Site",
        values=f"{how} (95 % interval)",
        rows=tuple(dots),
        reference=0.0,
        left=f"lowers the {in_sentence(metric)}",
        right=f"raises the {in_sentence(metric)}",
    )


def features(execution: ExecutionView, metric: str) -> Dots | None:
    """Return what shuffling each feature costs; of many features, those that cost most under the first way."""
    found = list(costs(execution, metric))
    if not found:
        return None
    order = list(dict.fromkeys(one.feature for _, each in found for one in each))
    by_way = [(way.mark, {one.feature: one.cost for one in each}) for way, each in found]
    rows = [
        DotRow(
            name,
            "",
            tuple(Dot(mark, known.get(name), difference(known.get(name), metric=metric)) for mark, known in by_way),
        )
        for name in order[:MOST_FEATURES]
    ]
    return Dots(
        title=f"How much worse the {in_sentence(metric)} gets when a feature is shuffled",
        names="Feature",
        values=f"{label(metric)} lost (95 % interval)",
        rows=tuple(rows),
        marks=tuple(mark for mark, _ in by_way),
        reference=0.0,
        right="matters more",
    )


def costs(execution: ExecutionView, metric: str) -> Iterator[tuple[Way, tuple[Importance, ...]]]:
    """Yield each way of learning whose features were shuffled, arms before baselines."""
    for way in sorted(ways(execution), key=lambda way: way.mark.role != "arm"):
        if each := importance(way.finished, metric):
            yield way, each


def in_words(view: Dots) -> str:
    """Return a figure in words, for readers who cannot see it."""
    told = [f"{row.name}: {', '.join(_dot_in_words(view, dot) for dot in row.dots)}" for row in view.rows if row.dots]
    line = f"; the margin is at {number(view.margin, metric=view.metric)}" if view.margin is not None else ""
    return f"{view.title}: {'; '.join(told)}{line}"


def _dot_in_words(view: Dots, dot: Dot) -> str:
    return f"{dot.mark.label} {dot.text}" if len(view.marks) > 1 and dot.text != SUPPRESSED else dot.text
