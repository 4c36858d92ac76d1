"""The figures of a report: which are drawn, side by side with which, and what is written below."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from medfl.publish.curves import Calibration, Operating, calibrations, confusions, precision_recall, rocs
from medfl.publish.decisions import decision_curve
from medfl.publish.drawing import Drawing
from medfl.publish.figures import Compared, compared, course, forest, not_alike, participation
from medfl.publish.plots import (
    MOST_SHADES,
    calibration_plot,
    confusion_matrix,
    decision_plot,
    limits_of,
    line_panel,
    pr_curve,
    roc_curve,
)
from medfl.publish.plots_by_site import CROWD, ENDS, difference_plot, forest_plot, participation_map
from medfl.publish.ways import arms, ways
from medfl.publish.wording import counted, in_sentence, label, listed, number
from medfl.store.views import ExecutionView


class Draw(Protocol):
    """Draws a figure."""

    def __call__(self, *, name: str) -> Drawing:
        """Return it; the name is put before its ids."""
        ...


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure that is not drawn yet: what it is called, and what draws it."""

    name: str
    draw: Draw


@dataclass(frozen=True, slots=True)
class Plate:
    """Pictures that share a caption.

    Parameters
    ----------
    name
        Names it in the page.
    pictures
        What is drawn.
    wide
        Whether each takes the whole width.
    """

    name: str
    pictures: tuple[Picture, ...]
    caption: str
    wide: bool = False

    @property
    def drawings(self) -> tuple[Drawing, ...]:
        """The pictures drawn."""
        return tuple(one.draw(name=one.name) for one in self.pictures)


def plates(execution: ExecutionView, metric: str) -> dict[str, Plate]:
    """Return every plate that has something to show, by name."""
    makers = (
        _course(execution, metric),
        _curves(execution),
        _calibration(execution),
        _decision(execution),
        _confusion(execution),
    )
    sites = (_forest(execution, metric), _compared(execution, metric), _participation(execution))
    return {plate.name: plate for maker in (*makers, *sites) for plate in maker}


def _repeats(execution: ExecutionView) -> int:
    return max((len(way.finished) for way in ways(execution)), default=0)


def _course(execution: ExecutionView, metric: str) -> Iterator[Plate]:
    panels = course(execution, metric)
    if not panels:
        return
    by_site = tuple(panel for panel in panels if any(line.faint for line in panel.lines))
    shared = limits_of(by_site) if by_site else None
    pictures = tuple(
        Picture(f"course-{place}", partial(line_panel, panel, limits=shared if panel in by_site else None))
        for place, panel in enumerate(panels)
    )
    texts = [f"{label(metric)} on the test rows and mean training loss, after each round."]
    if _repeats(execution) > 1:
        texts.append("Lines are means over the repeats; the shade reaches from the lowest to the highest repeat.")
    if by_site:
        texts.append("Thin lines are single sites; where there are many, only the outermost are named.")
    if any(panel.levels for panel in panels):
        texts.append("The dashed level is the model trained with all rows in one place.")
    yield Plate("course", pictures, " ".join(texts))


def _curves(execution: ExecutionView) -> Iterator[Plate]:
    figures, precision = rocs(execution), precision_recall(execution)
    pictures = [Picture(f"roc-{place}", partial(roc_curve, figure)) for place, figure in enumerate(figures)]
    if precision is not None:
        pictures.append(Picture("pr", partial(pr_curve, precision)))
    if not pictures:
        return
    texts = ["Over all sites' test rows. The diagonal is what guessing reaches."]
    points = [point for figure in figures for point in figure.points]
    if points:
        texts.append(f"Marks are the operating points with their 95 % intervals{_thresholds(points)}.")
    if precision is not None and precision.prevalence is not None:
        texts.append(f"Precision by guessing is the prevalence, {number(precision.prevalence)}.")
    if _repeats(execution) > 1:
        texts.append("Curves are means over the repeats.")
        if len(arms(execution)) <= MOST_SHADES:
            texts.append("The shade of an arm reaches from its lowest to its highest repeat.")
    yield Plate("curves", tuple(pictures), " ".join(texts))


def _thresholds(points: list[Operating]) -> str:
    known = {f"{point.threshold:.3g}" for point in points if point.threshold is not None}
    if len(known) == 1:
        return f", at a predicted probability of {next(iter(known))}"
    return f", at predicted probabilities from {min(known)} to {max(known)}" if known else ""


def _calibration(execution: ExecutionView) -> Iterator[Plate]:
    figures = calibrations(execution)
    if not figures:
        return
    pictures = tuple(
        Picture(f"calibration-{place}", partial(calibration_plot, figure)) for place, figure in enumerate(figures)
    )
    limits = "the range over the repeats" if _repeats(execution) > 1 else "95 % limits"
    if not figures[0].edges:
        text = (
            "Observed against predicted outcome, in groups of test rows; on the diagonal predictions come true. "
            f"Vertical lines are {limits}."
        )
        yield Plate("calibration", pictures, text)
        return
    text = (
        "Observed share against predicted probability, in about ten groups of equal size; on the diagonal predictions "
        f"come true. Vertical lines are {limits}. Below, how often each probability was predicted for people with the "
        f"outcome (up) and without it (down), as a share of each.{_slopes(figures)}"
    )
    yield Plate("calibration", pictures, text)


def _slopes(figures: tuple[Calibration, ...]) -> str:
    return (
        " A slope below 1 means that predictions are too extreme, above 1 that they are too timid."
        if any(figure.slope for figure in figures)
        else ""
    )


def _decision(execution: ExecutionView) -> Iterator[Plate]:
    view = decision_curve(execution)
    if view is None:
        return
    over = " Lines are means over the repeats." if _repeats(execution) > 1 else ""
    text = (
        "Net benefit (Vickers & Elkin 2006): patients found, less false alarms weighed as the threshold weighs them, "
        "as a share of all test rows. A model helps at the thresholds where its line is above both that of treating "
        f"everybody and zero, treating nobody.{over} It says nothing of harms and costs that are not in that weight."
    )
    yield Plate("decision", (Picture("decision", partial(decision_plot, view)),), text, wide=True)


def _confusion(execution: ExecutionView) -> Iterator[Plate]:
    pictures = tuple(
        Picture(f"confusion-{place}", partial(confusion_matrix, figure))
        for place, figure in enumerate(confusions(execution))
    )
    if pictures:
        over = ", mean over the repeats" if _repeats(execution) > 1 else ""
        yield Plate(
            "confusion",
            pictures,
            f"Test rows by true and predicted class{over}; the shade is the share of the true class.",
        )


def _forest(execution: ExecutionView, metric: str) -> Iterator[Plate]:
    figure = forest(execution, metric)
    if figure is None:
        return
    order = "sorted by size, the largest first"
    if len(figure.rows) > CROWD:
        order = f"sorted by the federated result; the {ENDS} at each end are named, those between are drawn small"
    text = f"{label(metric)} on each site's own test rows with 95 % intervals, {order}."
    yield Plate("forest", (Picture("forest", partial(forest_plot, figure)),), text, wide=True)


def _compared(execution: ExecutionView, metric: str) -> Iterator[Plate]:
    rows = compared(execution, metric)
    if not rows:
        return
    tests = {row.result.test for row in rows if row.result.p is not None}
    reasons = sorted({row.result.reason for row in rows if row.result.reason})
    verdict = (
        f"p-values are from the {' and the '.join(sorted(tests))}, Holm-corrected over all of these." if tests else ""
    )
    untested = f"Without a test: {'; '.join(reasons)}." if reasons else ""
    text = (
        f"First minus second in {in_sentence(metric)}, over the same seeds. {verdict} {untested} "
        f"Against each site alone{_and_personal(rows)}, means over the sites are compared."
        f"{_left_apart(execution, metric)}"
    )
    yield Plate("compared", (Picture("compared", partial(difference_plot, rows)),), " ".join(text.split()), wide=True)


def _left_apart(execution: ExecutionView, metric: str) -> str:
    apart = not_alike(execution, metric)
    pairs = listed(f"{one.first.label} with {one.second.label}" for one in apart)
    return f" Not compared: {pairs}; {apart[0].result.reason}." if apart else ""


def _and_personal(rows: tuple[Compared, ...]) -> str:
    return ", and for copies that sites fine-tuned" if any(row.first.personal for row in rows) else ""


def _participation(execution: ExecutionView) -> Iterator[Plate]:
    figure = participation(execution)
    if figure is None:
        return
    others = figure.sites - len(figure.failed)
    rest = f" In every round {counted(others, 'other site')} took part." if others else ""
    runs = f" The number beside a cross counts runs, of {figure.runs}." if figure.runs > 1 else ""
    text = f"A cross is a round to which a site did not contribute.{runs}{rest}"
    yield Plate("participation", (Picture("participation", partial(participation_map, figure)),), text, wide=True)
