"""Looks at a journal again and again, and reads each time only what was added."""

from __future__ import annotations

from collections.abc import Iterable

from medfl.events import RunPlanned
from medfl.store.folding import Fold, planned
from medfl.store.home import Home
from medfl.store.journal import Recorded
from medfl.store.shelf import ENDS, outlines
from medfl.store.views import RunView


class Watch:
    """Where all runs of a store stand.

    Runs that had finished when the watch began are known in outline; all others are known whole.

    Parameters
    ----------
    home
        The store.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._next = 0
        self._folds: dict[str, Fold] = {}
        self._seen: dict[str, int] = {}
        self._old = {view.run: view for view in outlines(home) if view.status == "finished"}
        self._begin()

    def look(self) -> list[RunView]:
        """Return every run as it stands now, newest first."""
        for recorded in self._home.journal.read(self._next):
            self._next = recorded.seq + 1
            self._take([recorded])
        views = [fold.result(alive=self._alive(fold)) for fold in self._folds.values()]
        old = (view for run, view in self._old.items() if run not in self._folds)
        return sorted([*views, *old], key=lambda view: view.place, reverse=True)

    def _begin(self) -> None:
        """Read what there is of the runs that go on."""
        for recorded in self._home.journal.read(kinds=[kind.__name__ for kind in ENDS]):
            self._next = recorded.seq + 1
            if isinstance(recorded.event, RunPlanned) and recorded.event.run not in self._old:
                self._plan(recorded.event, recorded)
        # What is added meanwhile may be read twice, and is taken once.
        for run in self._folds:
            self._take(self._home.journal.read(run=run))

    def _take(self, events: Iterable[Recorded]) -> None:
        for recorded in events:
            run = recorded.event.run
            if isinstance(recorded.event, RunPlanned) and run not in self._folds:
                self._plan(recorded.event, recorded)
            elif recorded.seq > self._seen.get(run, recorded.seq):
                self._folds[run].take(recorded.event, recorded.at)
                self._seen[run] = recorded.seq

    def _plan(self, event: RunPlanned, recorded: Recorded) -> None:
        self._folds[event.run], self._seen[event.run] = Fold(planned(event, recorded)), recorded.seq

    def _alive(self, fold: Fold) -> bool:
        return fold.view.status == "running" and self._home.is_busy(fold.view.run)
