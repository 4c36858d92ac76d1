"""From a run's events to its view: the one fold behind every page, table and report."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from medfl.errors import NotFoundError
from medfl.events import (
    DataDescribed,
    DataPrepared,
    Evaluated,
    Event,
    FineTuned,
    Noticed,
    PrivacySpent,
    RoundFinished,
    RoundStarted,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunPlanned,
    RunResumed,
    RunStarted,
    RunStopped,
    SiteAnswered,
    SiteDropped,
    SiteFailed,
    WeightsTaken,
)
from medfl.store.journal import Recorded
from medfl.store.views import ExecutionView, PrivacyView, RoundView, RunError, RunView, SiteView

RECENT = 12
"""Events that a view remembers as they were, to tell what happened last; single answers are too many for that."""


def view_run(events: Iterable[Recorded], *, alive: bool = False) -> RunView:
    """Fold one run's events; `alive` says whether some process is working on it now.

    Raises
    ------
    NotFoundError
        If there is no event that planned the run.
    """
    fold: Fold | None = None
    for recorded in events:
        if isinstance(recorded.event, RunPlanned):
            fold = Fold(planned(recorded.event, recorded))
        elif fold is not None:
            fold.take(recorded.event, recorded.at)
    if fold is None:
        raise NotFoundError("the journal has no such run", remedy="list the runs there are with: medfl runs")
    return fold.result(alive=alive)


def view_execution(runs: Sequence[RunView]) -> ExecutionView:
    """Gather the runs of one execution (at least one), in any order."""
    planned = sorted(runs, key=lambda run: run.place)
    first = planned[0]
    return ExecutionView(
        execution=first.execution,
        study=first.study,
        digest=first.digest,
        spec=first.spec,
        question=first.spec.get("study", {}).get("question", ""),
        runs=tuple(run for run in planned if run.role == "arm"),
        baselines=tuple(run for run in planned if run.role not in ("arm", "coalition")),
        coalitions=tuple(run for run in planned if run.role == "coalition"),
        started=first.planned,
    )


def planned(event: RunPlanned, recorded: Recorded) -> RunView:
    """Return the view of a run that is planned and no more."""
    view = RunView(
        run=event.run,
        execution=event.execution,
        study=event.study,
        digest=event.digest,
        spec=json.loads(event.spec),
        base=event.base,
        engine=event.engine,
        role=event.role,
        arm=event.arm,
        seed=event.seed,
        members=event.members,
        orders=tuple(map(tuple, event.orders)),
        address=event.address,
        planned=recorded.at,
        place=recorded.seq,
    )
    return replace(view, planned_rounds=view.asked("algorithm").get("rounds", 0))


class Fold:
    """A run as far as its events have been taken; rounds and sites are kept apart, because they change most."""

    def __init__(self, planned: RunView) -> None:
        self.view = planned
        self.sites: dict[str, SiteView] = {}
        self.rounds: dict[int, RoundView] = {}
        self.spans: list[tuple[str, str]] = []
        self.recent: deque[tuple[str, Event]] = deque(maxlen=RECENT)

    def take(self, event: Event, at: str) -> None:
        """Take the next event."""
        if not isinstance(event, SiteAnswered):
            self.recent.append((at, event))
        match event:
            case RunStarted() | RunResumed():
                self._begin(event, at)
            case DataDescribed(sites=sites):
                self._describe(sites, ("rows", "schema", "missing"))
                self.view = replace(self.view, agreement=event.agreement)
                self._took("describe", event.seconds)
            case DataPrepared(sites=sites):
                self._describe(sites, ("train_rows", "test_rows", "left_out", "train_classes", "test_classes"))
                self.view = replace(self.view, recipe=event.recipe, explained=event.explained)
                self._took("prepare", event.seconds)
            case RoundStarted(round=number, sites=asked):
                # A round that a crash cut short is asked for again: what came of the first attempt does not count.
                self.rounds[number] = RoundView(round=number, asked=tuple(asked), since=at)
            case SiteAnswered():
                self._answer(event)
            case SiteFailed():
                self._fail(event)
            case Evaluated():
                self._judge(event)
            case WeightsTaken():
                self.view = replace(self.view, start=event)
            case FineTuned(sites=told):
                self.view = replace(self.view, fine_tuned=event)
                for site, metrics in told.items():
                    self.sites[site] = replace(self._site(site), fine_tuned=metrics)
            case RoundFinished():
                self._close_round(event)
            case PrivacySpent():
                self.view = replace(self.view, privacy=_spent(self.view, event))
            case Noticed():
                self.view = replace(self.view, notices=tuple(dict.fromkeys((*self.view.notices, event))))
            case RunFinished(rounds=rounds, seconds=seconds):
                model = event.model or self.view.model
                self.view = replace(self.view, status="finished", ended=at, rounds=rounds, model=model, seconds=seconds)
            case RunFailed():
                self.view = replace(self.view, status="failed", ended=at, error=RunError(event.code, event.message))
            case RunInterrupted():
                self.view = replace(self.view, status="interrupted", ended=at)
            case RunStopped():
                self.view = replace(self.view, status="stopped", ended=at, stopped=event)
            case SiteDropped(site=site):
                self.view = replace(self.view, dropped={**self.view.dropped, site: event})
        if self.spans:
            self.spans[-1] = (self.spans[-1][0], at)

    def result(self, *, alive: bool) -> RunView:
        """Return the view of what was taken."""
        table = tuple(self.rounds[number] for number in sorted(self.rounds))
        # A copy: whoever has the view reads it while more is taken.
        view = replace(self.view, sites=dict(self.sites), table=table, recent=tuple(self.recent))
        if view.status == "finished":
            return view
        status = "interrupted" if view.status == "running" and not alive else view.status
        return replace(view, status=status, seconds=sum(_seconds(*span) for span in self.spans))

    def _begin(self, event: RunStarted | RunResumed, at: str) -> None:
        after = event.after_round if isinstance(event, RunResumed) else 0
        if isinstance(event, RunStarted):
            self.sites = {site: SiteView(name=site) for site in event.sites}
            self.view = replace(self.view, secure=event.secure, dropped={})
        self.rounds = {number: kept for number, kept in self.rounds.items() if number <= after}
        self.spans.append((at, at))
        self.view = replace(
            self.view,
            status="running",
            started=self.view.started or at,
            ended=None,
            sittings=(*self.view.sittings, at),
            rounds=after,
            error=None,
            stopped=None,
            final=None,
            fine_tuned=None,
            versions=event.versions,
            platform=event.platform,
        )

    def _describe(self, sites: Mapping[str, Mapping[str, Any]], names: tuple[str, ...]) -> None:
        for site, said in sites.items():
            news = {name: said[name] for name in names if name in said}
            self.sites[site] = replace(self._site(site), **news)

    def _answer(self, event: SiteAnswered) -> None:
        before = self._round(event.round)
        self.rounds[event.round] = replace(
            before,
            # A site is asked again where a secure sum did not come about.
            participants=tuple(dict.fromkeys((*before.participants, event.site))),
            site_loss={**before.site_loss, event.site: event.loss},
            seconds={**before.seconds, event.site: event.seconds},
            received=before.received + event.received,
            sent=before.sent + event.sent,
            traffic={**before.traffic, event.site: _more(before.traffic.get(event.site, (0, 0)), event)},
        )

    def _fail(self, event: SiteFailed) -> None:
        self.view = replace(self.view, failures=(*self.view.failures, event))
        if event.round > 0:
            before = self._round(event.round)
            self.rounds[event.round] = replace(before, failed={**before.failed, event.site: event.reason})

    def _judge(self, event: Evaluated) -> None:
        judged = replace(self._round(event.round), metrics=event.pooled, site_metrics=event.sites)
        self.rounds[event.round] = judged
        self.view = replace(self.view, latest=event, final=event if event.final else self.view.final)
        self._took("judge", event.seconds)
        for site, metrics in event.sites.items():
            intervals = (event.site_intervals or {}).get(site, {})
            pairs = {name: (low, high) for name, (low, high) in intervals.items()}
            self.sites[site] = replace(self._site(site), metrics=metrics, intervals=pairs)

    def _close_round(self, event: RoundFinished) -> None:
        self.rounds[event.round] = replace(
            self._round(event.round),
            finished=True,
            loss=event.loss,
            participants=event.sites,
            phases=event.seconds,
        )
        self.view = replace(self.view, rounds=event.round, model=event.model or None, state=event.state)

    def _took(self, phase: str, seconds: float) -> None:
        if seconds:
            self.view = replace(self.view, seconds_of={**self.view.seconds_of, phase: seconds})

    def _round(self, number: int) -> RoundView:
        return self.rounds.get(number, RoundView(round=number))

    def _site(self, name: str) -> SiteView:
        return self.sites.get(name, SiteView(name=name))


def _spent(view: RunView, event: PrivacySpent) -> PrivacyView:
    """Return what is known of a run's privacy after one more thing was released."""
    before = view.privacy or PrivacyView(unit=event.unit)
    asked = view.asked("privacy").get("dp") or {}
    kept = {
        site: {**before.sites.get(site, {}), **{k: words[k] for k in ("delta", "planned", "epsilon") if k in words}}
        for site, words in event.sites.items()
    }
    pins = {site: {k: words[k] for k in ("lines", "head")} for site, words in event.sites.items() if "head" in words}
    return replace(
        before,
        planned=asked.get("epsilon"),
        sites={**before.sites, **kept},
        steps=_steps(before, event) if event.stage == "train" else before.steps,
        ledgers={**before.ledgers, **pins},
    )


def _steps(before: PrivacyView, event: PrivacySpent) -> dict[str, Mapping[int, int]]:
    now = {site: sum(one.get("count", 0) for one in words.get("released", ())) for site, words in event.sites.items()}
    return {**before.steps, **{site: {**before.steps.get(site, {}), event.round: many} for site, many in now.items()}}


def _more(before: tuple[int, int], event: SiteAnswered) -> tuple[int, int]:
    return before[0] + event.received, before[1] + event.sent


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
