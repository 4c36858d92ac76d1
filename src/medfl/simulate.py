"""The front door of the library: a study and its tables in, stored and comparable results out."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from medfl.events import Event
from medfl.execution import Display, EngineName, Engines, carry_on, lay_down
from medfl.run.explain import Section, explain
from medfl.run.loop import asking_for
from medfl.run.plan import RunPlan, compile
from medfl.run.preparing import Setting, prepare
from medfl.site.sources import Sources, Tables
from medfl.spec.checks import check
from medfl.spec.reading import read
from medfl.spec.study import Study
from medfl.store.home import Home
from medfl.store.shelf import whole_execution
from medfl.store.views import ExecutionView


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
        from medfl.publish.export import save
        from medfl.publish.report import report

        target = Path(path)
        save(target, report(self.view))
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
        With all that is wrong with the study, or else with the tables or the model of the first arm that cannot run.
    """
    asked, base = opened(study)
    plans = compile(asked)
    told: list[tuple[Setting, list[Event]]] = []
    with TemporaryDirectory() as vaults, Engines(Sources(base, Path(vaults), tables), "in-process") as engines:
        for plan in _differing(plans):
            engine = engines.engine(plan)
            told.append(_run_through(prepare(asking_for("check", plan, engine), engine.sites())))
            told[-1][0].model(plan.study.model)
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


def _differing(plans: tuple[RunPlan, ...]) -> Iterator[RunPlan]:
    """Yield one plan for each way in which the arms' tables are read, and each model."""
    seen = set()
    for plan in plans:
        study = plan.study
        key = (study.data.model_dump_json(), study.preprocess, study.model.model_dump_json())
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
