"""What a run's events add up to: pure folds, the only source of every page, table and report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from medfl.errors import NotFoundError
from medfl.events import (
    DataDescribed,
    DataPrepared,
    Evaluated,
    Event,
    Intervals,
    Metrics,
    Noticed,
    Role,
    RoundFinished,
    RoundStarted,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunPlanned,
    RunResumed,
    RunStarted,
    SiteAnswered,
    SiteFailed,
    WeightsTaken,
)
from medfl.spec.merging import merge
from medfl.store.journal import Recorded

Status = Literal["planned", "running", "interrupted", "failed", "finished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteView:
    """One site of a run.

    Parameters
    ----------
    name
        The site's name.
    rows, schema, missing
        Rows of its table, sha256 of its schema, missing values by column; until it has told: None, empty.
    train_rows, test_rows, left_out
        Rows after preparation; None until then.
    train_classes, test_classes
        Rows by class name; empty for regression.
    metrics, intervals
        Of the run's last model on this site's test rows; empty until it was judged.
    """

    name: str
    rows: int | None = None
    schema: str = ""
    missing: Mapping[str, int] = field(default_factory=dict)
    train_rows: int | None = None
    test_rows: int | None = None
    left_out: int | None = None
    train_classes: Mapping[str, int] = field(default_factory=dict)
    test_classes: Mapping[str, int] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=dict)
    intervals: Intervals = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundView:
    """One round of a run; round 0 is the untrained model, listed where it was judged.

    Parameters
    ----------
    round
        From 0.
    finished
        Whether its aggregate is stored.
    loss
        Mean training loss over the contributions.
    metrics, site_metrics
        Of the model this round ended with, pooled and by site; empty where it was not judged.
    site_loss, seconds
        By site: mean training loss, time it worked.
    participants
        Who contributed; while the round is open, who has answered so far.
    failed
        Reason by site, for those who did not contribute.
    received, sent
        Bytes of numbers that reached and left the sites, in sum.
    """

    round: int
    finished: bool = False
    loss: float | None = None
    metrics: Metrics = field(default_factory=dict)
    site_metrics: Mapping[str, Metrics] = field(default_factory=dict)
    site_loss: Mapping[str, float | None] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    participants: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    received: int = 0
    sent: int = 0


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run stopped: the error's code, and what the user was told."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """Everything known of one run.

    Parameters
    ----------
    run, execution, study, digest, base, engine, role, arm, seed
        As planned, see :class:`medfl.events.RunPlanned`.
    spec
        The study's canonical JSON, decoded; all arms included.
    status
        Where it stands; a run that began and did not end is running if some process works on it, else interrupted.
    planned, started, ended
        Times, UTC in ISO 8601; None for what has not happened. Ended by an end, a failure or an interruption.
    sittings
        When work began or was taken up again.
    seconds
        Wall time worked on it, over all sittings.
    rounds, planned_rounds
        Finished so far; asked for by the arm.
    model, state
        Sha256 of the last good weights and of the algorithm's state; None before the first, model also for local-only.
    sites
        By name, in the order in which replies are folded.
    agreement, recipe, explained
        What the sites share; the fitted preprocessing, and the same in sentences.
    table
        One entry a round, in order.
    latest, final
        The last judgement of a model; the same if it was that of the run's last model, with intervals and curves.
    start
        What training started from; None where first weights were drawn at random.
    notices, failures
        What a reader should know, each once; every contribution that did not come.
    place
        Position of the plan in the journal: a later plan has a greater one.
    """

    run: str
    execution: str
    study: str
    digest: str
    spec: Mapping[str, Any]
    base: str
    engine: str
    role: Role
    arm: str
    seed: int
    status: Status = "planned"
    planned: str = ""
    started: str | None = None
    ended: str | None = None
    sittings: tuple[str, ...] = ()
    seconds: float = 0.0
    rounds: int = 0
    planned_rounds: int = 0
    model: str | None = None
    state: str | None = None
    error: RunError | None = None
    sites: Mapping[str, SiteView] = field(default_factory=dict)
    agreement: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    explained: tuple[str, ...] = ()
    table: tuple[RoundView, ...] = ()
    latest: Evaluated | None = None
    final: Evaluated | None = None
    start: WeightsTaken | None = None
    notices: tuple[Noticed, ...] = ()
    failures: tuple[SiteFailed, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""
    place: int = 0

    @property
    def metrics(self) -> Metrics:
        """Pooled metrics of the last model that was judged; empty before the first, and for local-only."""
        return self.latest.pooled if self.latest else {}

    def asked(self, part: str) -> Mapping[str, Any]:
        """Return one part of the spec, e.g. "algorithm", with the arm's overrides laid over it."""
        arms = self.spec.get("arm", ()) if self.role == "arm" else ()
        change = next((arm.get(part) for arm in arms if arm.get("name") == self.arm), None)
        asked: Mapping[str, Any] = merge(self.spec, {part: change} if change is not None else {}).get(part, {})
        return asked


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionView:
    """All runs of one ``medfl run``.

    Parameters
    ----------
    runs, baselines
        The arms' runs, and those of the baselines, each in the order they were planned.
    started
        When it was planned, UTC in ISO 8601.
    """

    execution: str
    study: str
    digest: str
    spec: Mapping[str, Any]
    question: str
    runs: tuple[RunView, ...]
    baselines: tuple[RunView, ...]
    started: str

    @property
    def arms(self) -> Mapping[str, tuple[RunView, ...]]:
        """Runs by arm, in planned order."""
        names = dict.fromkeys(run.arm for run in self.runs)
        return {name: tuple(run for run in self.runs if run.arm == name) for name in names}

    def baseline(self, role: Role) -> tuple[RunView, ...]:
        """Return the runs of one baseline, one a repeat."""
        return tuple(run for run in self.baselines if run.role == role)


def view_run(events: Iterable[Recorded], *, alive: bool = False) -> RunView:
    """Fold one run's events; `alive` says whether some process is working on it now.

    Raises
    ------
    NotFoundError
        If there is no event that planned the run.
    """
    fold: _Fold | None = None
    for recorded in events:
        if isinstance(recorded.event, RunPlanned):
            fold = _Fold(_planned(recorded.event, recorded))
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
        baselines=tuple(run for run in planned if run.role != "arm"),
        started=first.planned,
    )


def _planned(event: RunPlanned, recorded: Recorded) -> RunView:
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
        planned=recorded.at,
        place=recorded.seq,
    )
    return replace(view, planned_rounds=view.asked("algorithm").get("rounds", 0))


class _Fold:
    """A run as far as its events have been taken; rounds and sites are kept apart, because they change most."""

    def __init__(self, planned: RunView) -> None:
        self.view = planned
        self.sites: dict[str, SiteView] = {}
        self.rounds: dict[int, RoundView] = {}
        self.spans: list[tuple[str, str]] = []

    def take(self, event: Event, at: str) -> None:
        """Take the next event."""
        match event:
            case RunStarted() | RunResumed():
                self._begin(event, at)
            case DataDescribed(sites=sites):
                self._describe(sites, ("rows", "schema", "missing"))
                self.view = replace(self.view, agreement=event.agreement)
            case DataPrepared(sites=sites):
                self._describe(sites, ("train_rows", "test_rows", "left_out", "train_classes", "test_classes"))
                self.view = replace(self.view, recipe=event.recipe, explained=event.explained)
            case RoundStarted(round=number):
                # A round that a crash cut short is asked for again: what came of the first attempt does not count.
                self.rounds[number] = RoundView(round=number)
            case SiteAnswered():
                self._answer(event)
            case SiteFailed():
                self._fail(event)
            case Evaluated():
                self._judge(event)
            case RoundFinished():
                self._close_round(event)
            case WeightsTaken():
                self.view = replace(self.view, start=event)
            case Noticed():
                self.view = replace(self.view, notices=tuple(dict.fromkeys((*self.view.notices, event))))
            case RunFinished(rounds=rounds, seconds=seconds):
                model = event.model or self.view.model
                self.view = replace(self.view, status="finished", ended=at, rounds=rounds, model=model, seconds=seconds)
            case RunFailed():
                self.view = replace(self.view, status="failed", ended=at, error=RunError(event.code, event.message))
            case RunInterrupted():
                self.view = replace(self.view, status="interrupted", ended=at)
        if self.spans:
            self.spans[-1] = (self.spans[-1][0], at)

    def result(self, *, alive: bool) -> RunView:
        """Return the view of what was taken."""
        view = replace(self.view, sites=self.sites, table=tuple(self.rounds[number] for number in sorted(self.rounds)))
        if view.status == "finished":
            return view
        status = "interrupted" if view.status == "running" and not alive else view.status
        return replace(view, status=status, seconds=sum(_seconds(*span) for span in self.spans))

    def _begin(self, event: RunStarted | RunResumed, at: str) -> None:
        after = event.after_round if isinstance(event, RunResumed) else 0
        if isinstance(event, RunStarted):
            self.sites = {site: SiteView(name=site) for site in event.sites}
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
            final=None,
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
            participants=(*before.participants, event.site),
            site_loss={**before.site_loss, event.site: event.loss},
            seconds={**before.seconds, event.site: event.seconds},
            received=before.received + event.received,
            sent=before.sent + event.sent,
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
        for site, metrics in event.sites.items():
            intervals = (event.site_intervals or {}).get(site, {})
            pairs = {name: (low, high) for name, (low, high) in intervals.items()}
            self.sites[site] = replace(self._site(site), metrics=metrics, intervals=pairs)

    def _close_round(self, event: RoundFinished) -> None:
        self.rounds[event.round] = replace(
            self._round(event.round), finished=True, loss=event.loss, participants=event.sites
        )
        self.view = replace(self.view, rounds=event.round, model=event.model or None, state=event.state)

    def _round(self, number: int) -> RoundView:
        return self.rounds.get(number, RoundView(round=number))

    def _site(self, name: str) -> SiteView:
        return self.sites.get(name, SiteView(name=name))


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
