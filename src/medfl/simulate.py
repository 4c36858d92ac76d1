"""The front door of the library: a study and its tables in, stored and comparable results out."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from medfl.errors import DivergedError, MedflError, PlanError
from medfl.events import DataDescribed, DataPrepared, Event, RunFailed, RunInterrupted, RunPlanned, RunResumed
from medfl.run.checkpoint import Checkpoint
from medfl.run.engine import Engine
from medfl.run.explain import Section, explain
from medfl.run.in_process import InProcess
from medfl.run.loop import Federation, asking_for, carry_out
from medfl.run.plan import RunPlan, compile
from medfl.run.preparing import Setting, prepare
from medfl.run.processes import Processes
from medfl.run.provenance import machine, versions
from medfl.site import worker
from medfl.site.pooled import pooled
from medfl.site.sources import Sources, Tables
from medfl.spec.checks import check
from medfl.spec.reading import read
from medfl.spec.study import Study
from medfl.store.home import Home
from medfl.store.shelf import whole_execution, whole_run
from medfl.store.views import ExecutionView, RunView

if TYPE_CHECKING:
    from medfl.site.answer import Site

EngineName = Literal["in-process", "processes"]


class Display(Protocol):
    """Shows what happens while it happens."""

    def on(self, event: Event) -> None:
        """Take notice of one event."""
        ...


@dataclass(frozen=True)
class Results:
    """What an execution gave, read from the journal.

    Parameters
    ----------
    home
        Where it is stored.
    execution
        Its id.
    """

    home: Home
    execution: str

    @cached_property
    def view(self) -> ExecutionView:
        """Everything that is known of it."""
        return whole_execution(self.home, self.execution)

    @property
    def summary(self) -> dict[str, Any]:
        """The object that ``medfl run --json`` prints."""
        from medfl.store.summary import summary

        return summary(self.view)

    def report(self, path: str | Path) -> Path:
        """Write the report as one HTML file and return its path."""
        from medfl.publish.report import report

        target = Path(path)
        target.write_text(report(self.view), encoding="utf-8")
        return target

    def __str__(self) -> str:
        from medfl.publish.terminal import plain, results

        return plain(results(self.view))

    def _repr_html_(self) -> str:
        from medfl.publish.terminal import as_html, results

        return as_html(results(self.view))


def simulate(
    study: Study | str | Path,
    tables: Tables | None = None,
    *,
    home: str | Path | None = None,
    engine: EngineName = "in-process",
    arm: str | None = None,
    progress: bool = True,
) -> Results:
    """Carry out a study on this machine: every arm, every repeat, every baseline.

    Parameters
    ----------
    study
        A study, or the path of its TOML file.
    tables
        A data frame for each site by name, or one data frame that ``[data.simulate]`` deals out; None where the study
        names files.
    home
        Folder of the journal and artefacts; ``$MEDFL_HOME`` or ``~/.medfl`` where None.
    engine
        ``"in-process"``, or ``"processes"`` for one worker a core: the results are the same bit for bit.
    arm
        The one arm to run, without baselines.
    progress
        Whether to show a progress bar, on a terminal or in a notebook.

    Raises
    ------
    MedflError
        What is wrong, where, and what to do. What was finished stays stored.
    """
    place = Home(Path(home) if home is not None else None)
    asked, base = opened(study)
    sources = Sources(base, place.folder / "sites", tables)
    execution = lay_down(asked, place, sources=sources, engine=engine, arm=arm)
    with _progress(place, execution) if progress else nullcontext() as display:
        carry_on(place, execution, sources=sources, display=display)
    return Results(place, execution)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a study would do, as sections of plain sentences."""

    study: Study
    sections: tuple[Section, ...]


def inspect(study: Study | str | Path, tables: Tables | None = None) -> Inspection:
    """Open every table a study names, fit its preprocessing, and say what it would do; nothing is trained or stored.

    Raises
    ------
    MedflError
        With all that is wrong with the study, or else with the tables of the first arm that cannot be prepared.
    """
    asked, base = opened(study)
    plans = compile(asked)
    told: list[tuple[Setting, list[Event]]] = []
    with TemporaryDirectory() as vaults, _Engines(Sources(base, Path(vaults), tables), "in-process") as engines:
        for plan in _differing(plans):
            engine = engines.engine(plan)
            told.append(_run_through(prepare(asking_for("check", plan, engine), engine.sites())))
    setting, events = told[0]
    return Inspection(asked, explain(asked, plans, setting=setting, events=events))


def opened(study: Study | str | Path) -> tuple[Study, Path]:
    """Return a study and the folder its relative paths start from.

    Raises
    ------
    SpecError
        With all that is wrong with it.
    """
    if isinstance(study, Study):
        check(study)
        return study, Path.cwd()
    loaded = read(Path(study))
    return loaded.study, loaded.base.absolute()


def lay_down(study: Study, home: Home, *, sources: Sources, engine: EngineName, arm: str | None) -> str:
    """Lay down all runs of an execution in the journal and return its id.

    Raises
    ------
    PlanError
        With every reason why the study cannot be carried out as asked.
    """
    if engine == "processes" and sources.tables is not None:
        raise PlanError(
            "worker processes read files, not data frames",
            where="engine",
            received="processes",
            remedy='use engine "in-process", or save the frames as files and name them in [data.sites]',
        )
    plans = compile(study, only=arm)
    execution = secrets.token_hex(4)
    planned = [
        RunPlanned(
            run=f"{execution}-{number}",
            execution=execution,
            study=study.study.name,
            digest=study.digest,
            spec=study.canonical,
            base="" if sources.tables is not None else str(sources.base),
            engine=engine,
            role=plan.role,
            arm=plan.arm,
            seed=plan.seed,
        )
        for number, plan in enumerate(plans, start=1)
    ]
    home.journal.append(planned)
    return execution


def carry_on(home: Home, execution: str, *, sources: Sources | None = None, display: Display | None = None) -> None:
    """Carry out what an execution has not finished yet.

    Raises
    ------
    MedflError
        The first error that stops all of it; or, after everything else is done, that of an arm that diverged.
    """
    view = whole_execution(home, execution)
    runs = [*view.runs, *view.baselines]
    diverged: list[DivergedError] = []
    with _Engines(sources or _stored_sources(home, runs[0]), runs[0].engine) as engines:
        for run in runs:
            try:
                with home.lock(run.run):
                    # Read under the lock: another process may have finished it meanwhile.
                    known = whole_run(home, run.run)
                    if known.status != "finished":
                        _carry_out(home, known, engines, display)
            except DivergedError as error:
                diverged.append(error)
    if diverged:
        raise DivergedError.of([complaint for error in diverged for complaint in error.complaints])


def _carry_out(home: Home, run: RunView, engines: _Engines, display: Display | None) -> None:
    """Carry out one run, writing down what happens before anything else is asked for."""
    plan = _plan(run)
    start = _checkpoint(home, run)
    scribe = _Scribe(home, display)
    try:
        if run.sittings:
            after = start.round if start else 0
            scribe.on(
                RunResumed(run=run.run, after_round=after, versions=versions(plan.study.model.kind), platform=machine())
            )
        federation = engines.federation(plan, home)
        for event in carry_out(run.run, plan, federation, start=start, spent=run.seconds or 0.0):
            _refuse_other_data(run, event)
            scribe.on(event)
    except MedflError as error:
        scribe.on(RunFailed(run=run.run, code=error.code, message=str(error)))
        raise
    except KeyboardInterrupt:
        scribe.on(RunInterrupted(run=run.run))
        raise


class _Scribe:
    """Writes events down in batches; each batch ends where something durable was reached."""

    _ride_along = ("SiteAnswered", "RoundStarted", "Noticed", "Evaluated")

    def __init__(self, home: Home, display: Display | None) -> None:
        self._journal, self._display = home.journal, display
        self._pending: list[Event] = []

    def on(self, event: Event) -> None:
        self._pending.append(event)
        if type(event).__name__ not in self._ride_along:
            self._journal.append(self._pending)
            self._pending = []
        if self._display is not None:
            self._display.on(event)


class _Engines:
    """Opens the sites once for each way in which the arms' data differ."""

    def __init__(self, sources: Sources, name: str) -> None:
        self._sources, self._name = sources, name
        self._open: dict[str, tuple[Engine, dict[str, Site]]] = {}
        self._stack = ExitStack()

    def engine(self, plan: RunPlan) -> Engine:
        """Return the engine that reaches the sites of this plan."""
        return self._opened(plan)[0]

    def federation(self, plan: RunPlan, home: Home) -> Federation:
        """Return all that a run of this plan needs."""
        engine, sites = self._opened(plan)
        pool = pooled(sites, self._sources.vaults)
        return Federation(engine, home.artefacts.write, InProcess({pool.name: pool.answer}))

    def _opened(self, plan: RunPlan) -> tuple[Engine, dict[str, Site]]:
        key = f"{plan.study.data.model_dump_json()}/{plan.study.study.seed}"
        if key not in self._open:
            sites = self._sources.sites(plan.study)
            compile(plan.study, sites=tuple(sites))
            self._open[key] = (self._connected(plan.study, sites), sites)
        return self._open[key]

    def _connected(self, study: Study, sites: dict[str, Site]) -> Engine:
        if self._name != "processes":
            return InProcess({name: site.answer for name, site in sites.items()})
        command = (sys.executable, "-m", worker.__name__)
        return self._stack.enter_context(
            Processes(sites, command=command, opening=worker.opening(study, self._sources))
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _plan(run: RunView) -> RunPlan:
    whole = Study.model_validate(run.spec)
    return RunPlan(run.role, run.arm, run.seed, whole.arms[run.arm] if run.role == "arm" else whole.overridden({}))


def _checkpoint(home: Home, run: RunView) -> Checkpoint | None:
    if not run.rounds or run.role != "arm" or run.model is None or run.state is None:
        return None
    with home.artefacts.open(run.model) as model, home.artefacts.open(run.state) as state:
        return Checkpoint(run.rounds, model.read(), state.read())


def _refuse_other_data(run: RunView, event: Event) -> None:
    """Refuse to go on with tables that are not those the run began with, judged by schema, rows and fitted sums."""
    changed: list[str] = []
    if isinstance(event, DataDescribed):
        before = {name: (site.schema, site.rows) for name, site in run.sites.items() if site.schema}
        now = {name: (site["schema"], site["rows"]) for name, site in event.sites.items()}
        changed = [f"site {name}" for name, told in before.items() if now.get(name) != told]
    elif isinstance(event, DataPrepared) and run.recipe and run.recipe != json.loads(json.dumps(event.recipe)):
        changed = ["the values of some column"]
    if changed:
        raise PlanError(
            "the data changed since the run began",
            where=", ".join(changed),
            remedy="put the old tables back and resume, or start anew with medfl run",
        )


def _stored_sources(home: Home, run: RunView) -> Sources:
    if not run.base:
        raise PlanError(
            "the run was started from Python with data frames, which are not stored",
            where=run.run,
            remedy="call medfl.simulate again with the same study and frames",
        )
    return Sources(Path(run.base), home.folder / "sites")


def _differing(plans: tuple[RunPlan, ...]) -> Iterator[RunPlan]:
    """Yield one plan for each way in which the arms' tables are read."""
    seen = set()
    for plan in plans:
        key = (plan.study.data.model_dump_json(), plan.study.preprocess, plan.study.model.kind)
        if key not in seen:
            seen.add(key)
            yield plan


def _run_through(steps: Generator[Event, None, Setting]) -> tuple[Setting, list[Event]]:
    events: list[Event] = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as end:
            return end.value, events


def _progress(home: Home, execution: str) -> AbstractContextManager[Display]:
    from medfl.publish.terminal import progress

    return progress(whole_execution(home, execution))
