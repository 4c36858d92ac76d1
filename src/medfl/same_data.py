"""Whether a run that goes on still reads the tables that it began with."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from medfl.errors import PlanError
from medfl.events import DataDescribed, DataPrepared, Event, WeightsTaken
from medfl.store.views import RunView


def alike(run: RunView, runs: Sequence[RunView]) -> RunView | None:
    """Return the run whose tables must still be the same: itself, or one begun together with it that reads alike."""
    return next(
        (
            other
            for other in (run, *runs)
            if other.agreement
            and all(other.asked(part) == run.asked(part) for part in ("data", "evaluation"))
            and _declared(other) == _declared(run)
        ),
        None,
    )


def refuse_other_data(before: RunView, run: RunView, event: Event, *, gone: Collection[str] = ()) -> None:
    """Refuse to go on with other tables than at the beginning, judged by schema, rows, ranges and fitted sums.

    Sites that are `gone`, because somebody has dropped them, have changed nothing; what is summed over all is another
    thing without them.
    """
    changed: list[str] = []
    if isinstance(event, DataDescribed):
        told = {
            name: (site.schema, site.rows) for name, site in before.sites.items() if site.schema and name not in gone
        }
        now = {name: (site["schema"], site["rows"]) for name, site in event.sites.items()}
        if before.run == run.run:
            # A site that is not there has changed nothing; the run goes on with what it had said.
            told = {name: one for name, one in told.items() if name in now}
        changed = [f"site {name}" for name, one in told.items() if now.get(name) != one]
        if (
            not changed
            and set(told) == set(now)
            and not set(before.sites).intersection(gone)
            and _as_stored(event.agreement["features"]) != before.agreement["features"]
        ):
            changed = [_SOME_COLUMN]
    elif isinstance(event, DataPrepared) and run.recipe and run.recipe != _as_stored(event.recipe):
        changed = [] if set(run.sites).intersection(gone) else [_SOME_COLUMN]
    elif isinstance(event, WeightsTaken) and run.start is not None and run.start.digest != event.digest:
        changed = [f"what it starts from, {event.source}"]
    if changed:
        raise PlanError(
            "the data changed since the run began",
            where=", ".join(changed),
            remedy="put the old tables back and resume, or start anew with medfl run",
        )


def reads_alike(one: RunView, other: RunView) -> bool:
    """Say whether two runs read the same columns and rows in the same way."""
    parts = ("data", "preprocess", "model", "evaluation")
    return all(one.asked(part) == other.asked(part) for part in parts) and _declared(one) == _declared(other)


def _declared(run: RunView) -> Any:
    """Return a run's differential privacy: under it a table is described by what was declared."""
    return run.asked("privacy").get("dp")


_SOME_COLUMN = "the values of some column"


def _as_stored(value: Any) -> Any:
    return json.loads(json.dumps(value))
