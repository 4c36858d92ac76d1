"""What came out: the report's tables and figures, as numbers that a page can move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from medfl.hub.pages.called import titles
from medfl.hub.pages.taking import Kept, kept_models
from medfl.publish.curves import Calibration, PrecisionRecall, Roc, calibrations, precision_recall, rocs
from medfl.publish.decisions import DecisionCurve, Moving, decision_curve, movings
from medfl.publish.figures import Compared, Forest, Panel, compared, course, forest
from medfl.publish.glance import Glance, glance
from medfl.publish.parts import Dots, features, groups, margins, weights
from medfl.publish.pictures import Plate, plates
from medfl.publish.pictures_of_parts import named, plates_of_parts
from medfl.publish.sheets import Sheet, sheets
from medfl.publish.tables import ResultTable, WorstLine, results, worst
from medfl.spec.metrics import METRICS
from medfl.store.results import headline
from medfl.store.views import ExecutionView

PARTS: Mapping[str, str] = MappingProxyType(
    {
        "margins": "Good enough?",
        "groups": "Groups of patients",
        "weights": "What each site contributes",
        "features": "Which features matter",
    }
)
"""Headings of the comparison in parts."""
LONG = 160
"""Rows of a table that are shown below its figure at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A technical term and its meaning in a sentence."""

    term: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Figures of one kind of a comparison in parts.

    Parameters
    ----------
    name, title
        What its figures and its table are called, and its heading.
    caption
        What a reader must know, as the report says it.
    views
        The figures' numbers.
    """

    name: str
    title: str
    caption: str
    views: tuple[Dots, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsPage:
    """Results of an execution; empty before a model was judged.

    Parameters
    ----------
    execution, study, question
        What it is.
    metric
        The metric that figures show.
    glance
        The few numbers and sentences to remember.
    table, worst
        Metrics of every way of learning, pooled and by site; the site served worst.
    panels, rocs, precision, calibrations, forest
        The figures' numbers.
    moving
        For outcomes of yes or no: what the threshold moves along, of each way's first repeat.
    decision
        Net benefit by threshold.
    compared
        Differences between ways of learning, with intervals and tests.
    parts
        Margins, groups of patients, contributions of sites, and features.
    sheets
        The tables behind the figures; a long one without its rows, which are at ``/api/studies/…/tables/NAME``.
    figures, titles
        Names of the report's figures, to be taken along; what each is called, with its number of several, or 0.
    kept
        Models that can be taken along, with their cards.
    models
        Digest of the final model by run.
    glossary
        The terms used.
    """

    execution: str
    study: str
    question: str
    metric: str
    glance: Glance
    table: ResultTable | None
    worst: tuple[WorstLine, ...]
    panels: tuple[Panel, ...]
    rocs: tuple[Roc, ...]
    precision: PrecisionRecall | None
    calibrations: tuple[Calibration, ...]
    forest: Forest | None
    moving: tuple[Moving, ...]
    decision: DecisionCurve | None
    compared: tuple[Compared, ...]
    parts: tuple[Part, ...]
    sheets: tuple[Sheet, ...]
    figures: tuple[str, ...]
    titles: dict[str, tuple[str, int]]
    models: dict[str, str]
    kept: tuple[Kept, ...]
    glossary: tuple[Term, ...]


def results_page(view: ExecutionView) -> ResultsPage:
    """Return what came out of an execution so far."""
    shown = glance(view)
    metric = shown.metric
    of_parts = plates_of_parts(view, metric) if metric else {}
    figures = tuple(named(plates(view, metric) | of_parts)) if metric else ()
    return ResultsPage(
        execution=view.execution,
        study=view.study,
        question=view.question,
        metric=metric,
        glance=shown,
        table=results(view),
        worst=worst(view),
        panels=course(view, metric) if metric else (),
        rocs=rocs(view),
        precision=precision_recall(view),
        calibrations=calibrations(view),
        forest=forest(view, metric) if metric else None,
        moving=movings(view),
        decision=decision_curve(view),
        compared=compared(view, metric) if metric else (),
        parts=tuple(_parts(view, metric, of_parts)),
        sheets=tuple(map(_short, sheets(view, metric))) if metric else (),
        figures=figures,
        titles=titles(figures),
        kept=kept_models(view),
        models={run.run: run.model for run in view.every if run.model is not None and run.status == "finished"},
        glossary=tuple(
            Term(term=METRICS[name].label, meaning=METRICS[name].meaning) for name in headline(view) if name in METRICS
        ),
    )


def _parts(view: ExecutionView, metric: str, plates: Mapping[str, Plate]) -> Iterator[Part]:
    makers: Mapping[str, Callable[[ExecutionView, str], Sequence[Dots] | Dots | None]] = {
        "margins": margins,
        "groups": groups,
        "weights": weights,
        "features": features,
    }
    for name, make in makers.items():
        if name in plates:
            found = make(view, metric)
            views = (found,) if isinstance(found, Dots) else found or ()
            # One in which every group is suppressed has nothing to draw; its caption and its table say so.
            drawn = tuple(view for view in views if any(dot.estimate for row in view.rows for dot in row.dots))
            yield Part(name=name, title=PARTS[name], caption=plates[name].caption, views=drawn)


def _short(sheet: Sheet) -> Sheet:
    return replace(sheet, rows=()) if len(sheet.rows) > LONG else sheet
