"""The report: one HTML file that tells a study from its question to its provenance, and loads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from medfl.publish.dropped import dropped_in
from medfl.publish.glance import glance
from medfl.publish.leaving import leaving
from medfl.publish.methods import methods, setting_of
from medfl.publish.pictures import plates
from medfl.publish.pictures_of_parts import plates_of_parts
from medfl.publish.provenance import provenance
from medfl.publish.tables import cohort, described, importances, results, worst
from medfl.publish.tripod import checklist
from medfl.publish.ways import Mark, name_of
from medfl.publish.wording import counted, listed, moment, next_step, sentence
from medfl.spec.metrics import METRICS
from medfl.store.results import headline
from medfl.store.views import ExecutionView, RunView

_EXTRA = ("auprc", "brier", "calibration_slope", "ppv", "npv")
"""Metrics that a figure speaks of, beside those of the table."""


def report(execution: ExecutionView, *, waits: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the report of an execution, finished or not, as one self-contained HTML page.

    Parameters
    ----------
    execution
        What is reported.
    waits
        Runs that have ended and are taken up again by themselves, each with the sentence that says what it waits for.
    """
    return _template().render(_told(execution, waits))


@dataclass(frozen=True, slots=True)
class Trouble:
    """A run that did not come to its end, and how to go on."""

    what: str
    why: str
    advice: str
    command: str


@dataclass(frozen=True, slots=True)
class Failure:
    """What kept a site from contributing, and how often."""

    site: str
    where: str
    reason: str


def _told(execution: ExecutionView, waits: Mapping[str, str]) -> dict[str, Any]:
    metrics = headline(execution)
    shown = glance(execution)
    run = described(execution)
    return {
        "study": execution,
        "title": execution.question or execution.study,
        "when": moment(execution.started),
        "status": _status(execution, waits),
        "troubles": tuple(_troubles(execution, waits)),
        "waits": tuple(waits.values()),
        "glance": shown,
        "cohort": cohort(execution),
        "methods": methods(execution.spec, setting_of(run, among=execution.every) if run else None),
        "prepared": _prepared(execution),
        "results": results(execution),
        "worst": worst(execution),
        "plates": plates(execution, shown.metric) | plates_of_parts(execution, shown.metric) if shown.metric else {},
        "importances": importances(execution),
        "metric": shown.metric,
        "leaving": leaving(execution),
        "failures": tuple(_failures(execution)),
        "notices": tuple(_notices(execution)),
        "provenance": provenance(execution, waits),
        "tripod": checklist(execution),
        "glossary": [METRICS[name] for name in (*metrics, *_EXTRA) if name in METRICS and _has(execution, name)],
    }


def _status(execution: ExecutionView, waits: Mapping[str, str]) -> str:
    states = {"waits" if run.run in waits else run.status for run in execution.every}
    for state in ("failed", "interrupted", "stopped", "running", "waits"):
        if state in states:
            return state
    return "finished" if states == {"finished"} else "planned" if states == {"planned"} else "interrupted"


def _troubles(execution: ExecutionView, waits: Mapping[str, str]) -> Iterator[Trouble]:
    for run in execution.every:
        if run.status in ("finished", "planned"):
            continue
        name = f"{name_of(execution, run)}, seed {run.seed}"
        done = f"after {run.rounds} of {run.planned_rounds} rounds" if run.federated else ""
        why = run.error.message if run.error else ""
        if run.run in waits:
            yield Trouble(f"{name}: waits {done}".strip() + ".", waits[run.run], "", "")
            continue
        what = f"{name}: {run.status} {done}".strip() + "."
        yield Trouble(what, why, *(next_step(run) if run.status != "running" else ("", "")))


def _prepared(execution: ExecutionView) -> tuple[str, ...]:
    run = next((run for run in (*execution.runs, *execution.baselines) if run.explained), None)
    return tuple(map(sentence, run.explained)) if run else ()


def _failures(execution: ExecutionView) -> Iterator[Failure]:
    """Yield each distinct failure once, with the rounds and runs it happened in."""
    grouped: dict[tuple[str, str, str], list[tuple[RunView, int]]] = {}
    for run in execution.every:
        for event in run.failures:
            grouped.setdefault((event.site, event.stage, event.reason), []).append((run, event.round))
    for (site, stage, reason), places in grouped.items():
        rounds = listed(dict.fromkeys(str(number) for _, number in places), at_most=10)
        runs = listed(dict.fromkeys(f"{run.arm} seed {run.seed}" for run, _ in places), at_most=6)
        yield Failure(site, f"{stage}, round {rounds}, {runs}", reason)


def _notices(execution: ExecutionView) -> Iterator[tuple[str, str]]:
    """Yield site and text of each notice once."""
    every = (*execution.runs, *execution.baselines)
    found = dict.fromkeys((event.site, event.text) for run in every for event in run.notices)
    yield from dropped_in(every)
    yield from ((site, sentence(text)) for site, text in found)


def _has(execution: ExecutionView, metric: str) -> bool:
    every = [run.final for run in (*execution.runs, *execution.baselines) if run.final]
    return any(metric in metrics for final in every for metrics in (final.pooled, *final.sites.values()))


_GLYPHS = "●■▲▼✚✖"
_OPEN_GLYPHS = "○□△▽✛✕"


def glyph(mark: Mark) -> Markup:
    """Return the mark of a way of learning as it stands in the figures, as a coloured character."""
    if mark.role == "arm":
        glyphs = _OPEN_GLYPHS if mark.personal else _GLYPHS
        return Markup('<i class="arm-{}">{}</i>').format(mark.place % 6, glyphs[(mark.place + mark.place // 6) % 6])
    return Markup('<i class="{}">{}</i>').format(*(("alone", "○") if mark.role == "local-only" else ("central", "◇")))


def unbroken(text: str) -> str:
    """Keep a number and its unit, and p and its value, on one line."""
    return text.replace(" %", "\u00a0%").replace("p = ", "p\u00a0=\u00a0").replace("p < ", "p\u00a0<\u00a0")


@cache
def _template() -> Template:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("medfl.publish"), PackageLoader("medfl.looks", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"glyph": glyph, "drawing": Markup, "counted": counted, "prose": unbroken}
    return environment.get_template("report.html.j2")
