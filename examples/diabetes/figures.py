"""The page's figures, drawn from the journals as SVG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from estimates import after, course, of_sites, pooled, ways
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medfl.publish.wording import limits_of
from medfl.store.comparison import Estimate
from medfl.store.views import ExecutionView, RunView

INK, MUTED, RULE = "#1b1f24", "#5b6570", "#d3d9df"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b0508f")
MARKERS = "os^v"
DASHES = ("solid", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.6, 1.2, 1.6)))
ARMS = {"fedavg": "FedAvg", "fedprox": "FedProx", "fedyogi": "FedYogi", "fedmedian": "FedMedian"}
STARTS = {
    "from-scratch": "from scratch",
    "transferred": "transferred",
    "only-the-head": "only the head",
    "head-then-all": "head, then all",
}
FAULTS = {
    "as-described": "as described",
    "one-sigmoid": "one sigmoid, raw features",
    "one-sigmoid-scaled": "one sigmoid, scaled features",
}

Views = Mapping[str, ExecutionView]


def splits(views: Views, folder: Path) -> str:
    """Draw AUC by way of learning, one panel a split, ten sites."""
    names = {"alone": "alone (mean of sites)", **ARMS, "centralised": "all rows in one place"}
    panels = {"iid": "Dealt at random", "age": "One age band each", "dirichlet": "Dirichlet 0.5"}
    figure = Figure(layout="constrained", figsize=(7.6, 2.6))
    every = figure.subplots(1, 3, sharey=True, sharex=True)
    for ax, (split, title) in zip(every, panels.items(), strict=True):
        found = ways(views[f"{split}-10"])
        for place, name in enumerate(reversed(names)):
            known = of_sites(found[name], "auc") if name == "alone" else pooled(found[name], "auc")
            if known is not None:
                _point(ax, known, place, list(names).index(name))
        _plain(ax, title)
        ax.grid(axis="x", color=RULE, linewidth=0.6)
        ax.set_xlabel("AUC, 95 % interval", fontsize=8, color=MUTED)
    every[0].set_yticks(range(len(names)), list(reversed(names.values())), fontsize=8)
    return _saved(figure, folder, "splits", "AUC of each way of learning on ten sites, by how the rows are dealt")


def transfer(views: Views, folder: Path) -> str:
    """Draw AUC by round of every start, one panel a setting; a start below the axis is told in words."""
    panels = {
        "scarce-age": "200 a site,\nfrom another population",
        "scarce-half": "200 a site,\nfrom the same population",
        "plenty-age": "4 361 a site,\nfrom another population",
    }
    low, high = 0.90, 0.97
    figure = Figure(layout="constrained", figsize=(7.6, 3.2))
    every = figure.subplots(1, 3, sharey=True)
    for ax, (name, title) in zip(every, panels.items(), strict=True):
        _courses(ax, views[name].arms, STARTS)
        first = after(views[name].arms["from-scratch"], 1)
        if first is not None and first.mean < low:
            ax.text(5, low + 0.002, f"from scratch: {first.mean:.3f}\nafter round 1", fontsize=7.5, color=COLOURS[0])
        _plain(ax, title)
        ax.grid(axis="y", color=RULE, linewidth=0.6)
        ax.set_xlabel("round", fontsize=8, color=MUTED)
        ax.set_ylim(low, high)
    every[0].set_ylabel("AUC, pooled", fontsize=8, color=MUTED)
    every[-1].legend(frameon=False, fontsize=8, loc="lower right", handlelength=3.2)
    return _saved(figure, folder, "transfer", "AUC by round, from scratch and transferred, in three settings")


def published(view: ExecutionView, folder: Path) -> str:
    """Draw AUC by round of the published set-up and of what is left when its faults are mended."""
    figure = Figure(layout="constrained", figsize=(5.6, 2.8))
    ax = figure.subplots()
    for low, high, words in ((0.75, 0.78, "published, without transfer"), (0.85, 0.90, "published, with transfer")):
        ax.axhspan(low, high, color="#eef1f4", zorder=0)
        ax.text(15.2, (low + high) / 2, words, fontsize=7.5, color=MUTED, va="center", ha="right")
    _courses(ax, view.arms, FAULTS)
    _plain(ax, "The published set-up, run as described, and mended")
    ax.set_xlabel("round", fontsize=8, color=MUTED)
    ax.set_ylabel("AUC, pooled", fontsize=8, color=MUTED)
    ax.set_ylim(0.45, 1.0)
    ax.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.02, 0.06), handlelength=3.2)
    return _saved(figure, folder, "published", "AUC by round of the published set-up and of two mended ones")


def _courses(ax: Axes, arms: Mapping[str, Sequence[RunView]], names: Mapping[str, str]) -> None:
    for place, (arm, words) in enumerate(names.items()):
        rounds, known = course(arms[arm])
        colour = COLOURS[place]
        ax.plot(rounds, [one.mean for one in known], color=colour, linestyle=DASHES[place], linewidth=1.7, label=words)
        ends = [limits_of(one, metric="auc") or (one.mean, one.mean) for one in known]
        ax.fill_between(rounds, *zip(*ends, strict=True), color=colour, alpha=0.15, linewidth=0)
        first = after(arms[arm], 1)
        if first is not None:
            ax.plot([1], [first.mean], marker=MARKERS[place], color=colour, markersize=4)
    ax.xaxis.get_major_locator().set_params(integer=True)


def _point(ax: Axes, known: Estimate, place: int, number: int) -> None:
    ends = number in (0, 5)
    colour = MUTED if number == 0 else INK if number == 5 else COLOURS[number - 1]
    marker = "oD"[number == 5] if ends else MARKERS[number - 1]
    if limits := limits_of(known, metric="auc"):
        ax.plot(limits, [place, place], color=colour, linewidth=1.6, solid_capstyle="round")
    ax.plot(
        [known.mean], [place], marker=marker, color=colour, markerfacecolor="white" if ends else colour, markersize=5
    )


def _plain(ax: Axes, title: str) -> None:
    ax.set_title(title, fontsize=9, fontweight="bold", color=INK, loc="left")
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(RULE)
    ax.tick_params(length=0, colors=MUTED, labelsize=8)
    ax.set_axisbelow(True)


def _saved(figure: Figure, folder: Path, name: str, words: str) -> str:
    with rc_context({"svg.hashsalt": "medfl"}):  # so that the same journals make the same file
        nothing = {"Date": None, "Creator": None}
        figure.savefig(folder / f"proof-of-concept-{name}.svg", metadata=nothing)
    return f"![{words}](figures/proof-of-concept-{name}.svg)"
