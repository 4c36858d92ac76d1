"""What came out: the report's tables and figures, as numbers that a page can move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from medfl.publish.curves import Calibration, PrecisionRecall, Roc, calibrations, precision_recall, rocs
from medfl.publish.figures import Forest, Panel, course, forest
from medfl.publish.glance import Glance, glance
from medfl.publish.tables import ResultTable, WorstLine, results, worst
from medfl.publish.ways import ALONE, Mark, ways
from medfl.spec.metrics import METRICS
from medfl.store.results import headline
from medfl.store.views import ExecutionView, RunView


@dataclass(frozen=True, slots=True, kw_only=True)
class Moving:
    """The pooled ROC of one run, to move the threshold along.

    Parameters
    ----------
    mark, run, seed
        Whose it is.
    thresholds, sensitivity, specificity
        Its points, from the highest threshold to the lowest: probability from which a row counts as positive.
    positives, negatives
        Test rows with and without the outcome.
    used
        The threshold that the study used.
    """

    mark: Mark
    run: str
    seed: int
    thresholds: tuple[float, ...]
    sensitivity: tuple[float, ...]
    specificity: tuple[float, ...]
    positives: int
    negatives: int
    used: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A technical term and its meaning in a sentence."""

    term: str
    meaning: str


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
    models: dict[str, str]
    glossary: tuple[Term, ...]


def results_page(view: ExecutionView) -> ResultsPage:
    """Return what came out of an execution so far."""
    shown = glance(view)
    metric = shown.metric
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
        moving=tuple(_movings(view)),
        models={run.run: run.model for run in view.every if run.model is not None and run.status == "finished"},
        glossary=tuple(
            Term(term=METRICS[name].label, meaning=METRICS[name].meaning) for name in headline(view) if name in METRICS
        ),
    )


def _movings(view: ExecutionView) -> Iterator[Moving]:
    for way in ways(view):
        if way.mark != ALONE and way.finished and (found := _moving(way.mark, way.finished[0])) is not None:
            yield found


def _moving(mark: Mark, run: RunView) -> Moving | None:
    curves = (run.final.curves or {}) if run.final is not None else {}
    points, bars = curves.get("roc"), curves.get("histogram")
    if not isinstance(points, list | tuple) or not points or not bars:
        return None
    return Moving(
        mark=mark,
        run=run.run,
        seed=run.seed,
        thresholds=tuple(point[2] for point in points),
        sensitivity=tuple(point[1] for point in points),
        specificity=tuple(1.0 - point[0] for point in points),
        positives=round(sum(bar[3] for bar in bars)),
        negatives=round(sum(bar[2] for bar in bars)),
        used=run.metrics.get("threshold"),
    )
