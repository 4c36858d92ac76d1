"""Executions whole, read once, and from then on only what was added: for pages that ask again and again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock

from medfl.errors import NotFoundError
from medfl.events import RunPlanned
from medfl.store.folding import Fold, planned, view_execution
from medfl.store.home import Home
from medfl.store.journal import Recorded
from medfl.store.shelf import plans
from medfl.store.views import ExecutionView, RunView

MOST = 50_000
"""Events that are remembered in all; a run of 200 rounds over 50 sites has a fifth of that."""


@dataclass(slots=True)
class _Run:
    """A run as far as it was read."""

    events: list[Recorded] = field(default_factory=list)
    fold: Fold | None = None

    def read_on(self, home: Home, run: str) -> None:
        """Take what was added."""
        for recorded in home.journal.read(self.events[-1].seq + 1 if self.events else 0, run=run):
            self.events.append(recorded)
            if isinstance(recorded.event, RunPlanned):
                self.fold = Fold(planned(recorded.event, recorded))
            elif self.fold is not None:
                self.fold.take(recorded.event, recorded.at)

    def view(self, home: Home, run: str) -> RunView | None:
        """Return where it stands."""
        return None if self.fold is None else self.fold.result(alive=home.is_busy(run))


class Wholes:
    """Executions, whole.

    Parameters
    ----------
    home
        The store.
    most
        Events that are remembered; those of executions that nobody has asked for lately are read anew.
    """

    def __init__(self, home: Home, *, most: int = MOST) -> None:
        self._home, self._most, self._turn = home, most, Lock()
        self._known: OrderedDict[str, dict[str, _Run]] = OrderedDict()

    def __call__(self, execution: str) -> ExecutionView:
        """Return all runs of an execution, as :func:`medfl.store.shelf.whole_execution` does.

        Raises
        ------
        NotFoundError
            If there is no such execution.
        """
        with self._turn:
            views = [one.view(self._home, run) for run, one in self._read(execution).items()]
        return view_execution([view for view in views if view is not None])

    def events(self, execution: str) -> list[Recorded]:
        """Return what happened in all runs of an execution, in order.

        Raises
        ------
        NotFoundError
            If there is no such execution.
        """
        with self._turn:
            return sorted((e for one in self._read(execution).values() for e in one.events), key=lambda e: e.seq)

    def _read(self, execution: str) -> dict[str, _Run]:
        """Return the runs of an execution, read up to now."""
        names = [recorded.event.run for recorded in plans(self._home, execution)]
        if not names:
            self._known.pop(execution, None)
            raise NotFoundError(
                "there is no such execution", received=execution, remedy="see what there is with: medfl runs"
            )
        known = self._known.setdefault(execution, {})
        self._known.move_to_end(execution)
        for run in names:
            known.setdefault(run, _Run()).read_on(self._home, run)
        self._forget()
        return known

    def _forget(self) -> None:
        """Forget whose turn was longest ago; what was asked for just now stays, however large it is."""
        sizes = {name: sum(len(one.events) for one in runs.values()) for name, runs in self._known.items()}
        while len(self._known) > 1 and sum(sizes.values()) > self._most:
            name, _ = self._known.popitem(last=False)
            del sizes[name]
