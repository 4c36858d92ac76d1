"""How a study is told in a terminal or a notebook: progress while it runs, tables when it is done.

Everything is made from events and views. Nothing here prints: displays write to the console they are given, the rest
returns renderables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from medfl.publish.following import LiveDisplay, PlainDisplay
from medfl.publish.wording import label, limits_of, metric_of, number, shortened, with_interval
from medfl.store.comparison import Estimate
from medfl.store.results import Row, headline, results_table
from medfl.store.views import ExecutionView, RunView

MOST_ROWS = 12
"""Hospitals shown one by one; of more, the worst and the mean are."""


@contextmanager
def progress(execution: ExecutionView, console: Console | None = None) -> Iterator[LiveDisplay | PlainDisplay]:
    """Show an execution's progress: a bar on a terminal or in a notebook, plain lines elsewhere."""
    console = console or Console(stderr=True, highlight=False)
    kind = LiveDisplay if console.is_terminal or console.is_jupyter else PlainDisplay
    with kind(execution, console) as display:
        yield display


def results(execution: ExecutionView) -> RenderableType:
    """Return the final table: each hospital alone, federated, centralised, with 95 % intervals."""
    metrics = headline(execution)
    rows = results_table(execution, metrics)
    if not rows:
        return Text("No run has been judged yet.", style="dim")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Judged on", no_wrap=True)
    for metric in metrics:
        table.add_column(label(metric), justify="right", min_width=11)
    for (learned, arm), group in groupby(_shown(rows), key=lambda row: (row.learned, row.arm)):
        table.add_row(_heading(learned, arm, execution), style="bold")
        for row in group:
            cells = [_cell(row.estimates.get(metric), metric) for metric in metrics]
            table.add_row(f"  {_judged_on(row)}", *cells, style="cyan" if row.scope == "pooled" else "")
    question = [Text(execution.question)] if execution.question else []
    title = Text(execution.study, style="bold")
    return Group(Text(), title, *question, Text(), table, Text(), *_footnotes(execution, metrics))


def runs_table(entries: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return the list of runs, newest first."""
    table = Table(box=None, pad_edge=False)
    for title in ("Run", "Study", "Arm", "Seed", "Status", "Rounds"):
        table.add_column(title, justify="right" if title in {"Seed", "Rounds"} else "left", no_wrap=title == "Run")
    styles = {"finished": "green", "failed": "red", "interrupted": "yellow", "running": "cyan"}
    for entry in entries:
        status = str(entry["status"])
        table.add_row(
            str(entry["run"]),
            str(entry["study"]),
            str(entry["arm"]),
            str(entry["seed"]),
            Text(status, style=styles.get(status, "")),
            str(entry["rounds"]),
        )
    return table


def run_details(run: RunView) -> RenderableType:
    """Return what is known of one run."""
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, value in _facts(run):
        facts.add_row(name, value)
    parts: list[RenderableType] = [Text(f"{run.study} · {_name(run)}", style="bold"), facts]
    if run.sites:
        parts.append(_sites(run))
    parts += [Text(f"Note: {_at(notice.site)}{notice.text}", style="yellow") for notice in run.notices]
    if run.error is not None:
        parts.append(Text(run.error.message, style="red"))
    if run.status in {"interrupted", "failed", "planned"}:
        parts.append(Text(f"Go on with: medfl resume {run.run}", style="cyan"))
    return Group(*parts)


def plain(renderable: RenderableType, width: int = 100) -> str:
    """Return a renderable as text."""
    console = Console(file=StringIO(), width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def as_html(renderable: RenderableType, width: int = 110) -> str:
    """Return a renderable as a piece of HTML, for a notebook."""
    console = Console(file=StringIO(), width=width, record=True, highlight=False)
    console.print(renderable)
    return console.export_html(inline_styles=True, code_format='<pre style="line-height:1.3">{code}</pre>')


def _facts(run: RunView) -> Iterator[tuple[str, str]]:
    yield "run", run.run
    yield "status", run.status
    yield "rounds", f"{run.rounds} of {run.planned_rounds}"
    yield "seed", str(run.seed)
    yield "study digest", run.digest
    if run.model:
        yield "model", run.model
    if run.started:
        yield "started", run.started
    if run.ended:
        yield "ended", run.ended
    if run.seconds:
        yield "time worked", f"{run.seconds:.1f} s"
    if run.versions:
        yield "versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())


def _sites(run: RunView) -> Table:
    metrics = [name for name in ("auc", "accuracy", "sensitivity", "specificity", "rmse", "r2") if name in run.metrics]
    table = Table(box=None, pad_edge=False)
    table.add_column("Site")
    table.add_column("Train rows", justify="right")
    table.add_column("Test rows", justify="right")
    for metric in metrics:
        table.add_column(label(metric), justify="right")
    for site in run.sites.values():
        cells = [number(site.metrics.get(metric)) for metric in metrics]
        table.add_row(site.name, str(site.train_rows or ""), str(site.test_rows or ""), *cells)
    if metrics:
        table.add_row("all", "", "", *[number(run.metrics.get(metric)) for metric in metrics], style="bold")
    return table


def _shown(rows: Sequence[Row]) -> Iterator[Row]:
    """Leave out single hospitals where there are many, but for each group's worst."""
    crowded = len({row.site for row in rows if row.site}) > MOST_ROWS
    return (row for row in rows if not (crowded and row.scope == "site" and not row.worst))


def _heading(learned: str, arm: str, execution: ExecutionView) -> str:
    if learned == "federated":
        return f"Federated: {arm}" if len(execution.arms) > 1 else "Federated"
    return {"alone": "Each site alone", "centralised": "All rows in one place"}[learned]


def _cell(estimate: Estimate | None, metric: str) -> str:
    """Return a number with its interval; two decimals do for the ends of a share, and keep the table narrow."""
    limits = limits_of(estimate, metric=metric) if estimate is not None else None
    if estimate is None or limits is None or metric_of(metric).unit:
        return with_interval(estimate, metric=metric)
    return f"{number(estimate.mean, metric=metric)} ({limits[0]:.2f}–{limits[1]:.2f})"


def _judged_on(row: Row) -> str:
    if row.scope == "site":
        return f"{shortened(row.site)} (worst)" if row.worst else shortened(row.site)
    return {"pooled": "all sites, pooled", "average of sites": "mean of the sites"}[row.scope]


def _footnotes(execution: ExecutionView, metrics: Sequence[str]) -> Iterator[Text]:
    repeats = len({run.seed for run in execution.runs})
    how = f"t intervals over {repeats} repeats" if repeats > 1 else "bootstrap of the test rows"
    yield Text(
        f"In brackets: 95 % intervals, {how}. (worst): the site with the lowest {label(metrics[0])}.", style="dim"
    )


def _name(run: RunView) -> str:
    return f"{run.arm}, seed {run.seed}"


def _at(site: str) -> str:
    return f"{site}: " if site else ""
