"""The tables behind the figures, cell by cell: for readers who cannot see a figure, and to be taken along as CSV.

Numbers are those of the journal and of the figures, unrounded.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import TypeAlias

from medfl.publish.curves import calibrations, confusions, precision_recall, rocs
from medfl.publish.decisions import Moving, decision_curve, movings
from medfl.publish.dropped import missing_from
from medfl.publish.figures import Line, compared, course, forest, not_alike, participation
from medfl.publish.parts import Dots, features, groups, margins, weights
from medfl.publish.wording import label
from medfl.store.comparison import Estimate
from medfl.store.results import Row, headline, results_table
from medfl.store.views import ExecutionView, RunView

Cell: TypeAlias = str | int | float | None
Rows: TypeAlias = Iterator[tuple[Cell, ...]]

STEPS = tuple(place / 20 for place in range(1, 20))
"""Thresholds of the table of thresholds, beside the one that the study used."""
_LIMITS = ("low", "high")
_CELLS = ("TP", "FN", "FP", "TN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table.

    Parameters
    ----------
    name, title
        What it is called in an address, and above the table.
    heads, rows
        Its columns, and its cells; None where something is not defined.
    """

    name: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def sheets(execution: ExecutionView, metric: str) -> tuple[Sheet, ...]:
    """Return every table that has a row."""
    made = (_sheet(name, execution, metric) for name in KINDS)
    return tuple(sheet for sheet in made if sheet.rows)


def as_csv(sheet: Sheet) -> str:
    """Return a table as CSV (RFC 4180).

    A text that a spreadsheet would take for a formula has an apostrophe put in front, as OWASP advises; numbers are
    left alone.
    """
    body = io.StringIO()
    writer = csv.writer(body, lineterminator="\r\n")
    writer.writerow(sheet.heads)
    writer.writerows([_harmless(cell) for cell in row] for row in sheet.rows)
    return body.getvalue()


def _harmless(cell: Cell) -> Cell:
    is_formula = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    return f"'{cell}" if is_formula else cell


def _sheet(name: str, execution: ExecutionView, metric: str) -> Sheet:
    title, heads, rows = KINDS[name]
    return Sheet(name=name, title=title, heads=heads, rows=tuple(rows(execution, metric)))


def _metrics(execution: ExecutionView, _: str) -> Rows:
    for row in results_table(execution, headline(execution)):
        for metric, estimate in row.estimates.items():
            yield (
                row.learned,
                row.arm,
                row.scope,
                row.site,
                label(metric),
                *_estimate(estimate),
                estimate.n,
                estimate.how,
                "" if row.site else missing_from(_runs_of(execution, row)),
            )


def _runs_of(execution: ExecutionView, row: Row) -> tuple[RunView, ...]:
    """Return the runs, one a repeat, that a row of the results speaks of."""
    if row.learned in ("alone", "centralised"):
        runs = execution.baseline("centralised" if row.learned == "centralised" else "local-only")
    else:
        runs = execution.arms[row.arm]
    return tuple(run for run in runs if run.final is not None)


def _differences(execution: ExecutionView, metric: str) -> Rows:
    for one in (*compared(execution, metric), *not_alike(execution, metric)):
        found = one.result
        told = (label(metric), found.scope, *_estimate(found.difference), found.n)
        yield one.first.label, one.second.label, *told, found.p, found.p_holm, found.test, found.reason


def _course(execution: ExecutionView, metric: str) -> Rows:
    for panel in course(execution, metric):
        for line in panel.lines:
            yield from ((panel.title, line.name, int(x), *rest) for x, *rest in _points(line))


def _roc(execution: ExecutionView, _: str) -> Rows:
    for roc in rocs(execution):
        for line in roc.lines:
            yield from ((roc.title, line.name, *point) for point in _points(line))


def _precision(execution: ExecutionView, _: str) -> Rows:
    found = precision_recall(execution)
    for line in found.lines if found is not None else ():
        yield from ((line.name, *point) for point in _points(line))


def _decision(execution: ExecutionView, _: str) -> Rows:
    found = decision_curve(execution)
    if found is None:
        return
    for line in found.lines:
        yield from ((line.name, *point) for point in _points(line))
    yield from (("treat everybody", x, y, None, None) for x, y in zip(found.thresholds, found.everyone, strict=True))


def _thresholds(execution: ExecutionView, _: str) -> Rows:
    for one in movings(execution):
        for cut in sorted({*STEPS, *([one.used] if one.used is not None else [])}):
            yield one.mark.label, one.seed, cut, *at_threshold(one, cut)


def at_threshold(one: Moving, cut: float) -> tuple[Cell, ...]:
    """Return what a threshold does: TP, FN, FP, TN, sensitivity, specificity, PPV, NPV, net benefit."""
    place = sum(threshold >= cut for threshold in one.thresholds) - 1
    true = round(one.sensitivity[place] * one.positives)
    calm = round(one.specificity[place] * one.negatives)
    missed, false = one.positives - true, one.negatives - calm
    rows = one.positives + one.negatives
    benefit = None if cut >= 1 else (true - false * cut / (1.0 - cut)) / rows
    rates = (_ratio(true, one.positives), _ratio(calm, one.negatives), _ratio(true, true + false))
    return true, missed, false, calm, *rates, _ratio(calm, calm + missed), benefit


def _calibration(execution: ExecutionView, _: str) -> Rows:
    for one in calibrations(execution):
        columns = (one.predicted, one.observed, one.low, one.high, one.rows)
        yield from ((one.mark.label, *cells) for cells in zip(*columns, strict=True))


def _sites(execution: ExecutionView, metric: str) -> Rows:
    found = forest(execution, metric)
    for row in (*found.rows, found.pooled) if found is not None else ():
        for mark, estimate in row.estimates:
            yield row.site or "all sites", row.test_rows, mark.label, label(metric), *_estimate(estimate)


def _confusion(execution: ExecutionView, _: str) -> Rows:
    for one in confusions(execution):
        for name, counts in zip(one.classes, one.rows, strict=True):
            yield from ((one.mark.label, name, other, count) for other, count in zip(one.classes, counts, strict=True))


def _failures(execution: ExecutionView, _: str) -> Rows:
    found = participation(execution)
    for site, rounds in found.failed.items() if found is not None else ():
        yield from ((site, number, runs) for number, runs in sorted(rounds.items()))


def _of_dots(make: Callable[[ExecutionView, str], Sequence[Dots]]) -> Callable[[ExecutionView, str], Rows]:
    def rows(execution: ExecutionView, metric: str) -> Rows:
        return chain.from_iterable(map(_dots, make(execution, metric)))

    return rows


def _dots(view: Dots) -> Rows:
    above = ""
    for row in view.rows:
        above = row.name if not row.dots else above
        for dot in row.dots:
            yield view.title, above, row.name, row.count, dot.mark.label, *_estimate(dot.estimate), dot.text


def _maybe(view: Dots | None) -> Sequence[Dots]:
    return () if view is None else (view,)


def _points(line: Line) -> Iterator[tuple[float, float, float | None, float | None]]:
    nothing = (None,) * len(line.x)
    yield from zip(line.x, line.y, line.low or nothing, line.high or nothing, strict=True)


def _estimate(found: Estimate | None) -> tuple[Cell, Cell, Cell]:
    return (None, None, None) if found is None else (found.mean, found.low, found.high)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


_DOTS = ("figure", "grouping", "name", "test rows", "learned", "value", *_LIMITS, "in words")
KINDS: Mapping[str, tuple[str, tuple[str, ...], Callable[[ExecutionView, str], Rows]]] = MappingProxyType(
    {
        "metrics": (
            "Metrics",
            ("learned", "arm", "judged on", "site", "metric", "value", *_LIMITS, "repeats", "interval", "without"),
            _metrics,
        ),
        "differences": (
            "Differences between ways of learning",
            (
                "first",
                "second",
                "metric",
                "over",
                "difference",
                *_LIMITS,
                "repeats",
                "p",
                "p (Holm)",
                "test",
                "no test",
            ),
            _differences,
        ),
        "course": ("Course of training", ("figure", "line", "round", "value", *_LIMITS), _course),
        "roc": ("ROC curves", ("figure", "learned", "1 - specificity", "sensitivity", *_LIMITS), _roc),
        "precision-recall": ("Precision and recall", ("learned", "recall", "precision", *_LIMITS), _precision),
        "decision": ("Decision curve", ("learned", "threshold", "net benefit", *_LIMITS), _decision),
        "thresholds": (
            "Thresholds",
            ("learned", "seed", "threshold", *_CELLS, "sensitivity", "specificity", "PPV", "NPV", "net benefit"),
            _thresholds,
        ),
        "calibration": ("Calibration", ("learned", "predicted", "observed", *_LIMITS, "test rows"), _calibration),
        "sites": ("Site by site", ("site", "test rows", "learned", "metric", "value", *_LIMITS), _sites),
        "groups": ("Groups of patients", _DOTS, _of_dots(lambda view, metric: _maybe(groups(view, metric)))),
        "margins": ("Margins", _DOTS, _of_dots(margins)),
        "contributions": ("Contributions of sites", _DOTS, _of_dots(weights)),
        "features": ("Features", _DOTS, _of_dots(lambda view, metric: _maybe(features(view, metric)))),
        "confusion": ("Confusion matrices", ("learned", "true class", "predicted class", "test rows"), _confusion),
        "failures": ("Rounds that a site failed in", ("site", "round", "runs"), _failures),
    }
)
"""Title, columns and rows of each table by name."""
