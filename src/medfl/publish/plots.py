"""Figures drawn: lines and curves. Each takes a view's numbers and returns inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medfl.publish.curves import Calibration, Confusion, PrecisionRecall, Roc
from medfl.publish.decisions import DecisionCurve
from medfl.publish.drawing import (
    COLOURS,
    FAINT,
    FULL,
    HALF,
    MUTED,
    RULE,
    SMALL,
    TEXT,
    Drawing,
    apart,
    axes,
    key,
    look,
    sheet,
    svg,
    title,
)
from medfl.publish.figures import Line, Panel, describe
from medfl.publish.wording import number, shortened, with_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SHADES = 3
"""More ranges than this on top of each other are mud."""
_FIFTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_FIFTHS_NAMED = ("0", "0.2", "0.4", "0.6", "0.8", "1")
_CHARACTER = 5.0
"""Points that a character of a label takes, on the wide side."""


def line_panel(panel: Panel, *, name: str, limits: tuple[float, float] | None = None) -> Drawing:
    """Draw lines by round, each named at its end."""
    labels = _end_labels(panel)
    longest = max((len(text) for _, text, _ in labels), default=0)
    with sheet(HALF, 2.75) as figure:
        title(figure, panel.title)
        ax = axes(figure, right=_CHARACTER * longest + 12)
        ax.set_xlabel("Round", loc="left")
        shaded = sum(bool(line.low) for line in panel.lines) <= MOST_SHADES
        for line in panel.lines:
            _draw_line(ax, line, shaded=shaded)
        first, last = min(line.x[0] for line in panel.lines), max(line.x[-1] for line in panel.lines)
        ax.set_xlim(first, last if last > first else first + 1)
        for mark, value in panel.levels:
            ax.axhline(value, color=look(mark).colour, linestyle=look(mark).dash, linewidth=look(mark).width)
        ax.set_ylim(limits or _roomy(panel))
        _whole_rounds(ax)
        _name_ends(ax, labels)
        return svg(figure, name=name, description=describe(panel))


def limits_of(panels: Sequence[Panel]) -> tuple[float, float]:
    """Return y limits that fit several panels, so that they can be compared."""
    each = [_roomy(panel) for panel in panels]
    return min(low for low, _ in each), max(high for _, high in each)


def _draw_line(ax: Axes, line: Line, *, shaded: bool) -> None:
    style = look(line.mark)
    if line.faint:
        ax.plot(line.x, line.y, color=FAINT, linewidth=0.8, solid_capstyle="round")
        return
    if line.low and shaded:
        ax.fill_between(line.x, line.low, line.high, color=style.colour, alpha=0.14, linewidth=0)
    ax.plot(line.x, line.y, color=style.colour, linestyle=style.dash, linewidth=style.width)
    ax.plot(line.x[-1:], line.y[-1:], color=style.colour, marker=style.marker, markersize=4.5, clip_on=False, zorder=5)


def _end_labels(panel: Panel) -> list[tuple[float, str, str]]:
    """Return height, text and colour of each label: of many sites only the outermost are named."""
    faint = sorted((line for line in panel.lines if line.faint), key=lambda line: line.y[-1])
    named = faint if len(faint) <= 6 else [*faint[:2], *faint[-1:]]
    labels = [(line.y[-1], shortened(line.name, 16), MUTED) for line in named]
    labels += [(line.y[-1], shortened(line.name, 18), look(line.mark).colour) for line in panel.lines if not line.faint]
    return labels + [(value, mark.label, look(mark).colour) for mark, value in panel.levels]


def _name_ends(ax: Axes, labels: Sequence[tuple[float, str, str]]) -> None:
    low, high = ax.get_ylim()
    height = 72 * ax.figure.get_size_inches()[1] * ax.get_position().height  # type: ignore[union-attr]
    gap = 10.5 * (high - low) / height
    places = apart([place for place, _, _ in labels], gap=gap, low=low, high=high)
    for place, (_, text, colour) in zip(places, labels, strict=True):
        ax.annotate(
            text,
            (1, place),
            xytext=(7, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=TEXT,
            color=colour,
            annotation_clip=False,
        )


def _roomy(panel: Panel) -> tuple[float, float]:
    from medfl.publish.wording import metric_of

    values = [value for line in panel.lines for value in (*line.y, *line.low, *line.high)]
    values += [value for _, value in panel.levels]
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.05 * max(abs(high), 1.0)
    bounds = metric_of(panel.metric) if panel.metric else None
    ceiling = bounds.high if bounds and bounds.high is not None else high + room
    return (max(low - room, 0.0) if low >= 0 else low - room), min(high + room, ceiling)


def _whole_rounds(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5))


def roc_curve(roc: Roc, *, name: str) -> Drawing:
    """Draw ROC curves with chance and operating points; names and AUC stand in the empty corner."""
    with sheet(HALF, HALF) as figure:
        title(figure, roc.title)
        ax = _unit_square(axes(figure, left=38, right=12, bottom=34), x="1 − specificity", y="Sensitivity")
        ax.plot([0, 1], [0, 1], color=RULE, linewidth=1)
        _draw_curves(ax, roc.lines)
        for point in roc.points:
            style = look(point.mark)
            x, y = 1 - point.specificity.mean, point.sensitivity.mean
            if point.sensitivity.low is not None and point.sensitivity.high is not None:
                ax.plot([x, x], [point.sensitivity.low, point.sensitivity.high], color=style.colour, linewidth=0.9)
            if point.specificity.low is not None and point.specificity.high is not None:
                ax.plot(
                    [1 - point.specificity.high, 1 - point.specificity.low], [y, y], color=style.colour, linewidth=0.9
                )
            ax.plot(
                [x], [y], color=style.colour, marker=style.marker, markersize=6, markerfacecolor=style.fill,
                markeredgewidth=1.3, clip_on=False, zorder=6,
            )  # fmt: skip
        key(ax, [(line.mark, shortened(line.name, 22)) for line in roc.lines], at=(0.5, 0.06))
        return svg(figure, name=name, description=_roc_in_words(roc))


def _roc_in_words(roc: Roc) -> str:
    points = [
        f"{point.mark.label} works at sensitivity {with_interval(point.sensitivity)} and specificity "
        f"{with_interval(point.specificity)}"
        for point in roc.points
    ]
    names = ", ".join(line.name for line in roc.lines)
    return f"{roc.title} of {names}. " + ". ".join(points)


def pr_curve(view: PrecisionRecall, *, name: str) -> Drawing:
    """Draw precision-recall curves with the prevalence that guessing reaches."""
    with sheet(HALF, HALF) as figure:
        title(figure, "Precision and recall")
        ax = _unit_square(axes(figure, left=38, right=12, bottom=34), x="Recall (sensitivity)", y="Precision (PPV)")
        _draw_curves(ax, view.lines)
        low_corner = 0.06
        if view.prevalence is not None:
            ax.axhline(view.prevalence, color=RULE, linewidth=1)
            above = view.prevalence < 0.85
            ax.text(
                0.02, view.prevalence + (0.015 if above else -0.015), f"guessing: {number(view.prevalence)}",
                fontsize=SMALL, color=MUTED, va="bottom" if above else "top",
            )  # fmt: skip
            low_corner = view.prevalence + 0.1 if view.prevalence < 0.35 else 0.06
        key(ax, [(line.mark, shortened(line.name, 22)) for line in view.lines], at=(0.04, low_corner))
        names = ", ".join(line.name for line in view.lines)
        return svg(figure, name=name, description=f"Precision by recall of {names}")


def decision_plot(view: DecisionCurve, *, name: str) -> Drawing:
    """Draw net benefit by threshold, between treating nobody and treating everybody; lines are named at their ends."""
    labels = [(line.y[-1], shortened(line.name, 18), look(line.mark).colour) for line in view.lines]
    labels.append((0.0, "treat nobody", MUTED))
    with sheet(FULL, 3.1) as figure:
        title(figure, "Decision curve")
        ax = axes(figure, left=44, right=_CHARACTER * max(len(text) for _, text, _ in labels) + 12, bottom=34)
        top = max(0.0, *view.everyone, *(y for line in view.lines for y in line.y)) or 1.0
        ax.axhline(0.0, color=MUTED, linewidth=1)
        ax.plot(view.thresholds, view.everyone, color=FAINT, linewidth=1.4)
        if view.used is not None:
            ax.axvline(view.used, color=RULE, linewidth=1, zorder=0)
        _draw_curves(ax, view.lines)
        ax.set_xlim(0, 1)
        ax.set_ylim(-0.12 * top, 1.08 * top)
        ax.set_xticks(_FIFTHS, _FIFTHS_NAMED)
        ax.set_xlabel("Threshold: probability from which somebody is treated", loc="left")
        ax.set_ylabel("Net benefit", loc="bottom")
        _name_everyone(ax, view, below=0.4 * top)
        _name_ends(ax, labels)
        return svg(figure, name=name, description=_decision_in_words(view))


def _name_everyone(ax: Axes, view: DecisionCurve, *, below: float) -> None:
    """Name the curve of treating everybody where it has fallen free of the others."""
    place = next(place for place, benefit in enumerate(view.everyone) if benefit < below)
    ax.annotate(
        "treat everybody",
        (view.thresholds[place], view.everyone[place]),
        xytext=(-7, -4),
        textcoords="offset points",
        ha="right" if view.thresholds[place] > 0.2 else "left",
        fontsize=SMALL,
        color=MUTED,
    )


def _decision_in_words(view: DecisionCurve) -> str:
    told = [
        f"{line.name} {number(line.y[place])} at {view.thresholds[place]:.1f}"
        for line in view.lines
        for place in (9, 29, 49)
    ]
    return f"Net benefit by threshold: {', '.join(told)}"


def _unit_square(ax: Axes, *, x: str, y: str) -> Axes:
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_xticks(_FIFTHS, _FIFTHS_NAMED)
    ax.set_yticks(_FIFTHS, _FIFTHS_NAMED)
    ax.set_xlabel(x, loc="left")
    ax.set_ylabel(y, loc="bottom")
    return ax


def _draw_curves(ax: Axes, lines: Sequence[Line]) -> None:
    arms = [line for line in lines if line.mark.role == "arm"]
    for line in arms if len(arms) <= MOST_SHADES else ():
        ax.fill_between(
            line.x, line.low or line.y, line.high or line.y, color=look(line.mark).colour, alpha=0.1, linewidth=0
        )
    for line in lines:
        style = look(line.mark)
        ax.plot(
            line.x, line.y, color=style.colour, linestyle=style.dash, linewidth=style.width, solid_joinstyle="round"
        )


def calibration_plot(view: Calibration, *, name: str) -> Drawing:
    """Draw predicted against observed; below it, how often each probability is predicted, by outcome."""
    strip = bool(view.edges)
    with sheet(HALF, 4.55 if strip else HALF) as figure:
        title(figure, f"Calibration, {view.mark.label}")
        ax = axes(figure, left=38, right=12, bottom=92 if strip else 34)
        _calibration_points(ax, view)
        if strip:
            below = axes(figure, left=38, right=12, top=256, bottom=34)
            _score_strip(below, view)
            ax.tick_params(labelbottom=False)
            below.set_xlabel("Predicted probability", loc="left")
        else:
            ax.set_xlabel("Predicted", loc="left")
        pairs = ", ".join(
            f"{number(p)}: {number(o)}" for p, o in zip(view.predicted[::4], view.observed[::4], strict=True)
        )
        return svg(figure, name=name, description=f"Observed by predicted for {view.mark.label}: {pairs}")


def _calibration_points(ax: Axes, view: Calibration) -> None:
    style = look(view.mark)
    if view.edges:
        low, high = 0.0, 1.0
        _unit_square(ax, x="", y="Observed share")
    else:
        every = (*view.predicted, *view.observed, *view.low, *view.high)
        room = 0.04 * (max(every) - min(every)) or max(abs(max(every)), 1.0)
        low, high = min(every) - room, max(every) + room
        ax.set_xlim(low, high)
        ax.set_ylim(low, high)
        ax.set_ylabel("Observed", loc="bottom")
    ax.plot([low, high], [low, high], color=RULE, linewidth=1)
    ax.vlines(view.predicted, view.low, view.high, color=style.colour, linewidth=0.9, alpha=0.55)
    ax.plot(view.predicted, view.observed, color=style.colour, linewidth=0.8, alpha=0.55)
    largest = max(view.rows)
    sizes = [12 + 48 * rows / largest for rows in view.rows]
    ax.scatter(
        view.predicted, view.observed, s=sizes, marker=style.marker, facecolor=style.fill, edgecolor=style.colour,
        linewidth=1.2, clip_on=False, zorder=5,
    )  # fmt: skip
    if view.slope is not None and view.edges:
        ax.text(0.97, 0.05, f"slope {with_interval(view.slope)}", ha="right", fontsize=SMALL, color=MUTED)


def _score_strip(ax: Axes, view: Calibration) -> None:
    """Draw rows with the outcome upwards, without it downwards, each as a share of its own class."""
    from matplotlib.collections import PolyCollection

    positives, negatives = (_shares(side) for side in (view.positives, view.negatives))
    steps = list(zip(view.edges, view.edges[1:], strict=False))
    for shares, sign, colour in ((positives, 1, look(view.mark).colour), (negatives, -1, COLOURS["alone"])):
        bars = [[(a, 0), (a, sign * s), (b, sign * s), (b, 0)] for (a, b), s in zip(steps, shares, strict=True) if s]
        ax.add_collection(PolyCollection(bars, facecolor=colour, alpha=0.75, linewidth=0))
    peak = max((*positives, *negatives), default=1.0) or 1.0
    ax.set_xlim(0, 1)
    ax.set_ylim(-1.1 * peak, 1.1 * peak)
    ax.set_xticks(_FIFTHS, _FIFTHS_NAMED)
    ax.set_yticks([])
    ax.axhline(0, color=RULE, linewidth=0.8)
    ax.text(
        0.01,
        0.97,
        "with the outcome",
        transform=ax.transAxes,
        ha="left",
        va="top",
        fontsize=SMALL,
        color=look(view.mark).colour,
    )
    ax.text(
        0.99, 0.03, "without", transform=ax.transAxes, ha="right", va="bottom", fontsize=SMALL, color=COLOURS["alone"]
    )


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def confusion_matrix(view: Confusion, *, name: str) -> Drawing:
    """Draw true by predicted class: shade is the share of the true class, the number is rows."""
    count = len(view.classes)
    longest = max(len(shortened(label, 14)) for label in view.classes)
    with sheet(HALF, min(HALF, 1.5 + 0.42 * count)) as figure:
        title(figure, f"Confusion matrix, {view.mark.label}")
        ax = axes(figure, left=_CHARACTER * longest + 18, bottom=26, top=46)
        ax.grid(visible=False)
        ax.spines["bottom"].set_visible(False)
        for row, counts in enumerate(view.rows):
            for column, (rows, share) in enumerate(zip(counts, _shares(counts), strict=True)):
                ax.fill_between(
                    [column - 0.48, column + 0.48],
                    row - 0.47,
                    row + 0.47,
                    color=look(view.mark).colour,
                    alpha=0.05 + 0.5 * share,
                    linewidth=0,
                )
                if count <= 10:
                    ax.text(column, row, f"{rows:.0f}", ha="center", va="center", fontsize=TEXT)
        names = [shortened(label, 14) for label in view.classes]
        ax.set_xticks(range(count), names)
        ax.set_yticks(range(count), names)
        ax.xaxis.tick_top()
        ax.set_xlim(-0.5, count - 0.5)
        ax.set_ylim(count - 0.5, -0.5)
        ax.set_xlabel("Rows: true class. Columns: predicted class.", loc="left")
        return svg(figure, name=name, description=f"Confusion matrix of {view.mark.label}")
