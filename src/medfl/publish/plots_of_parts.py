"""Figures of a comparison in parts, drawn: rows of dots with their intervals, and the numbers beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medfl.publish.drawing import ALARM, FULL, INK, MUTED, RULE, SMALL, Drawing, axes, look, sheet, svg, title
from medfl.publish.parts import DotRow, Dots, in_words
from medfl.publish.plots_by_site import beside, directions, draw_estimate, marker_at
from medfl.publish.wording import number, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STEP, _GAP = 10.0, 9.0
"""Height in points of a dot, and what a row has besides."""
_NAME = 26
"""Letters of a row's name that are written out."""


@dataclass(frozen=True, slots=True)
class _Place:
    row: DotRow
    y: float


def dot_plot(view: Dots, *, name: str) -> Drawing:
    """Draw rows of dots, the first at the top."""
    places, bottom = list(_places(view)), _height(view)
    counted = any(row.count for row in view.rows)
    left = min(5.3 * max(len(shortened(row.name, _NAME)) for row in view.rows) + (56 if counted else 20), 205)
    right = 4.5 * max(len(view.values), *(len(dot.text) for row in view.rows for dot in row.dots)) + 14
    below = 46 if view.left or view.right else 24
    with sheet(FULL, (bottom + 38 + below) / 72) as figure:
        title(figure, view.title)
        ax = axes(figure, left=left, right=right, top=38, bottom=below)
        ax.grid(visible=False)
        ax.grid(axis="x", color=RULE, linewidth=0.6)
        ax.set_yticks([])
        ax.set_ylim(bottom, 0)
        ax.set_xlim(_span(view))
        _lines(ax, view)
        _head(ax, view, left=left, counted=counted)
        for place in places:
            _draw_row(ax, place, left=left)
        directions(ax, view.left, view.right)
        return svg(figure, name=name, description=in_words(view))


def _places(view: Dots) -> Iterator[_Place]:
    y = 2.0
    for row in view.rows:
        height = _row_height(row)
        yield _Place(row, y + height / 2)
        y += height


def _row_height(row: DotRow) -> float:
    return _STEP * max(len(row.dots), 1) + _GAP


def _height(view: Dots) -> float:
    return 4.0 + sum(map(_row_height, view.rows))


def _draw_row(ax: Axes, place: _Place, *, left: float) -> None:
    row = place.row
    indent = 0 if not row.dots else 8 if row.count else 0
    weight = "normal" if row.dots else "bold"
    beside(ax, shortened(row.name, _NAME), at=(indent - left, place.y), fontweight=weight)
    if row.count:
        beside(ax, row.count, at=(-10, place.y), color=MUTED, ha="right")
    for index, dot in enumerate(row.dots):
        y = place.y + _STEP * (index - (len(row.dots) - 1) / 2)
        if dot.estimate is not None:
            draw_estimate(ax, dot.mark, dot.estimate, y=y)
        colour = MUTED if dot.estimate is None else look(dot.mark).colour if len(row.dots) > 1 else INK
        beside(ax, dot.text, at=(8, y), right=True, color=colour, fontsize=7.6)


def _lines(ax: Axes, view: Dots) -> None:
    if view.reference is not None:
        ax.axvline(view.reference, color=MUTED, linewidth=0.9)
    if view.margin is not None:
        ax.axvline(view.margin, color=ALARM, linewidth=1.2, linestyle=(0, (4, 2)))
        ax.annotate(
            f"margin {number(view.margin, metric=view.metric)}",
            (view.margin, 1),
            xytext=(0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="left" if view.margin < 0 else "right",
            va="bottom",
            fontsize=SMALL,
            color=ALARM,
            annotation_clip=False,
        )


def _head(ax: Axes, view: Dots, *, left: float, counted: bool) -> None:
    beside(ax, view.names, at=(-left, -8), color=MUTED, fontsize=SMALL)
    if counted:
        beside(ax, "test rows", at=(-10, -8), color=MUTED, ha="right", fontsize=SMALL)
    offset = 6.0
    for mark in view.marks if len(view.marks) > 1 else ():
        text = shortened(mark.label, 18)
        marker_at(ax, mark, at=(offset, -8.0))
        beside(ax, text, at=(offset + 7, -8), color=look(mark).colour, fontsize=SMALL)
        offset += 5.0 * len(text) + 24
    beside(ax, view.values, at=(8, -8), right=True, color=MUTED, fontsize=7.6)


def _span(view: Dots) -> tuple[float, float]:
    """Return x limits: all numbers with their intervals and lines, and a little room where the numbers may go on."""
    every = [dot.estimate for row in view.rows for dot in row.dots if dot.estimate is not None]
    ends = [end for one in every for end in (one.mean, one.low, one.high) if end is not None]
    ends += [line for line in (view.reference, view.margin) if line is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    room = 0.06 * (high - low) or 0.05 * max(abs(high), 1.0)
    low = low - room if view.low is None else max(low - room, view.low)
    return low, high + room if view.high is None else min(high + room, view.high + 0.004)
