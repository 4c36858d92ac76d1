"""The sheet that figures are drawn on: sizes, colours, type, and the way from matplotlib to inline SVG.

A drawing carries no colours of its own to the page: each is replaced by a CSS variable with itself as the fallback, so
that one drawing is right on light paper, on a dark screen and in print, and takes the page's type. Matplotlib is
imported where it is used; no global setting of it is touched.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from threading import RLock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from medfl.publish.ways import Mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito (2008), darkened where a thin line needs it; white and black for print are told apart by marker and dash.
COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "ink": "#1b1f24",
        "muted": "#5b6570",
        "rule": "#d3d9df",
        "faint": "#aab3bc",
        "paper": "#fefefe",
        "alone": "#727c87",
        "arm-0": "#0072b2",
        "arm-1": "#d55e00",
        "arm-2": "#009e73",
        "arm-3": "#b0508f",
        "arm-4": "#a97b00",
        "arm-5": "#3b9ad6",
        "alarm": "#b3261e",
    }
)
INK, MUTED, RULE, FAINT, PAPER, ALARM = (COLOURS[name] for name in ("ink", "muted", "rule", "faint", "paper", "alarm"))
WHITE = "#ffffff"
SMALL, TEXT, TITLE = 8.0, 8.5, 9.5
HALF, FULL = 3.9, 7.6
"""Width in inches of a figure that stands beside another, and of one that stands alone."""

_TURNS = RLock()
"""Matplotlib's settings are those of the whole process: two threads that draw at once would take each other's."""
_MARKERS = "os^vPX"
_DASHES: tuple[Any, ...] = (
    "solid",
    (0, (5, 1.6)),
    (0, (1.2, 1.4)),
    (0, (6, 1.6, 1.2, 1.6)),
    (0, (9, 2)),
    (0, (3, 1, 1, 1)),
)


@dataclass(frozen=True, slots=True)
class Look:
    """Colour, marker, fill and dash of a way of learning."""

    colour: str
    marker: str
    fill: str
    dash: Any
    width: float = 1.7


def look(mark: Mark) -> Look:
    """Return how a way of learning looks in every figure."""
    if mark.role == "local-only":
        return Look(COLOURS["alone"], "o", PAPER, (0, (1, 1.5)))
    if mark.role == "centralised":
        return Look(INK, "D", PAPER, (0, (3.5, 2)), 1.2)
    colour = COLOURS[f"arm-{mark.place % 6}"]
    # From the seventh arm on colours come back, each with another marker and dash than before.
    turn = (mark.place + mark.place // 6) % 6
    # What sites made of an arm's model has the arm's colour and marker, and no filling.
    return Look(colour, _MARKERS[turn], PAPER if mark.personal else colour, _DASHES[turn])


@contextmanager
def sheet(width: float, height: float) -> Iterator[Figure]:
    """Give an empty figure of this size in inches."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with _TURNS, rc_context(_settings()):
        figure = Figure(figsize=(width, height))
        FigureCanvasSVG(figure)
        yield figure


def axes(figure: Figure, *, left: float = 34, right: float = 8, top: float = 22, bottom: float = 30) -> Axes:
    """Add axes inside margins given in points: no frame, a line below, light lines across."""
    width, height = (72 * inches for inches in figure.get_size_inches())
    place = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    ax = figure.add_axes(place)
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(RULE)
    ax.tick_params(length=0, colors=MUTED, labelsize=SMALL, pad=4)
    ax.grid(axis="y", color=RULE, linewidth=0.6)
    ax.set_axisbelow(True)
    return ax


def title(figure: Figure, text: str) -> None:
    """Write a figure's title at its top left."""
    height = 72 * figure.get_size_inches()[1]
    figure.text(0, 1 - 2 / height, text, ha="left", va="top", fontsize=TITLE, fontweight="bold", color=INK)


def key(ax: Axes, entries: Sequence[tuple[Mark, str]], *, at: tuple[float, float], step: float = 0.062) -> None:
    """Write names beside their line and marker, from the lowest up, at a place in the axes' own unit square."""
    x, y = at
    for row, (mark, text) in enumerate(reversed(entries)):
        style, height = look(mark), y + row * step
        ax.plot(
            [x, x + 0.045, x + 0.09],
            [height] * 3,
            transform=ax.transAxes,
            color=style.colour,
            linestyle=style.dash,
            linewidth=style.width,
            clip_on=False,
        )
        ax.text(x + 0.115, height, text, transform=ax.transAxes, va="center", fontsize=TEXT, color=style.colour)


def apart(places: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Move labels apart until neighbours are `gap` from each other, as little as needed, inside low and high."""

    def start(group: Sequence[int]) -> float:
        """Return where the lowest label of a stack stands when the stack is centred on its labels' places."""
        length = gap * (len(group) - 1)
        centre = sum(places[index] for index in group) / len(group)
        return max(min(centre - length / 2, high - length), low)

    groups: list[list[int]] = []
    for index in sorted(range(len(places)), key=lambda index: places[index]):
        group = [index]
        while groups and start(group) < start(groups[-1]) + gap * len(groups[-1]):
            group = groups.pop() + group
        groups.append(group)
    moved = {index: start(group) + step * gap for group in groups for step, index in enumerate(group)}
    return [moved[index] for index in range(len(places))]


class Drawing(str):
    """A figure as SVG to be put into a page; it can also be taken out of it, as a file of its own."""

    _figure: Figure

    def __new__(cls, text: str, figure: Figure) -> Self:
        """Keep the figure beside its text."""
        made = super().__new__(cls, text)
        made._figure = figure
        return made

    @property
    def file(self) -> str:
        """The SVG as a file: with a size, its type and its colours, on white; any program can read it."""
        text = _VARIABLE.sub(r"\1", self)
        width, height = text.partition('viewBox="')[2].partition('"')[0].split()[2:]
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="{height}pt" '
            "font-family=\"'DejaVu Sans', Verdana, sans-serif\""
        )
        body = text.replace("<svg", head, 1).replace(">", f'>\n<rect width="100%" height="100%" fill="{WHITE}"/>', 1)
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'

    def png(self, *, dpi: int = 220) -> bytes:
        """Return the same figure as PNG on white, at so many dots an inch."""
        from matplotlib import rc_context

        body = io.BytesIO()
        with _TURNS, rc_context(_settings()):
            self._figure.savefig(body, format="png", dpi=dpi, facecolor=WHITE, metadata={"Software": None})
        return body.getvalue()


def svg(figure: Figure, *, name: str, description: str) -> Drawing:
    """Return a figure as SVG to be put into a page: the same text for the same figure.

    Parameters
    ----------
    name
        A prefix for ids, unique in the page.
    description
        What it shows, in words.
    """
    body = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(body, format="svg", transparent=True, metadata=nothing)
    return Drawing(_inline(body.getvalue(), name, description), figure)


def _settings() -> Any:
    """Return what differs from matplotlib's own defaults; its type would name each of its 300 keys."""
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "medfl",
        "svg.id": None,
        "font.family": ["DejaVu Sans"],
        "font.size": TEXT,
        "text.color": INK,
        "text.parse_math": False,
        "axes.labelcolor": MUTED,
        "axes.labelsize": SMALL,
        "axes.unicode_minus": True,
        "axes.formatter.use_mathtext": False,
        "axes.formatter.useoffset": False,
        "lines.solid_capstyle": "round",
        "path.simplify": True,
    }


_HEAD = re.compile(r'<svg [^>]*viewBox="([^"]+)"[^>]*>')
_STYLE = re.compile(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>\s*", re.DOTALL)
_ID = re.compile(r' id="([^"]+)"')
_VARIABLE = re.compile(r"var\(--[a-z0-9-]+, (#[0-9a-f]{6})\)")
_REFERENCE = re.compile(r'(?:href="#|url\(#)([^")]+)')


def _inline(text: str, name: str, description: str) -> str:
    text = _STYLE.sub("", text[text.index("<svg") :], count=1)
    text = text.replace("xlink:href", "href").replace("font-family: 'DejaVu Sans'; ", "")
    used = set(_REFERENCE.findall(text))
    text = _ID.sub(lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", text)
    text = text.replace('href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    for variable, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{variable}, {colour})")
    kind, words = name.partition("-")[0], escape(description)
    text = _HEAD.sub(
        lambda head: f'<svg class="{kind}" viewBox="{head[1]}" role="img" aria-label="{words}">', text, count=1
    )
    return re.sub(r"\s*\n\s*", "\n", text).strip()
