"""Studies of a hub that ended because a site was not there, and that the hub takes up again by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from medfl.hub.place import HubPlace
from medfl.hub.presence import Presence
from medfl.publish.wording import listed
from medfl.store.home import Home
from medfl.store.shelf import whole_run
from medfl.store.views import RunView

WAITS = "waits"
"""How a run that has failed and is taken up again by itself stands."""


@dataclass(frozen=True, slots=True)
class Again:
    """What a study waits for before the hub takes it up again.

    Parameters
    ----------
    run
        The run that ended.
    sites
        Who did not answer in its last round.
    away
        Those of them that are not connected now.
    """

    run: str
    sites: tuple[str, ...] = ()
    away: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """It in a sentence or two."""
        if self.away:
            back = "it is" if len(self.away) == 1 else "they are"
            return f"Waits for {listed(self.away, at_most=4)}. It is taken up again by itself once {back} back."
        if self.sites:
            return f"{listed(self.sites, at_most=4)} did not answer. {_SOON}"
        return _SOON

    def marked(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return what JSON tells of a run, which waits, and for whom, where it is this one."""
        mine = entry.get("run") == self.run
        return entry | {"status": WAITS, "waits_for": list(self.away)} if mine else entry


def taken_up_again(home: Home, runs: Sequence[RunView]) -> Again | None:
    """Return what a study waits for; None where nothing of it has ended, or only a person can go on.

    Parameters
    ----------
    home
        The store, which may be a hub's.
    runs
        All runs of one execution.
    """
    ended = next((run for run in runs if run.status == "failed"), None)
    if ended is None or any(run.status == "running" for run in runs):
        return None
    # Whoever carries it out takes it off the queue where it would fail again.
    if ended.execution not in HubPlace(home.folder).queue.waiting():
        return None
    sites = _silent(ended if ended.failures else whole_run(home, ended.run))
    presence = Presence.at(home.folder)
    return Again(ended.run, sites, tuple(site for site in sites if not presence.of(site)["connected"]))


def waiting(home: Home, runs: Sequence[RunView]) -> dict[str, str]:
    """Return the run of an execution that is taken up again by itself, with what it waits for, if there is one."""
    again = taken_up_again(home, runs)
    return {} if again is None else {again.run: again.told}


def with_waiting(home: Home, entries: Iterable[dict[str, Any]], views: Sequence[RunView]) -> list[dict[str, Any]]:
    """Return a list of runs, in which one that is taken up again by itself waits, and for whom.

    Parameters
    ----------
    home
        The store, which may be a hub's.
    entries
        The list, as ``medfl runs --json`` prints it.
    views
        All runs of the store.
    """
    told = []
    for entry in entries:
        mine = next((view for view in views if view.run == entry["run"] and view.status == "failed"), None)
        if mine is None:
            told.append(entry)
            continue
        again = taken_up_again(home, [view for view in views if view.execution == mine.execution])
        told.append(entry if again is None else again.marked(entry))
    return told


_SOON = "It is taken up again by itself, in a minute at the latest."


def _silent(run: RunView) -> tuple[str, ...]:
    """Return the sites for whose silence a run ended: those of the round that was not finished."""
    going = run.table[-1] if run.table and not run.table[-1].finished else None
    if going is not None and going.failed:
        return tuple(site for site in going.failed if site not in {*going.participants, *run.dropped})
    last = run.failures[-1] if run.failures else None
    if last is None or last.round < run.rounds:
        return ()
    found = (one.site for one in run.failures if (one.round, one.stage) == (last.round, last.stage))
    return tuple(site for site in dict.fromkeys(found) if site not in run.dropped)
