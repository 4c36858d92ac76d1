"""Finds what was stored: runs by id or its beginning, executions by run, study name or digest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from medfl.errors import Complaint, NotFoundError, did_you_mean, listed
from medfl.events import (
    Event,
    PrivacySpent,
    RoundFinished,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunPlanned,
    RunResumed,
    RunStarted,
    RunStopped,
)
from medfl.store.folding import view_execution, view_run
from medfl.store.home import Home
from medfl.store.journal import Recorded
from medfl.store.views import ExecutionView, RunView

ENDS: tuple[type[Event], ...] = (
    *(RunPlanned, RunStarted, RunResumed),
    *(RunFinished, RunFailed, RunInterrupted, RunStopped),
)
"""Kinds of event that say where a run stands; a few in each run, however long it is."""


def outlines(home: Home) -> list[RunView]:
    """Return where every run stands, newest first, reading only as much as that takes."""
    events: dict[str, list[Recorded]] = defaultdict(list)
    for recorded in home.journal.read(kinds=_names(ENDS)):
        events[recorded.event.run].append(recorded)
    return [_outline(home, view_run(told)) for told in reversed(events.values())]


def whole_run(home: Home, name: str) -> RunView:
    """Return all that is known of the run of this id, or of the one run whose id begins so.

    Raises
    ------
    NotFoundError
        If there is none, or more than one.
    """
    return _read(home, _matching(home, name, home.journal.runs()))


def whole_execution(home: Home, execution: str) -> ExecutionView:
    """Return all runs of an execution.

    Raises
    ------
    NotFoundError
        If there is no such execution.
    """
    runs = [recorded.event.run for recorded in plans(home, execution)]
    if not runs:
        raise NotFoundError(
            "there is no such execution", received=execution, remedy="see what there is with: medfl runs"
        )
    return view_execution([_read(home, run) for run in runs])


def plans(home: Home, execution: str) -> list[Recorded]:
    """Return the plans of an execution's runs; none where there is no such execution.

    They are found by the names that runs are given: to read all plans of a store takes longer. Else among all.
    """
    return list(_numbered(home, execution)) or [
        recorded
        for recorded in home.journal.read(kinds=(RunPlanned.__name__,))
        if isinstance(recorded.event, RunPlanned) and recorded.event.execution == execution
    ]


def _numbered(home: Home, execution: str) -> Iterator[Recorded]:
    for number in count(1):
        found = next(home.journal.read(run=f"{execution}-{number}", kinds=(RunPlanned.__name__,)), None)
        if found is None or not isinstance(found.event, RunPlanned) or found.event.execution != execution:
            return
        yield found


def ledgers(home: Home, execution: str) -> dict[str, Mapping[str, Any]]:
    """Return how far each site's privacy ledger had come when a run of this execution last heard of it."""
    found: dict[str, Mapping[str, Any]] = {}
    for recorded in home.journal.read(kinds=(PrivacySpent.__name__,)):
        event = recorded.event
        if isinstance(event, PrivacySpent) and event.run.startswith(f"{execution}-"):
            found |= {
                site: {key: words[key] for key in ("lines", "head")}
                for site, words in event.sites.items()
                if words.get("lines", 0) > found.get(site, {}).get("lines", 0)
            }
    return found


def execution_of(home: Home, name: str) -> str:
    """Return the execution a name stands for: a run's, or the latest one of a study by its name or digest.

    Raises
    ------
    NotFoundError
        If nothing is called so.
    """
    planned = _planned(home)
    for event in reversed(planned):
        if name in (event.study, event.execution, event.digest) or (len(name) >= 8 and event.digest.startswith(name)):
            return event.execution
    names = [*(event.run for event in planned), *(event.study for event in planned)]
    run = _matching(home, name, [event.run for event in planned], names)
    return next(event.execution for event in planned if event.run == run)


def _outline(home: Home, view: RunView) -> RunView:
    """Count the rounds of a run that did not say so itself by finishing."""
    if view.status in ("planned", "finished"):
        return view
    events = home.journal.read(run=view.run, kinds=_names((*ENDS, RoundFinished)))
    return view_run(events, alive=home.is_busy(view.run))


def _names(kinds: Iterable[type[Event]]) -> list[str]:
    return [kind.__name__ for kind in kinds]


def _planned(home: Home) -> list[RunPlanned]:
    recorded = home.journal.read(kinds=(RunPlanned.__name__,))
    return [entry.event for entry in recorded if isinstance(entry.event, RunPlanned)]


def _read(home: Home, run: str) -> RunView:
    return view_run(home.journal.read(run=run), alive=home.is_busy(run))


def _matching(home: Home, name: str, runs: Iterable[str], names: Iterable[str] | None = None) -> str:
    known = list(runs)
    if name in known:
        return name
    found = [run for run in known if run.startswith(name)] if name else []
    if len(found) == 1:
        return found[0]
    raise NotFoundError.of([_no_match(name, found, list(names) if names is not None else known, home.folder)])


def _no_match(name: str, found: list[str], names: list[str], folder: Path) -> Complaint:
    if found:
        return Complaint(
            "more than one run begins so", received=name, remedy=f"write more of it: {listed(sorted(found))}"
        )
    hint = did_you_mean(name, names)
    remedy = f"{hint} See what there is with: medfl runs; in another folder: --home FOLDER".strip()
    return Complaint("there is no such run or study", str(folder), name, remedy)
