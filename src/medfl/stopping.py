"""Stops what another process carries out: it is asked to, ends in order, and goes on only when it is resumed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Any

from medfl.errors import BusyError, PlanError
from medfl.events import RunStopped
from medfl.hub.place import HubPlace
from medfl.hub.queue import Queue
from medfl.store.decisions import Note, note_of, write_note
from medfl.store.home import Home
from medfl.store.shelf import whole_execution, whole_run
from medfl.store.views import ExecutionView, RunView

LOOK = 0.2
"""Seconds between two looks whether it has ended."""


def stop(home: Home, name: str, *, now: bool, waiting: Callable[[RunView], Any], note: Note | None = None) -> RunView:
    """Stop a run, and all that was started together with it; return the run once nobody works on it any more.

    Parameters
    ----------
    home
        Where it is stored: that of a hub, too.
    name
        The run's id, or the beginning of one.
    now
        Whether the round that is going on is given up; it is asked for again when the run is resumed.
    waiting
        Is told once where it stands, if it has to end first.
    note
        Whose wish it is, and whether it is meant as a pause.

    Raises
    ------
    NotFoundError
        If there is no such run.
    PlanError
        If nobody carries it out.
    """
    view = whole_run(home, name)
    execution = view.execution
    ask(home, view, now=now, note=note)
    if home.is_busy(execution):
        waiting(_current(whole_execution(home, execution)))
    pause = Event()
    while not settled(home, execution):
        pause.wait(LOOK)
    return _current(whole_execution(home, execution))


def ask(home: Home, view: RunView, *, now: bool = False, note: Note | None = None, begun: bool = False) -> None:
    """Ask whoever carries a run out to stop, and take it off a hub's queue; do not wait for it.

    Parameters
    ----------
    home, view, now, note
        As for :func:`stop`.
    begun
        Whether a process was started for it, which may not have come as far as to be seen at the store.

    Raises
    ------
    PlanError
        If nobody carries it out.
    """
    execution, queue = view.execution, queue_of(home.folder)
    if not ((queued := execution in queue.waiting()) or begun or home.asked_to_stop(execution)):
        _require_going(home, whole_execution(home, execution), view)
    if note is not None:
        write_note(home, execution, note)
    home.ask_to_stop(execution, now=now)
    if queued:
        queue.done(execution)


def queue_of(folder: Path) -> Queue:
    """Return the queue of the hub in this folder; an empty one where it is no hub's."""
    return HubPlace(folder).queue


def _require_going(home: Home, whole: ExecutionView, view: RunView) -> None:
    """Refuse to stop what nobody carries out."""
    if home.is_busy(view.execution):
        return
    if all(run.status == "finished" for run in whole.every):
        raise PlanError("the run has finished: there is nothing to stop", where=view.run, received=view.status)
    raise PlanError(
        "nobody is working on the run: there is nothing to stop",
        where=view.run,
        received=view.status,
        remedy=f"it stays as it is until somebody types: medfl resume {view.run}",
    )


def settled(home: Home, execution: str) -> bool:
    """Say whether nobody works on an execution any more, and have the journal say that it was stopped."""
    with suppress(BusyError), home.lock(execution):
        whole = whole_execution(home, execution)
        left = [run for run in whole.every if run.status != "finished"]
        if left and all(run.status != "stopped" for run in left):
            home.journal.append([RunStopped(run=_current(whole).run, **asdict(note_of(home, execution)))])
        return True
    return False


def _current(whole: ExecutionView) -> RunView:
    """Return the run that stands for an execution: the one that was stopped, is worked on, or comes next."""
    for wanted in ("stopped", "running", "interrupted"):
        for run in whole.every:
            if run.status == wanted:
                return run
    return next((run for run in whole.every if run.status != "finished"), whole.every[-1])
