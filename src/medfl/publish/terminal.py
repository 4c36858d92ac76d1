"""What a study looks like in a terminal or a notebook: its progress, its results, the list of runs, one run in detail.

Nothing here prints: displays write to the console they are given, the rest returns renderables.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from medfl.events import Event
from medfl.publish.dropped import dropped_in
from medfl.publish.following import LiveDisplay, PlainDisplay
from medfl.publish.glance import glance
from medfl.publish.starting import started_from
from medfl.publish.tables import ResultGroup, ResultTable, worst
from medfl.publish.tables import results as result_table
from medfl.publish.ways import Mark, name_of
from medfl.publish.wording import counted, duration, label, listed, moment, next_step, number, shortened, whole
from medfl.store.summary import status_of
from medfl.store.views import ExecutionView, RunView

WIDTH = 100
"""Nothing is wider, so that it can be read in any window and pasted into a mail."""
FEW_SITES = 12
"""More sites than this are named in the report only."""
_FIRST, _COLUMN = 18, 19
STATUS = MappingProxyType(
    {"finished": "green", "failed": "bold red", "interrupted": "yellow", "stopped": "yellow"}
    | {"running": "cyan", "planned": "dim", "paused": "yellow", "waits": "yellow"}
)
_ARMS = ("blue", "yellow", "green", "magenta", "cyan", "bright_blue")


class Display(Protocol):
    """Shows what happens while it happens."""

    def on(self, event: Event) -> None:
        """Take notice of one event."""
        ...


def progress(execution: ExecutionView, console: Console | None = None) -> AbstractContextManager[Display]:
    """Return the display that suits the console: moving in a terminal or a notebook, plain lines anywhere else.

    Parameters
    ----------
    execution
        What is about to be carried out, or to go on.
    console
        Where to write; the notebook or standard error where it is left out.
    """
    target = console or _default()
    moves = target.is_terminal and not target.is_dumb_terminal
    # In a notebook rich moves only by ipywidgets; without them it would warn and stand still.
    if moves or (target.is_jupyter and find_spec("ipywidgets") is not None):
        return LiveDisplay(execution, target)
    return PlainDisplay(execution, target)


def results(execution: ExecutionView) -> RenderableType:
    """Return the final table: all sites together and each site, under every way of learning; and what to make of it."""
    table = result_table(execution)
    parts: list[RenderableType] = [*_troubles(execution)]
    if table is not None:
        parts += [Text(execution.question or execution.study, style="bold"), Text(), *_result_lines(table)]
        parts += _worst_lines(execution, table)
        parts += [Text(), *_said(execution)]
    elif not parts:
        parts.append(Text("Nothing was judged yet."))
    return Constrain(Group(*parts), WIDTH)


def runs_table(entries: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return the list of runs; `entries` are what ``medfl runs --json`` prints."""
    table = plain_table("Run", "Study", "Arm", "Seed", "Status", "Rounds")
    for entry in entries:
        table.add_row(
            Text(str(entry["run"]), overflow="fold"),
            Text(shortened(str(entry["study"]))),
            Text(shortened(str(entry["arm"]), 18)),
            str(entry["seed"]),
            Text(_standing(entry), style=STATUS.get(str(entry["status"]), "")),
            str(entry["rounds"]),
        )
    return Constrain(table, WIDTH)


def _standing(entry: Mapping[str, Any]) -> str:
    """Return how a run stands, and for whom it waits."""
    awaited = shortened(listed(entry.get("waits_for") or (), at_most=2), 24)
    return f"{entry['status']} for {awaited}" if awaited else str(entry["status"])


def run_details(view: RunView) -> RenderableType:
    """Return what a person asks of one run: where it stands, its sites, its numbers, what to do next."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(view):
        facts.add_row(name, Text(value, style=STATUS.get(value, "") if name == "Status" else ""))
    parts: list[RenderableType] = [Text(view.run, style="bold"), facts]
    if view.error:
        parts += [Text(), Text(view.error.message, style="red")]
    if view.sites:
        parts += [Text(), _sites_table(view)]
    notes = [f"{event.site}: {event.text}" if event.site else event.text for event in view.notices[:FEW_SITES]]
    notes += [f"{site}: {text}" for site, text in dropped_in([view])]
    parts += [Text(note, style="yellow") for note in notes]
    parts += [Text(_failure(event.site, event.round, event.reason), style="red") for event in view.failures[:FEW_SITES]]
    return Constrain(Group(*parts, Text(), Text(_next(view), style="dim")), WIDTH)


def plain(renderable: RenderableType) -> str:
    """Return a renderable as text without colours or control characters."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False, force_jupyter=False)
    with console.capture() as capture:
        console.print(renderable)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def as_html(renderable: RenderableType) -> str:
    """Return a renderable as HTML for a notebook: preformatted, on the notebook's own ground."""
    console = Console(file=io.StringIO(), width=WIDTH, record=True, force_jupyter=False)
    console.print(renderable)
    style = "line-height:1.35;white-space:pre;overflow-x:auto"
    return console.export_html(inline_styles=True, code_format=f'<pre style="{style}">{{code}}</pre>')


def _default() -> Console:
    notebook = Console(width=WIDTH, highlight=False)
    return notebook if notebook.is_jupyter else Console(stderr=True, highlight=False)


def _result_lines(table: ResultTable) -> Iterator[RenderableType]:
    yield _row("", [Text(head, style="dim") for head in table.heads])
    few = len(table.sites) <= FEW_SITES
    for place, group in enumerate([*table.together, *(table.sites if few else ())]):
        if place:
            yield Text()
        yield Text.assemble((group.title, "bold"), (f"  {group.note}", "dim"), overflow="ellipsis", no_wrap=True)
        yield from _group_lines(group)
    if not few:
        yield Text()
        yield Text(f"{counted(len(table.sites), 'site').capitalize()}: the report shows each of them.", style="dim")


def _worst_lines(execution: ExecutionView, table: ResultTable) -> Iterator[RenderableType]:
    lines = worst(execution)
    if not lines:
        return
    yield Text()
    heads = (f"Worst {table.heads[0]}", "at", "best less worst")
    yield _row(Text("Worst site", style="bold"), [Text(head, style="dim") for head in heads])
    for line in lines:
        value = Text.assemble(line.cell.text, (f" ({line.cell.interval})" if line.cell.interval else "", "dim"))
        name = Text("  " + shortened(line.mark.label, _FIRST - 3), style=_style(line.mark))
        yield _row(name, [value, Text(shortened(line.site, _COLUMN + 4)), Text(line.range)])


def _group_lines(group: ResultGroup) -> Iterator[RenderableType]:
    for line in group.lines:
        cells = [
            Text.assemble(cell.text or "not defined", (f" ({cell.interval})" if cell.interval else "", "dim"))
            for cell in line.cells
        ]
        yield _row(Text("  " + shortened(line.mark.label, _FIRST - 3), style=_style(line.mark)), cells)


def _row(first: str | Text, cells: Sequence[Text]) -> Table:
    """Return one line of the results: a table of its own with the same widths as all, so that headings run across."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=_FIRST, no_wrap=True)
    for _ in cells:
        table.add_column(width=_COLUMN if len(cells) > 3 else _COLUMN + 5, no_wrap=True)
    table.add_row(first, *cells)
    return table


def _style(mark: Mark) -> str:
    if mark.role == "arm":
        return _ARMS[mark.place % len(_ARMS)]
    return "dim" if mark.role == "local-only" else ""


def _said(execution: ExecutionView) -> Iterator[RenderableType]:
    """Yield the sentences of the glance that the table does not say by itself."""
    shown = glance(execution)
    repeated = sum(text.startswith("Together") for text in shown.says)
    yield from (Padding(Text(text), (0, 0, 0, 2)) for text in shown.says[repeated:])
    yield from (Padding(Text(text, style="dim"), (0, 0, 0, 2)) for text in shown.cautions)


def _troubles(execution: ExecutionView) -> Iterator[RenderableType]:
    for run in execution.every:
        if run.status in ("failed", "interrupted", "stopped"):
            name = name_of(execution, run)
            yield Text(f"{name}, seed {run.seed}: {run.status}", style=STATUS[run.status])
            if run.error:
                # The first line names the place; the rest is for medfl show.
                yield Padding(Text(run.error.message.partition("\n")[0]), (0, 0, 0, 2))
            advice, command = next_step(run)
            yield Padding(Text(f"{advice} with: {command}", style="dim"), (0, 0, 1, 2))


def _facts(view: RunView) -> Iterator[tuple[str, str]]:
    yield "Study", f"{view.study} ({view.digest[:12]})"
    yield "Arm", f"{view.arm}, seed {view.seed}"
    if view.members:
        yield "Trained by", listed(view.members)
    yield "Status", status_of(view)
    if view.stopped is not None and view.stopped.paused:
        yield "Paused by", ": ".join(filter(None, (view.stopped.by or "somebody", view.stopped.why)))
    yield "Rounds", f"{view.rounds} of {view.planned_rounds}" if view.federated else "trained in one go"
    yield "Planned", moment(view.planned)
    if view.started:
        sittings = f" in {counted(len(view.sittings), 'sitting')}" if len(view.sittings) > 1 else ""
        yield "Worked", f"{duration(view.seconds)}{sittings}"
    if view.start is not None:
        yield "Started from", started_from(view)
    yield "Engine", view.engine
    if view.model:
        yield "Model", view.model
    if view.metrics:
        yield "Pooled", ", ".join(_metric_texts(view.metrics))
    if view.versions:
        yield "Versions", ", ".join(f"{name} {version}" for name, version in sorted(view.versions.items()))
        yield "Platform", view.platform


def _metric_texts(metrics: Mapping[str, float | None]) -> Iterator[str]:
    for name in ("auc", "accuracy", "sensitivity", "specificity", "f1", "brier", "rmse", "mae", "r2"):
        if name in metrics:
            yield f"{label(name)} {number(metrics[name], metric=name)}"


def _sites_table(view: RunView) -> RenderableType:
    judged = [site.metrics for site in view.sites.values()]
    names = [name for name in ("auc", "accuracy", "rmse", "r2") if any(name in metrics for metrics in judged)]
    table = plain_table("Site", "Rows", "Train", "Test", *map(label, names))
    sites = sorted(view.sites.values(), key=lambda site: (-(site.train_rows or 0), site.name))
    for site in sites[:FEW_SITES]:
        counts = [whole(count) if count is not None else "–" for count in (site.rows, site.train_rows, site.test_rows)]
        values = [number(site.metrics.get(name), metric=name) for name in names]
        table.add_row(Text(shortened(site.name, 32)), *counts, *values)
    if len(sites) <= FEW_SITES:
        return table
    rest = listed([site.name for site in sites[FEW_SITES:]], at_most=4)
    return Group(table, Text(f"and {rest}", style="dim"))


def plain_table(*heads: str) -> Table:
    """Return an empty table without lines."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for place, head in enumerate(heads):
        counts = head in ("Seed", "Rounds", "Round", "Rows", "Train", "Test")
        table.add_column(head, justify="right" if counts else "left", no_wrap=place > 0)
    return table


def _failure(site: str, round: int, reason: str) -> str:
    first = reason.strip().partition("\n")[0]
    return f"{site} failed {f'in round {round}' if round else 'before the first round'}: {first}"


def _next(view: RunView) -> str:
    if view.status == "finished":
        return f"medfl report {view.run}   medfl export {view.run}"
    return next_step(view)[1]
