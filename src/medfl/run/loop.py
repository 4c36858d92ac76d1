"""The round loop: the only one.

A run is a generator of events over any engine. The hub asks, the sites answer, what they send is added up in the order
of their names, the algorithm turns the sum into the next model, the model is stored, and only then is the next round
asked for. Nothing here knows where a site is or how it learns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from medfl.errors import DivergedError, PlanError
from medfl.events import Drop, Event, RoundFinished, RoundStarted, RunFinished, RunStarted
from medfl.learn.algorithm import Algorithm, State, mean_loss
from medfl.learn.model import Floats, Model
from medfl.learn.normalised import around
from medfl.learn.statistic import Statistic
from medfl.run.asking import Asking
from medfl.run.checkpoint import Checkpoint, Keep, restored, stored
from medfl.run.engine import Engine
from medfl.run.guarded import Between, told
from medfl.run.judging import Judge
from medfl.run.leaving import leaving
from medfl.run.plan import RunPlan, hidden_contributions, in_one_place, seen_whole, whole_budget
from medfl.run.preparing import Setting, prepare
from medfl.run.provenance import machine, versions
from medfl.run.sampling import drawn
from medfl.run.starting import Find, first_weights, nowhere
from medfl.run.summing import in_sums


@dataclass(frozen=True, slots=True)
class Federation:
    """Who carries a run out.

    Parameters
    ----------
    engine
        Reaches every site.
    keep
        Stores artefacts.
    pool
        Reaches one site that has all rows, for the centralised baseline; in simulation only.
    find
        Finds weights that a study starts from.
    ledgers
        How far each site's privacy ledger had come when it was last heard of.
    secret
        The key of the noise that a trusted hub adds; None in a simulation, where it follows from the run's seed.
    decided
        Tells which sites are not to be asked any more from a round on, as people have decided by now.
    """

    engine: Engine
    keep: Keep
    pool: Engine | None = None
    find: Find = nowhere
    ledgers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    secret: bytes | None = None
    decided: Callable[[int], Sequence[Drop]] = lambda _: ()


def carry_out(
    run: str, plan: RunPlan, federation: Federation, *, start: Checkpoint | None = None, spent: float = 0.0
) -> Iterator[Event]:
    """Carry out one run.

    Parameters
    ----------
    run
        The run's id.
    plan
        What is run.
    federation
        Who carries it out.
    start
        Where an interrupted run goes on; None to start at the first round.
    spent
        Seconds worked on it before.

    Yields
    ------
    Event
        What happened, each after it is durable.

    Raises
    ------
    MedflError
        When the run cannot go on; all events up to that point have been yielded.
    """
    began = time.perf_counter()
    plan = in_one_place(plan) if plan.role == "centralised" else plan
    asking = replace(asking_for(run, plan, federation.engine), ledgers=dict(federation.ledgers))
    if start is None:
        gone = {drop.site for drop in federation.decided(0)}
        sites = tuple(site for site in federation.engine.sites() if site not in gone)
        secure, kind = plan.study.privacy.hides(len(sites)), plan.study.model.kind
        yield RunStarted(run=run, versions=versions(kind), platform=machine(), sites=sites, secure=secure)
        yield from leaving(asking, federation.decided, among=federation.engine.sites(), round=0)
    else:
        sites = start.sites or tuple(federation.engine.sites())
        asking.dropped.update(start.dropped)
        yield from leaving(asking, federation.decided, among=sites, round=start.round + 1)
    asking = yield from voice_for(asking, plan, sites)
    setting = yield from prepare(asking, sites, before=start)
    asking = asking.knowing(setting.largest)
    model = setting.model(plan.study.model)
    course = _Course(plan, federation, asking, setting, model)
    match plan.role:
        case "arm" | "coalition":
            digest = yield from course.federated(start)
        case "centralised":
            digest = yield from course.centralised()
        case "local-only":
            digest = yield from course.local_only()
    yield RunFinished(run=run, rounds=plan.rounds, model=digest, seconds=spent + time.perf_counter() - began)


Course = Generator[Event, None, str]
"""Yields what happens and returns the digest of the final model."""


@dataclass(frozen=True, slots=True)
class _Course:
    plan: RunPlan
    federation: Federation
    asking: Asking
    setting: Setting
    model: Model

    def federated(self, start: Checkpoint | None) -> Course:
        """Round after round: judge the incoming model and train from it, in one request."""
        algorithm = self._guarded.rule(around(_algorithm(self.plan), self.model.layout))
        if start is not None:
            state = restored(start, self.model.layout)
        else:
            fresh = yield from self._first_weights()
            state = algorithm.init(fresh, len(self._trainers))
        digest = stored(state, self.model.layout, self.federation.keep)[0] if start else ""
        first = start.round + 1 if start else 1
        if first == 1 and self._weighs_sites:
            yield from self.judge.untrained(state.weights)
        for number in range(first, self.plan.rounds + 1):
            yield from self._leaving(number)
            asked = self._asked(number)
            yield RoundStarted(run=self.asking.run, round=number, sites=asked)
            began = time.perf_counter()
            answers = yield from self._voice.ask(
                "train", asked, round=number, content=self._content, arrays=state.shared
            )
            heard = time.perf_counter() - answers.unmasking
            yield from told(self.asking.run, "train", answers, round=number)
            if number > 1 and "judge" in self._content:
                yield self.judge.during_training(number - 1, answers)
            total = self._guarded.summed(answers.total.under("update"), state.shared, run=self.asking.run, round=number)
            state = _next(algorithm, state, total, number=number)
            digest, rest = stored(state, self.model.layout, self.federation.keep)
            yield RoundFinished(
                run=self.asking.run,
                round=number,
                model=digest,
                state=rest,
                sites=answers.sites,
                loss=mean_loss(total),
                seconds={"train": heard - began, "sum": time.perf_counter() - heard},
            )
        yield from self._leaving(self.plan.rounds + 1)
        yield from self._guarded.told(self.asking.run)
        how = yield from self.judge.finally_(self.plan.rounds, state.weights)
        if self.plan.role == "arm" and self.plan.study.evaluation.fine_tune is not None:
            yield from self.judge.fine_tuned(self.plan.rounds, state.weights, how)
        return digest

    def centralised(self) -> Course:
        """All rows in one place, trained in one go for as many passes as the federation makes."""
        if self.federation.pool is None:
            raise PlanError(
                "the centralised baseline needs all rows in one place",
                where="[evaluation] baselines",
                received="a federation whose sites keep their rows",
                remedy='leave "centralised" out of baselines, or run the study as a simulation',
            )
        run, pool = self.asking.run, self.federation.pool
        plan = seen_whole(whole_budget(self.plan, sites=len(self.setting.sites), share=self._share))
        algorithm = around(_algorithm(plan), self.model.layout)
        first = yield from self._first_weights()
        state = algorithm.init(first, 1)
        yield RoundStarted(run=run, round=1, sites=tuple(pool.sites()))
        answers = yield from replace(asking_for(run, plan, pool), min_sites=None).ask(
            "train",
            pool.sites(),
            round=1,
            content=self.setting.content | self._in_one_go | {"pooled": self.setting.sites},
            arrays=state.shared,
        )
        total = answers.total.under("update")
        state = _next(algorithm, state, total, number=1)
        digest, rest = stored(state, self.model.layout, self.federation.keep)
        yield RoundFinished(run=run, round=1, model=digest, state=rest, sites=answers.sites, loss=mean_loss(total))
        yield from self.judge.finally_(1, state.weights)
        return digest

    def local_only(self) -> Course:
        """Each site by itself, from the same start, for as many passes; only its metrics are told."""
        plan = whole_budget(self.plan, sites=1, share=self._share)
        first = yield from self._first_weights()
        yield RoundStarted(run=self.asking.run, round=1, sites=self.setting.sites)
        voice = replace(asking_for(self.asking.run, plan, self.federation.engine), dropped=self.asking.dropped)
        answers = yield from voice.ask(
            "alone",
            self.setting.sites,
            round=1,
            content=self.setting.content | self._in_one_go | {"judge": self.judge.final},
            arrays={"weights": first},
        )
        yield self.judge.each_alone(answers)
        return ""

    def _leaving(self, round: int) -> Iterator[Event]:
        """Ask those not any more whom somebody has decided to leave out meanwhile."""
        return leaving(self.asking, self.federation.decided, among=self.setting.sites, round=round)

    def _asked(self, round: int) -> tuple[str, ...]:
        """Return whom a round asks: drawn among all, so that nobody is asked more often because another has left.

        Raises
        ------
        PlanError
            If all of them were dropped.
        """
        rule = self.plan.study.algorithm
        asked = self.asking.present(drawn(self._trainers, rule, seed=self.plan.seed, round=round))
        if not asked:
            raise PlanError("all sites that the round would ask were dropped", where=f"round {round}")
        return asked

    @property
    def _trainers(self) -> tuple[str, ...]:
        """Who trains: all sites, or the members of a coalition."""
        return self.plan.members or self.setting.sites

    @property
    def _voice(self) -> Asking:
        """Asks the trainers; of a coalition, no more must answer than it has members."""
        least = self.asking.min_sites
        return self.asking if least is None else replace(self.asking, min_sites=min(least, len(self._trainers)))

    @property
    def _content(self) -> dict[str, Any]:
        """What goes with a round; a coalition, and a model behind noise, is judged at its end only."""
        silent = self.plan.role == "coalition" or self._guarded.silent
        return self.setting.content | ({} if silent else {"judge": self.judge.during})

    @property
    def _guarded(self) -> Between:
        """The hub's part in differential privacy."""
        return Between(self.plan, self._trainers, self.federation.secret)

    @property
    def _weighs_sites(self) -> bool:
        """Whether what sites contribute is measured from the untrained model on."""
        return self.plan.role == "arm" and self.plan.study.evaluation.contributions is not None

    @property
    def judge(self) -> Judge:
        further = self.plan.role != "coalition"
        return Judge(self.asking, self.setting, self.plan.study.evaluation, further=further)

    @property
    def _share(self) -> float:
        """The share of rounds in which a site is asked, on average."""
        sites = len(self.setting.sites)
        return self.plan.study.algorithm.asked(sites) / sites

    def _first_weights(self) -> Generator[Event, None, Floats]:
        find = self.federation.find
        return first_weights(self.asking.run, self.plan, self.setting, model=self.model, find=find)

    @property
    def _in_one_go(self) -> dict[str, int]:
        """What a site is told of the rounds that a baseline's one exchange stands for, where layers join in later."""
        start = self.plan.study.model.start
        return {"rounds": self.plan.study.algorithm.rounds} if start is not None and start.steers else {}


def voice_for(asking: Asking, plan: RunPlan, sites: Sequence[str]) -> Generator[Event, None, Asking]:
    """Return the hub's voice towards so many sites: it hears sums only, where the study or their number says so.

    Raises
    ------
    PlanError
        If the study needs what is hidden then.
    """
    if not plan.study.privacy.hides(len(sites)):
        return asking
    if hidden := list(hidden_contributions(plan.study, sites)):
        raise PlanError.of(hidden)
    return (yield from in_sums(asking, sites))


def asking_for(run: str, plan: RunPlan, engine: Engine) -> Asking:
    """Return the hub's voice for a plan."""
    rule = plan.study.algorithm
    return Asking(run, plan.study.canonical, plan.seed, engine, rule.min_sites, rule.single_contributions)


def _algorithm(plan: RunPlan) -> Algorithm:
    algorithm = plan.study.algorithm
    if not isinstance(algorithm, Algorithm):
        raise PlanError(
            "the algorithm says what it is called but not how it works",
            where="[algorithm] kind",
            received=algorithm.kind,
            remedy="give its class the methods init, at_site and at_hub",
        )
    return algorithm


def _next(algorithm: Algorithm, state: State, total: Statistic, *, number: int) -> State:
    """Return the state after a round.

    Raises
    ------
    DivergedError
        If its weights left the finite numbers.
    PlanError
        If too few sites are left for the rule.
    """
    with np.errstate(all="ignore"):
        after = algorithm.at_hub(state, total)
    if not np.isfinite(after.weights).all():
        raise DivergedError(
            "the global weights left the finite numbers",
            where=f"hub, round {number}",
            received="NaN or infinite weights after aggregation",
            remedy="lower server_learning_rate in [algorithm], or learning_rate in [training]; "
            "the model of the last finished round is kept",
        )
    return after
