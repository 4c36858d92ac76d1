"""Where an execution stands: how much of it is done, and whether somebody works on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from medfl.publish.wording import sentence
from medfl.store.views import RunView

State: TypeAlias = Literal["running", "waiting", "finished"]
"""It runs, it waits for somebody to go on with it, or it is done."""


def state_of(runs: Sequence[RunView], busy: Callable[[str], bool]) -> State:
    """Return where the runs of one execution stand; `busy` says whether somebody works on an execution."""
    found = {run.status for run in runs}
    if found == {"finished"}:
        return "finished"
    return "running" if "running" in found or busy(runs[0].execution) else "waiting"


def done(runs: Sequence[RunView]) -> int:
    """Return the units of work that are done."""
    return sum(units(run) if run.status == "finished" else run.rounds * run.federated for run in runs)


def planned(runs: Sequence[RunView]) -> int:
    """Return all units of work."""
    return sum(map(units, runs))


def units(run: RunView) -> int:
    """Return a run's units of work: its rounds, or one where it trains in one go."""
    return max(run.planned_rounds, 1) if run.federated else 1


def paused_by(runs: Sequence[RunView]) -> tuple[str, str]:
    """Return in a sentence who paused an execution and why, and since when it rests; empty where nobody did."""
    for run in runs:
        if run.status == "stopped" and run.stopped is not None and run.stopped.paused:
            return paused_in_words(run.stopped.by, run.stopped.why), run.ended or ""
    return "", ""


def paused_in_words(by: str, why: str) -> str:
    """Return "Paused by anna: the night."."""
    return sentence(f"Paused{f' by {by}' if by else ''}{f': {why}' if why else ''}")


def stopped_for(run: RunView) -> str:
    """Return the first line of what a run failed of; empty for all others."""
    return run.error.message.strip().partition("\n")[0] if run.error and run.status == "failed" else ""
