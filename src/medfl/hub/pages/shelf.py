"""The home page: what runs, what waits for somebody, what is done, and where to begin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from threading import Lock

from medfl.hub.again import taken_up_again
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.design.drafts import Draft, Drafts
from medfl.hub.pages.design.page import title_of
from medfl.hub.pages.standing import State, done, paused_by, planned, state_of, stopped_for
from medfl.hub.pages.starters import Starter, starters
from medfl.hub.people.permits import Action
from medfl.store.home import Home
from medfl.store.views import RunView
from medfl.store.watching import Watch

SHOWN = 50
"""Finished studies on the page; all are in its JSON twin's list and under "medfl runs"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One execution of a study.

    Parameters
    ----------
    execution, study, question
        Its id, and what it is about.
    state
        Whether it runs, waits for somebody to go on with it, or is done.
    why
        Of one that waits: what it stopped for.
    paused, since
        Of one that somebody paused: who and why, in a sentence, and since when (UTC, ISO 8601).
    again
        Of one that goes on by itself: what it waits for.
    done, planned
        Rounds, over all runs; a baseline counts as one.
    began
        UTC, ISO 8601.
    """

    execution: str
    study: str
    question: str
    state: State
    why: str = ""
    paused: str = ""
    since: str = ""
    again: str = ""
    done: int
    planned: int
    began: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftLine:
    """A study that is being written."""

    name: str
    title: str
    changed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePage:
    """Everything on the home page."""

    running: tuple[Line, ...]
    waiting: tuple[Line, ...]
    finished: tuple[Line, ...]
    more: int
    drafts: tuple[DraftLine, ...]
    starters: tuple[Starter, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing was ever run."""
        return not (self.drafts or self.running or self.waiting or self.finished)


def _everything(action: Action, name: str) -> bool:
    return True


class Everything:
    """Where all runs of a store stand: read once, and from then on only what was added.

    Parameters
    ----------
    home
        The store.
    """

    def __init__(self, home: Home) -> None:
        self._home, self._turn = home, Lock()
        self._watch: Watch | None = None

    def __call__(self) -> list[RunView]:
        """Return every run, newest first."""
        with self._turn:
            if self._watch is None:
                self._watch = Watch(self._home)
            return self._watch.look()


def home_page(
    bench: Bench, every: Everything, drafts: Drafts, allows: Callable[[Action, str], bool] = _everything
) -> HomePage:
    """Return the home page, newest first: what its reader may see, as `allows` says of studies and drafts."""
    lines = [line for line in _lines(every(), bench) if allows(Action.SEE_STUDY, line.execution)]
    finished = [line for line in lines if line.state == "finished"]
    return HomePage(
        running=tuple(line for line in lines if line.state == "running"),
        waiting=tuple(line for line in lines if line.state == "waiting"),
        finished=tuple(finished[:SHOWN]),
        more=max(0, len(finished) - SHOWN),
        drafts=tuple(map(_draft_line, drafts.every(partial(allows, Action.SEE_DRAFT)))),
        # They deal out data of this machine, which a consortium's hub does not have.
        starters=starters() if bench.hub is None else (),
    )


def _lines(runs: Sequence[RunView], bench: Bench) -> Iterable[Line]:
    for execution, found in groupby(runs, key=lambda run: run.execution):
        every = sorted(found, key=lambda run: run.place)
        first, state = every[0], state_of(every, bench.busy)
        paused, since = paused_by(every) if state == "waiting" else ("", "")
        again = taken_up_again(bench.home, every)
        yield Line(
            execution=execution,
            study=first.study,
            question=first.spec.get("study", {}).get("question", ""),
            state=state,
            why=_why(every) if state == "waiting" else "",
            paused=paused,
            since=since,
            again=again.told if again is not None else "",
            done=done(every),
            planned=planned(every),
            began=first.planned,
        )


def _why(every: Sequence[RunView]) -> str:
    return next(filter(None, map(stopped_for, every)), "")


def _draft_line(draft: Draft) -> DraftLine:
    return DraftLine(name=draft.name, title=title_of(draft.text), changed=draft.changed)
