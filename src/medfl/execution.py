"""Carries out an execution: lays its runs down, opens the sites, writes down what happens, goes on where it stopped."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from medfl.deploying import (
    HUB,
    Chosen,
    OnRay,
    RayAt,
    address_of,
    chosen,
    deployed,
    name_of,
    noise_key,
    over_hub,
    plugged,
    require_engine,
)
from medfl.errors import (
    BusyError,
    Complaint,
    DataError,
    DivergedError,
    PlanError,
    StoppedError,
    UserError,
    listed,
)
from medfl.events import Drop, RunPlanned, RunResumed
from medfl.kept_policies import keep_policy, policy_of
from medfl.learn.transfer.source import Source, from_export, from_file, from_run
from medfl.run.checkpoint import Checkpoint
from medfl.run.coalitions import with_coalitions
from medfl.run.engine import Engine
from medfl.run.in_process import InProcess
from medfl.run.loop import Federation, carry_out
from medfl.run.plan import RunPlan, compile
from medfl.run.processes import Processes
from medfl.run.provenance import machine, versions
from medfl.run.starting import Find
from medfl.same_data import alike, reads_alike, refuse_other_data
from medfl.scribe import Display, Scribe, require_going_on
from medfl.site import worker
from medfl.site.pooled import pooled
from medfl.site.sources import Sources, require_own_files
from medfl.spec.start import Start
from medfl.spec.study import Study
from medfl.store.decisions import dropped, foreseen
from medfl.store.home import Home
from medfl.store.shelf import ledgers, whole_execution, whole_run
from medfl.store.views import RunView

if TYPE_CHECKING:
    from medfl.site.answer import Site


OVER_GRID = "flower-app"
"""The engine of a run that a Flower app carries out, over whatever SuperLink it is started on."""


def lay_down(study: Study, home: Home, *, sources: Sources, engine: Chosen, arm: str | None) -> str:
    """Lay down all runs of an execution in the journal and return its id.

    Raises
    ------
    PlanError
        With every reason why the study cannot be carried out as asked.
    SpecError
        If the policy is none.
    """
    require_engine(name_of(engine), sources)
    plans = compile(study, only=arm)
    require_starts(plans, finding(sources.base, lambda: home))
    if arm is None:
        plans = with_coalitions(plans, lambda asked: tuple(sources.sites(asked)))
    execution = secrets.token_hex(4)
    if sources.policy is not None:
        keep_policy(home, execution, sources.policy)
    base = "" if sources.tables is not None else str(sources.base)
    home.journal.append(planned(study, plans, execution=execution, base=base, engine=engine))
    return execution


def planned(
    study: Study, plans: Sequence[RunPlan], *, execution: str, base: str, engine: RayAt | str
) -> list[RunPlanned]:
    """Return what a journal says of runs before they begin.

    Parameters
    ----------
    study, plans
        What is asked, and the runs that carry it out.
    execution
        The id that they share.
    base
        Folder that the study's relative paths start from; empty where its tables are not files of this machine.
    engine
        What carries them.
    """
    return [
        RunPlanned(
            run=f"{execution}-{number}",
            execution=execution,
            study=study.study.name,
            digest=study.digest,
            spec=study.canonical,
            base=base,
            engine=name_of(engine),
            address=address_of(engine),
            role=plan.role,
            arm=plan.arm,
            seed=plan.seed,
            members=plan.members,
            orders=plan.orders,
        )
        for number, plan in enumerate(plans, start=1)
    ]


def carry_on(
    home: Home,
    execution: str,
    *,
    sources: Sources | None = None,
    display: Display | None = None,
    plugins: Iterable[Path] = (),
    address: str | None = None,
) -> None:
    """Carry out what an execution has not finished yet.

    Parameters
    ----------
    home, execution
        What is carried out, and where it is stored.
    sources
        Where its tables are; as it was laid down where None.
    display
        Is told what happens.
    plugins
        Files of the user's own that worker processes load before anything else.
    address
        Where Ray is now; as it was laid down where None.

    Raises
    ------
    MedflError
        What is not the user's doing, at once; what the user can mend in some arm, after all other arms are done. Where
        tables cannot be used, the other runs that read the same are left as they are.
    """
    runs = whole_execution(home, execution).every
    sources = sources or _stored_sources(home, runs[0])
    engine = chosen(runs[0].engine, runs[0].address if address is None else address)
    with (
        home.lock(execution),
        Engines(sources, engine, plugins) as engines,
    ):
        carry_all(home, runs, engines=engines, display=display)


class Carriers(Protocol):
    """Knows who carries out a run."""

    def federation(self, plan: RunPlan, home: Home) -> Federation:
        """Return all that a run of this plan needs."""
        ...


def carry_all(home: Home, runs: Sequence[RunView], *, engines: Carriers, display: Display | None) -> None:
    """Carry out those of the runs that are not finished; whoever calls holds the lock of their execution.

    Raises
    ------
    MedflError
        As :func:`carry_on` does.
    """
    mendable: list[tuple[RunView, UserError]] = []
    unusable: list[RunView] = []
    for run in runs:
        if any(reads_alike(run, other) for other in unusable):
            continue
        try:
            with home.lock(run.run):
                # Read under the lock: another process may have finished it meanwhile.
                known = whole_run(home, run.run)
                if known.status != "finished":
                    _carry_out(home, known, engines=engines, before=alike(known, runs), display=display)
        except (BusyError, StoppedError):
            raise
        except UserError as error:
            mendable.append((run, error))
            if isinstance(error, DataError) and not whole_run(home, run.run).table:
                unusable.append(run)
    if mendable:
        raise _together(mendable, named=len(runs) > 1)


def finding(base: Path, home: Callable[[], Home]) -> Find:
    """Return what finds the weights that a study starts from: in files beside it, or in a store's runs.

    Parameters
    ----------
    base
        Folder that the study's relative paths start from.
    home
        Opens the store.
    """

    def find(start: Start) -> Source:
        if start.model is not None:
            return from_export(base / start.model, named=start.model)
        if start.weights is not None:
            return from_file(base / start.weights, named=start.weights)
        return _learned(home(), start.run or "")

    return find


def require_starts(plans: Sequence[RunPlan], find: Find) -> None:
    """Refuse plans that start from what is not there, before anything is laid down."""
    starts = {start.source: start for plan in plans if (start := plan.study.model.start) is not None}
    for start in starts.values():
        if not start.bundled:
            find(start)


def _learned(home: Home, name: str) -> Source:
    """Return what a run of this store has learned."""
    run = whole_run(home, name)
    if run.status != "finished" or run.model is None:
        done = run.status == "finished"
        raise PlanError(
            "this run has no one model to start from" if done else "the run to start from is not finished",
            where="[model.start] run",
            received=f"{run.run}: {run.role}, {run.status}",
            remedy="name a run of an arm or of the centralised baseline" if done else f"medfl resume {run.run}",
        )
    with home.artefacts.open(run.model) as body:
        told = f"run {run.run} ({run.study}, {run.arm}, seed {run.seed})"
        model = run.asked("model")
        return from_run(body.read(), told=told, model=model, agreement=run.agreement, recipe=run.recipe)


def _together(mendable: Sequence[tuple[RunView, UserError]], *, named: bool) -> UserError:
    """Return one error with every complaint once; what happened in training names its arm and seed."""
    complaints: list[Complaint] = []
    for run, error in mendable:
        who = f"{run.arm}, by {listed(run.members)}" if run.members else run.arm
        name = f"{who}, seed {run.seed}" if named and isinstance(error, DivergedError) else ""
        complaints += [replace(one, where=", ".join(filter(None, (name, one.where)))) for one in error.complaints]
    kinds = {type(error) for _, error in mendable}
    kind = kinds.pop() if len(kinds) == 1 else UserError
    return kind.of(list(dict.fromkeys(complaints)))


def _carry_out(home: Home, run: RunView, *, engines: Carriers, before: RunView | None, display: Display | None) -> None:
    """Carry out one run, writing down what happens before anything else is asked for."""
    plan = plan_of(run)
    start = _checkpoint(home, run)
    with Scribe(home, run, display) as scribe:
        require_going_on(home, run)
        if start is not None:
            told = versions(plan.study.model.kind)
            scribe.on(RunResumed(run=run.run, after_round=start.round, versions=told, platform=machine()))
        decided = partial(_decided, home, run)
        federation = replace(engines.federation(plan, home), ledgers=ledgers(home, run.execution), decided=decided)
        for event in carry_out(run.run, plan, federation, start=start, spent=run.seconds or 0.0):
            if before is not None:
                refuse_other_data(before, run, event, gone=_ever_gone(home, run.execution))
            scribe.on(event)


def _decided(home: Home, run: RunView, round: int) -> tuple[Drop, ...]:
    """Return which sites a run leaves out from a round on: by decision, and because the run that it repeats did."""
    again = (one for one in foreseen(home, run.execution) if one.run == run.run and one.round <= round)
    repeated = [Drop(site=one.site, by=one.by, why=one.why, decided=one.decided) for one in again]
    return (*dropped(home, run.execution), *repeated)


def _ever_gone(home: Home, execution: str) -> frozenset[str]:
    """Return the sites that some run of an execution leaves out sooner or later."""
    return frozenset(drop.site for drop in dropped(home, execution)) | {one.site for one in foreseen(home, execution)}


class Engines:
    """Opens the sites once for each way in which the arms' data differ."""

    def __init__(self, sources: Sources, engine: Chosen, plugins: Iterable[Path] = ()) -> None:
        self._sources, self._name, self._plugins = sources, name_of(engine), tuple(plugins)
        self._open: dict[str, tuple[Engine, dict[str, Site]]] = {}
        self._stack = ExitStack()
        self._ray = OnRay(engine, self._stack)

    def engine(self, plan: RunPlan) -> Engine:
        """Return the engine that reaches the sites of this plan."""
        return self._opened(plan.study)[0]

    def sites(self, study: Study) -> tuple[str, ...]:
        """Return the names of an arm's sites."""
        return tuple(self._opened(study)[1])

    def federation(self, plan: RunPlan, home: Home) -> Federation:
        """Return all that a run of this plan needs."""
        engine, sites = self._opened(plan.study)
        pool = pooled(sites, self._sources.vaults)
        find = finding(self._sources.base, lambda: home)
        secret = noise_key(self._sources) if self._name == HUB else None
        return Federation(engine, home.artefacts.write, InProcess({pool.name: pool.answer}), find, secret=secret)

    def _opened(self, study: Study) -> tuple[Engine, dict[str, Site]]:
        key = f"{study.data.model_dump_json()}/{study.study.seed}"
        if key not in self._open:
            sites = self._sources.sites(study)
            compile(study, sites=tuple(sites))
            self._open[key] = (self._connected(study, sites), sites)
        return self._open[key]

    def _connected(self, study: Study, sites: dict[str, Site]) -> Engine:
        if self._name != HUB:
            require_own_files(study)
        if self._name == "in-process":
            return InProcess({name: site.answer for name, site in sites.items()})
        if self._name == HUB:
            return self._stack.enter_context(over_hub(self._sources, sites))
        opening = worker.opening(study, self._sources, self._plugins)
        if self._name == "flower":
            return self._stack.enter_context(deployed(sites, opening))
        if self._name == "ray":
            return self._ray.engine(sites, opening)
        if self._name != "processes":
            return plugged(self._name, sites, opening=opening, stack=self._stack)
        command = (sys.executable, "-m", worker.__name__)
        return self._stack.enter_context(Processes(sites, command=command, opening=opening))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def plan_of(run: RunView) -> RunPlan:
    """Return the plan that a run was laid down with."""
    whole = Study.model_validate(run.spec)
    study = whole.arms[run.arm] if run.federated else whole.overridden({})
    return RunPlan(run.role, run.arm, run.seed, study, run.members, run.orders)


def _checkpoint(home: Home, run: RunView) -> Checkpoint | None:
    if not run.rounds or not run.federated or run.model is None or run.state is None:
        return None
    with home.artefacts.open(run.model) as model, home.artefacts.open(run.state) as state:
        sites = prepared_sites(run)
        largest = max((run.sites[name].train_rows or 0 for name in sites), default=0)
        return Checkpoint(
            run.rounds,
            model.read(),
            state.read(),
            sites,
            run.agreement,
            run.recipe,
            largest,
            dropped=tuple(run.dropped),
        )


def prepared_sites(run: RunView) -> tuple[str, ...]:
    """Return the sites whose tables were prepared, in the order in which replies are folded."""
    return tuple(name for name, site in run.sites.items() if site.train_rows is not None)


def _stored_sources(home: Home, run: RunView) -> Sources:
    if run.engine == OVER_GRID:
        raise PlanError(
            "the run is carried out by the consortium's own Flower, and goes on there",
            where=run.run,
            remedy=f"""start the app again: flwr run APP --run-config 'resume="{run.run}"'""",
        )
    if not run.base:
        raise PlanError(
            "the run was started from Python with data frames, which are not stored",
            where=run.run,
            remedy="call medfl.simulate again with the same study and frames",
        )
    policy = policy_of(home, run.execution)
    return Sources(Path(run.base), home.folder / "sites", policy=policy if policy.is_file() else None)
