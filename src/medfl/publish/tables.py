"""The tables of a report: who took part, and what came out; text in cells, ready to be laid out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from types import MappingProxyType

from medfl.publish.dropped import missing_from
from medfl.publish.parts import costs
from medfl.publish.ways import ALONE, CENTRALISED, Mark, arms, fine_tuned, ways
from medfl.publish.wording import (
    are_equal,
    counted,
    difference,
    in_brackets,
    label,
    listed,
    number,
    percent,
    sentence,
    spread,
    whole,
)
from medfl.store.comparison import Estimate
from medfl.store.results import Row, headline, results_table, worst_sites
from medfl.store.views import ExecutionView, RunView, SiteView

CROWD = 24
"""From more sites than this on, a table is summarised and its lines can be scrolled."""
_MOST_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class CohortLine:
    """One site: its rows, how they were divided, its outcomes, what is missing."""

    site: str
    rows: str
    left_out: str
    train: str
    test: str
    outcomes: tuple[str, ...]
    missing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Who took part.

    Parameters
    ----------
    outcomes
        Heads of the outcome columns: the positive class, or all classes; empty for a numeric outcome.
    lines, total
        One a site, and all of them together.
    summary
        The table in a sentence.
    """

    outcomes: tuple[str, ...]
    lines: tuple[CohortLine, ...]
    total: CohortLine
    summary: str
    crowded: bool


def cohort(execution: ExecutionView) -> Cohort | None:
    """Return the cohort as the first run found it; None where no site has described its table."""
    run = described(execution)
    if run is None:
        return None
    sites = tuple(run.sites.values())
    classes = classes_of(run)
    shown = classes[1:] if len(classes) == 2 else classes
    total = _everyone(sites)
    return Cohort(
        outcomes=tuple(outcome_head(run, name) for name in shown),
        lines=tuple(_cohort_line(site, shown) for site in sites),
        total=_cohort_line(total, shown),
        summary=_in_a_sentence(sites),
        crowded=len(sites) > CROWD,
    )


def described(execution: ExecutionView) -> RunView | None:
    """Return the first run whose sites said what their tables are like."""
    every = (*execution.runs, *execution.baselines)
    return next((run for run in every if any(site.rows is not None for site in run.sites.values())), None)


def classes_of(run: RunView) -> tuple[str, ...]:
    """Return the outcome's classes in order, for binary (negative, positive); empty for a numeric outcome."""
    outcome = run.agreement.get("outcome")
    if isinstance(outcome, Mapping):
        return tuple(outcome.get("classes", ()))
    return tuple(
        dict.fromkeys(name for site in run.sites.values() for name in (*site.train_classes, *site.test_classes))
    )


def outcome_head(run: RunView, name: str) -> str:
    """Return a class's name so that it can be understood alone: "num > 0" as it is, "1" as "diabetes: 1"."""
    target = str(run.spec["data"]["target"])
    return name if target in name else f"{target}: {name}"


def outcome_of(run: RunView) -> str:
    """Return the outcome's kind: "binary", "multiclass", "regression"; empty before the sites agreed on it."""
    outcome = run.agreement.get("outcome")
    if isinstance(outcome, Mapping):
        return str(outcome.get("kind", ""))
    if not run.agreement:
        return ""
    return {0: "regression", 2: "binary"}.get(len(classes_of(run)), "multiclass")


def _everyone(sites: Sequence[SiteView]) -> SiteView:
    names = dict.fromkeys(column for site in sites for column in site.missing)
    return SiteView(
        name="All sites",
        rows=sum(site.rows or 0 for site in sites),
        left_out=sum(site.left_out or 0 for site in sites),
        train_rows=sum(site.train_rows or 0 for site in sites),
        test_rows=sum(site.test_rows or 0 for site in sites),
        missing={column: sum(site.missing.get(column, 0) for site in sites) for column in names},
        train_classes=_added([site.train_classes for site in sites]),
        test_classes=_added([site.test_classes for site in sites]),
    )


def _added(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    names = dict.fromkeys(name for each in counts for name in each)
    return {name: sum(each.get(name, 0) for each in counts) for name in names}


def _cohort_line(site: SiteView, classes: Sequence[str]) -> CohortLine:
    every = _added([site.train_classes, site.test_classes])
    total = sum(every.values())
    outcomes = tuple(
        f"{whole(every.get(name, 0))} ({percent(every.get(name, 0) / total)})" if total else "–" for name in classes
    )
    return CohortLine(
        site=site.name,
        rows=_maybe(site.rows),
        left_out=_maybe(site.left_out),
        train=_maybe(site.train_rows),
        test=_maybe(site.test_rows),
        outcomes=outcomes,
        missing=_missing(site),
    )


def _maybe(count: int | None) -> str:
    return "–" if count is None else whole(count)


def _missing(site: SiteView) -> str:
    found = sorted(
        ((count, column) for column, count in site.missing.items() if count), key=lambda pair: (-pair[0], pair[1])
    )
    if not found:
        return "none"
    rows = site.rows or 1
    told = [f"{column} {percent(count / rows)}" for count, column in found[:_MOST_COLUMNS]]
    rest = len(found) - _MOST_COLUMNS
    return ", ".join(told) + (f" and {counted(rest, 'more column')}" if rest > 0 else "")


def _in_a_sentence(sites: Sequence[SiteView]) -> str:
    rows = [site.rows for site in sites if site.rows is not None]
    together = f"{counted(len(sites), 'site')} took part with {whole(sum(rows))} rows"
    if len(rows) < 2:
        return sentence(together)
    return sentence(f"{together}, {spread(rows)} at each (median {whole(round(median(rows)))})")


@dataclass(frozen=True, slots=True)
class Cell:
    """A number and, apart, its interval; both empty for what is not defined."""

    text: str = ""
    interval: str = ""


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One way of learning."""

    mark: Mark
    cells: tuple[Cell, ...]
    worst: bool


@dataclass(frozen=True, slots=True)
class ResultGroup:
    """The ways of learning, judged on the same rows."""

    title: str
    note: str
    lines: tuple[ResultLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultTable:
    """What came out.

    Parameters
    ----------
    metrics, heads
        Names of the columns' metrics, and how they are written.
    together
        All sites' rows, and the mean over the sites.
    sites
        The largest first.
    """

    metrics: tuple[str, ...]
    heads: tuple[str, ...]
    together: tuple[ResultGroup, ...]
    sites: tuple[ResultGroup, ...]
    crowded: bool


_TOGETHER = MappingProxyType(
    {
        "pooled": ("All sites together", "all test rows in one count"),
        "average of sites": ("Mean of the sites", "every site counts the same"),
    }
)


_BASELINES = MappingProxyType({"alone": ALONE, "centralised": CENTRALISED})


def results(execution: ExecutionView) -> ResultTable | None:
    """Return the results by site, the ways of learning side by side; None where nothing was judged."""
    metrics = headline(execution)
    lines: dict[tuple[str, str], list[ResultLine]] = {}
    marks = {(way.runs[0].arm, way.mark.personal): way.mark for way in (*arms(execution), *fine_tuned(execution))}
    for row in results_table(execution, metrics):
        mark = _BASELINES.get(row.learned) or marks[row.arm, row.learned == "fine-tuned"]
        line = ResultLine(mark, tuple(_cells(row, metrics)), row.worst)
        lines.setdefault((row.scope, row.site), []).append(line)
    if not lines or not metrics:
        return None
    views = _sites(execution)
    sites = sorted((site for scope, site in lines if scope == "site"), key=lambda site: -(views[site].test_rows or 0))
    together = [(scope, *texts) for scope, texts in _TOGETHER.items() if (scope, "") in lines]
    return ResultTable(
        metrics=metrics,
        heads=tuple(map(label, metrics)),
        together=tuple(
            ResultGroup(title, f"{note}{_without(execution)}", tuple(lines[scope, ""]))
            for scope, title, note in together
        ),
        sites=tuple(ResultGroup(site, _rows_note(views[site]), tuple(lines["site", site])) for site in sites),
        crowded=len(sites) > CROWD,
    )


@dataclass(frozen=True, slots=True)
class WorstLine:
    """The site that a way of learning serves worst, and how unlike the sites are."""

    mark: Mark
    site: str
    cell: Cell
    range: str
    sd: str


def worst(execution: ExecutionView) -> tuple[WorstLine, ...]:
    """Return a line for each way of learning, by the first metric; none where fewer than two sites have it."""
    metric = next(iter(headline(execution)), "")
    found = [(way.mark, worst_sites(way.finished, metric)) for way in ways(execution) if metric]
    return tuple(
        WorstLine(
            mark,
            one.site,
            _cell(one.worst, metric),
            number(one.range, metric=metric),
            number(one.sd, metric=metric),
        )
        for mark, one in found
        if one is not None and one.sites > 1
    )


def importances(execution: ExecutionView) -> tuple[tuple[Mark, ...], tuple[tuple[str, tuple[str, ...]], ...]]:
    """Return the ways of learning whose features were shuffled, and for each feature what that costs each of them."""
    metric = next(iter(headline(execution)), "")
    found = [(way.mark, {one.feature: one.cost for one in each}) for way, each in costs(execution, metric)]
    features = dict.fromkeys(feature for _, each in found for feature in each)
    lines = [(name, tuple(difference(each.get(name), metric=metric) for _, each in found)) for name in features]
    return tuple(mark for mark, _ in found), tuple(lines)


def _sites(execution: ExecutionView) -> Mapping[str, SiteView]:
    return {name: site for run in (*execution.baselines, *execution.runs) for name, site in run.sites.items()}


def _without(execution: ExecutionView) -> str:
    """Say which ways of learning were not judged at all sites, because some were left out by hand."""
    judged = [way for way in ways(execution) if way.finished]
    told: dict[str, list[str]] = {}
    for way in judged:
        if missing := missing_from(way.finished):
            told.setdefault(missing, []).append(way.mark.label)
    parts = [
        f"without {missing}" if len(labels) == len(judged) else f"{listed(labels)} without {missing}"
        for missing, labels in told.items()
    ]
    return "".join(f"; {part}" for part in parts)


def _rows_note(site: SiteView) -> str:
    """Say on how many rows a site's numbers rest, and why some are not defined where all rows have one outcome."""
    if site.test_rows is None:
        return ""
    present = [name for name, count in site.test_classes.items() if count]
    only = f", all {present[0]}" if len(present) == 1 else ""
    return f"{whole(site.test_rows)} test {'row' if site.test_rows == 1 else 'rows'}{only}"


def _cells(row: Row, metrics: Sequence[str]) -> Iterator[Cell]:
    for metric in metrics:
        estimate = row.estimates.get(metric)
        yield _cell(estimate, metric) if estimate else Cell()


def _cell(estimate: Estimate, metric: str) -> Cell:
    behind = "all equal" if are_equal(estimate) else in_brackets(estimate, metric=metric)
    return Cell(number(estimate.mean, metric=metric), behind)
