"""Figures drawn: sites side by side, differences between ways of learning, who took part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from medfl.publish.drawing import (
    ALARM,
    COLOURS,
    FULL,
    INK,
    MUTED,
    RULE,
    SMALL,
    TEXT,
    Drawing,
    axes,
    look,
    sheet,
    svg,
    title,
)
from medfl.publish.figures import Compared, Forest, ForestRow, Participation
from medfl.publish.ways import Mark
from medfl.publish.wording import (
    bounded,
    counted,
    difference,
    in_sentence,
    label,
    metric_of,
    p_value,
    shortened,
    whole,
    with_interval,
)
from medfl.store.comparison import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CROWD = 24
"""Sites from which on only the outermost are drawn at full height."""
_TEXT_STYLE: Mapping[str, Any] = MappingProxyType({"va": "center", "color": INK, "fontsize": TEXT})
ENDS = 8
"""Sites at each end that keep their full height and name in a crowd."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a row is drawn: its height in points from the top, its own height, and whether it is named."""

    row: ForestRow
    y: float
    height: float
    named: bool


def forest_plot(view: Forest, *, name: str) -> Drawing:
    """Draw each site under each way of learning, with 95 % intervals; in a crowd the middle is drawn small."""
    places = list(_places(view))
    bottom = places[-1].y + places[-1].height / 2 + 6
    with sheet(FULL, (bottom + 66) / 72) as figure:
        title(figure, f"{label(view.metric)} at each site")
        ax = axes(figure, left=172, right=104, top=34, bottom=32)
        ax.grid(visible=False)
        ax.grid(axis="x", color=RULE, linewidth=0.6)
        ax.set_yticks([])
        ax.set_ylim(bottom, 0)
        ax.set_xlim(_span(view))
        for place in places:
            _draw_row(ax, place, view)
        _head(ax, view)
        return svg(figure, name=name, description=_in_words(view))


def _places(view: Forest) -> Iterator[_Place]:
    """Yield the sites from the top down, then all of them together."""
    step = 9.0 * len(view.marks) + 9
    crowd = len(view.rows) > CROWD
    rows = sorted(view.rows, key=_federated) if crowd else view.rows
    y = 4.0
    for index, row in enumerate(rows):
        named = not crowd or index < ENDS or index >= len(rows) - ENDS
        height = step if named else 2.6
        yield _Place(row, y + height / 2, height, named)
        y += height
    if len(view.rows) > 1:
        yield _Place(view.pooled, y + 6 + step / 2, step, True)


def _federated(row: ForestRow) -> float:
    arm = next((estimate for mark, estimate in row.estimates if mark.role == "arm"), None)
    return arm.mean if arm else float("inf")


def _draw_row(ax: Axes, place: _Place, view: Forest) -> None:
    row, count = place.row, len(view.marks)
    if place.named:
        together = row is view.pooled
        if together and len(view.rows) > 1:
            ax.axhline(place.y - place.height / 2 - 3, color=RULE, linewidth=0.8)
        weight = "bold" if together else "normal"
        text = "All sites together" if together else shortened(row.site, 22)
        beside(ax, text, at=(-172, place.y), color=INK, fontweight=weight)
        beside(ax, "–" if row.test_rows is None else whole(row.test_rows), at=(-12, place.y), color=MUTED, ha="right")
    for index, (mark, estimate) in enumerate(row.estimates):
        y = place.y + 9.0 * (index - (count - 1) / 2) if place.named else place.y
        if estimate is not None:
            draw_estimate(ax, mark, bounded(estimate, metric=view.metric), y=y, small=not place.named)
        if place.named and (estimate is not None or row is not view.pooled):
            text = with_interval(estimate, metric=view.metric)
            beside(ax, text, at=(8, y), right=True, color=look(mark).colour if estimate else MUTED, fontsize=7.2)


def draw_estimate(ax: Axes, mark: Mark, estimate: Estimate, *, y: float, small: bool = False) -> None:
    """Draw a number and its interval as the way of learning looks; small ones without the intervals of baselines."""
    style = look(mark)
    if estimate.low is not None and estimate.high is not None and not (small and mark.role != "arm"):
        width = 0.5 if small else 1.3
        ax.plot([estimate.low, estimate.high], [y, y], color=style.colour, linewidth=width, solid_capstyle="butt")
    ax.plot(
        [estimate.mean],
        [y],
        color=style.colour,
        marker=style.marker,
        markersize=1.6 if small else 5,
        markerfacecolor=style.fill,
        markeredgewidth=0.4 if small else 1.1,
        linestyle="none",
        zorder=4,
        clip_on=False,
    )


def beside(ax: Axes, text: str, *, at: tuple[float, float], right: bool = False, **style: Any) -> None:
    """Write text so many points from the left (or right) edge of the axes, at a height in data."""
    points, y = at
    ax.annotate(
        text,
        (1 if right else 0, y),
        xytext=(points, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        annotation_clip=False,
        **{**_TEXT_STYLE, **style},
    )


def _head(ax: Axes, view: Forest) -> None:
    beside(ax, "Site", at=(-172, -7), color=MUTED, fontsize=SMALL)
    beside(ax, "test rows", at=(-12, -7), color=MUTED, ha="right", fontsize=SMALL)
    offset = 6.0
    for mark in view.marks:
        style = look(mark)
        text = shortened(mark.label, 18)
        marker_at(ax, mark, at=(offset, -7.0))
        beside(ax, text, at=(offset + 6, -7), color=style.colour, fontsize=SMALL)
        offset += 5.0 * len(text) + 22
    beside(ax, f"{label(view.metric)} (95 % interval)", at=(8, -7), right=True, color=MUTED, fontsize=7.2)
    if len(view.rows) > CROWD:
        small = len(view.rows) - 2 * ENDS
        first = 4.0 + ENDS * (9.0 * len(view.marks) + 9)
        beside(ax, f"{small} sites between,\ndrawn small", at=(-172, first + 1.3 * small), color=MUTED)


def marker_at(ax: Axes, mark: Mark, *, at: tuple[float, float]) -> None:
    """Draw the marker of a way of learning so many points from the left edge of the axes, at a height in data."""
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    style = look(mark)
    figure = ax.get_figure(root=True)
    shift = ScaledTranslation(at[0] / 72, 0, figure.dpi_scale_trans)  # type: ignore[union-attr]
    ax.plot(
        [0], [at[1]], transform=blended_transform_factory(ax.transAxes, ax.transData) + shift, color=style.colour,
        marker=style.marker, markersize=5, markerfacecolor=style.fill, markeredgewidth=1.1, clip_on=False,
    )  # fmt: skip


def _span(view: Forest) -> tuple[float, float]:
    """Return x limits: what the estimates need, of an interval no more than keeps them readable."""
    every = [estimate for row in (*view.rows, view.pooled) for _, estimate in row.estimates if estimate]
    ends = [end for estimate in every for end in (estimate.mean, estimate.low, estimate.high) if end is not None]
    low, high = min(ends), max(ends)
    room = 0.03 * (high - low) or 0.05 * max(abs(high), 1.0)
    known = metric_of(view.metric)
    low = low - room if known.low is None else max(low - room, known.low)
    return low, high + room if known.high is None else min(high + room, known.high + 0.004)


def _in_words(view: Forest) -> str:
    parts = [
        f"{mark.label} {with_interval(estimate, metric=view.metric)}"
        for mark, estimate in view.pooled.estimates
        if estimate
    ]
    sites = counted(len(view.rows), "site")
    return f"{label(view.metric)} at {sites}, by way of learning. All sites together: {', '.join(parts)}"


def difference_plot(rows: Sequence[Compared], *, name: str) -> Drawing:
    """Draw each difference with its interval around zero, and the test's verdict beside it."""
    metric = rows[0].result.metric
    with sheet(FULL, (26 * len(rows) + 74) / 72) as figure:
        title(figure, f"Difference in {in_sentence(metric)}")
        names = [f"{shortened(row.first.label, 17)} − {shortened(row.second.label, 17)}" for row in rows]
        left = 5.0 * max(map(len, names)) + 24
        ax = axes(figure, left=left, right=176, top=34, bottom=38)
        ax.grid(visible=False)
        ax.set_yticks([])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        reach = max(abs(end) for row in rows for end in _ends(row)) * 1.12 or 1.0
        ax.set_xlim(-reach, reach)
        ax.axvline(0, color=MUTED, linewidth=0.9)
        _directions(ax, metric)
        for y, (name_of_row, row) in enumerate(zip(names, rows, strict=True)):
            beside(ax, name_of_row, at=(-left, y))
            _draw_difference(ax, row, y)
        beside(ax, "difference (95 % interval)", at=(8, -0.86), right=True, color=MUTED, fontsize=SMALL)
        words = "; ".join(
            f"{row.first.label} minus {row.second.label} {difference(row.result.difference, metric=metric)}"
            for row in rows
        )
        return svg(figure, name=name, description=f"Differences in {in_sentence(metric)}: {words}")


def _draw_difference(ax: Axes, row: Compared, y: int) -> None:
    found, style = row.result.difference, look(row.first)
    if found is None:
        return
    if found.low is not None and found.high is not None:
        ax.plot([found.low, found.high], [y, y], color=style.colour, linewidth=1.5, solid_capstyle="butt")
    ax.plot([found.mean], [y], color=style.colour, marker=style.marker, markersize=6, linestyle="none")
    verdict = p_value(row.result.p_holm) or "no test"
    text = f"{difference(found, metric=row.result.metric)}   {verdict}"
    beside(ax, text, at=(8, y), right=True, color=INK)


def _ends(row: Compared) -> list[float]:
    found = row.result.difference
    return [end for end in (found.mean, found.low, found.high) if end is not None] if found else []


def _directions(ax: Axes, metric: str) -> None:
    better = metric_of(metric).higher_is_better
    if better is not None:
        directions(
            ax, *(("second is better", "first is better") if better else ("first is better", "second is better"))
        )


def directions(ax: Axes, left: str, right: str) -> None:
    """Write below the axis what it means to lie on either side, where it means anything."""
    for text, x, side in ((f"← {left}" if left else "", 0.0, "left"), (f"{right} →" if right else "", 1.0, "right")):
        ax.annotate(
            text, (x, 0), xytext=(0, -26), xycoords="axes fraction", textcoords="offset points", ha=side, va="center",
            fontsize=SMALL, color=MUTED,
        )  # fmt: skip


def participation_map(view: Participation, *, name: str) -> Drawing:
    """Draw the sites that failed by round: a light cell took part, a crossed one failed."""
    sites = list(view.failed)
    with sheet(FULL, (14 * len(sites) + 62) / 72) as figure:
        title(figure, "Sites that failed, by round")
        ax = axes(figure, left=150, right=12, top=26, bottom=30)
        ax.grid(visible=False)
        ax.spines["bottom"].set_visible(False)
        ax.set_xlim(0.5, view.rounds + 0.5)
        ax.set_ylim(len(sites) - 0.5, -0.5)
        for y, site in enumerate(sites):
            ax.plot([0.5, view.rounds + 0.5], [y, y], color=RULE, linewidth=8, solid_capstyle="butt")
            failed = sorted(view.failed[site])
            ax.plot(
                failed, [y] * len(failed), color=ALARM, marker="x", markersize=6, markeredgewidth=1.6, linestyle="none"
            )
            if view.runs > 1:
                for number in failed:
                    ax.annotate(
                        str(view.failed[site][number]), (number, y), xytext=(6, 0), textcoords="offset points",
                        fontsize=7, va="center", color=COLOURS["alarm"],
                    )  # fmt: skip
        ax.set_yticks(range(len(sites)), [shortened(site, 24) for site in sites])
        ax.set_xlabel("Round", loc="left")
        from matplotlib.ticker import MaxNLocator

        ax.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
        words = "; ".join(f"{site} in rounds {', '.join(map(str, sorted(view.failed[site])))}" for site in sites)
        return svg(figure, name=name, description=f"Failures: {words}")
