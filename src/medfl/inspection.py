"""Looks at a study before it is run: reads it, opens its tables, and says what it would do."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from medfl.errors import DataError
from medfl.events import Event
from medfl.execution import Engines, finding, require_starts
from medfl.local_tables import LocalTables
from medfl.privacy.ledger import Ledger
from medfl.readiness.check import gaps
from medfl.readiness.gap import Gap
from medfl.run.coalitions import with_coalitions
from medfl.run.engine import Engine
from medfl.run.explain import Prepared, Section, explain, reading
from medfl.run.loop import asking_for, voice_for
from medfl.run.plan import RunPlan, compile
from medfl.run.preparing import Setting, prepare
from medfl.run.starting import Find, first_weights
from medfl.site.purse import purses_in
from medfl.site.sources import Sources, Tables
from medfl.spec.checks import check
from medfl.spec.placing import placing
from medfl.spec.reading import read
from medfl.spec.study import Study
from medfl.store.home import Home


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a study would do, as sections of plain sentences."""

    study: Study
    sections: tuple[Section, ...]


def inspect(study: Study | str | Path, tables: Tables | None = None, *, home: Path | None = None) -> Inspection:
    """Open every table a study names, fit its preprocessing, and say what it would do; nothing is trained or stored.

    Parameters
    ----------
    study
        A study, or the path of its TOML file.
    tables
        As for :func:`medfl.simulate`.
    home
        Folder of the store with the runs that a study may start from; ``$MEDFL_HOME`` or ``~/.medfl`` where None.

    Raises
    ------
    MedflError
        With all that is wrong with the study, or else with the tables or the model of the first arm that cannot run.
    """
    asked, base = opened(study)
    find = finding(base, lambda: Home(home))
    prepared: list[Prepared] = []
    with (
        placing(study),
        TemporaryDirectory() as vaults,
        Engines(Sources(base, Path(vaults), tables), "in-process") as engines,
    ):
        plans = with_coalitions(compile(asked), lambda arm: engines.sites(arm))
        require_starts(plans, find)
        for number, plan in enumerate(_differing(plans)):
            # Each has a name of its own: a site helps with one secure sum of each name.
            run = f"check-{number}"
            engine = engines.engine(plan)
            with _with_repairs(plan.study, base, tables):
                setting, events = _run_through(_ready(run, plan, engine, find))
            prepared.append(Prepared(plan.study, setting, tuple(events)))
    sections = list(explain(asked, plans, prepared=prepared))
    written = tuple(_written(asked, base, tables))
    if written:
        sections.insert(_AFTER_WHO, Section("How the files are written", written))
    doubts = tuple(dict.fromkeys(_doubts([one.study for one in prepared], base, tables)))
    return Inspection(asked, (*sections, *([Section("What may not fit together", doubts)] if doubts else [])))


_AFTER_WHO = 2


def _written(study: Study, base: Path, tables: Tables | None) -> Iterator[str]:
    """Yield how files are written that are not plain CSV, where they are read from files."""
    dealt = study.data.simulate
    if tables is not None or (study.data.sites is None and (dealt is None or dealt.table is None)):
        return
    for name, table in LocalTables(base)(study.data).tables.items():
        for sentence in table.written:
            yield f"{name}: {sentence}"


@contextmanager
def _with_repairs(study: Study, base: Path, tables: Tables | None) -> Iterator[None]:
    """Add to what is wrong with a study's files what would repair it, where that can be guessed."""
    try:
        yield
    except DataError as error:
        found = _gaps(study, base, tables)
        raise DataError.of([*error.complaints, *(gap.complaint for gap in found if gap.repair is not None)]) from error


def _doubts(studies: Sequence[Study], base: Path, tables: Tables | None) -> Iterator[str]:
    """Yield what does not hinder a study but should be looked at: codes, ranges and gaps that differ between sites."""
    for study in studies:
        for gap in _gaps(study, base, tables):
            # Most begin with the name of a site, which keeps its small letter.
            yield f"{gap.complaint.what}; {gap.complaint.remedy}."


def _gaps(study: Study, base: Path, tables: Tables | None) -> tuple[Gap, ...]:
    """Return what does not fit together in the files of a study; nothing where its rows come from elsewhere."""
    if tables is not None or study.data.sites is None:
        return ()
    return gaps(study.data, LocalTables(base)(study.data).tables)


@dataclass(frozen=True, slots=True)
class Spending:
    """What was set aside on one data set, over all runs.

    Parameters
    ----------
    dataset
        The name that its site gave it.
    runs
        How many runs set anything aside.
    epsilon, delta
        What all of them cost together.
    """

    dataset: str
    runs: int
    epsilon: float
    delta: float


def spendings(home: Path, *, delta: float) -> tuple[Spending, ...]:
    """Return what the simulated sites of a store have spent, as their ledgers say.

    Parameters
    ----------
    home
        Folder of the store.
    delta
        The δ that ε is told at.

    Raises
    ------
    MedflError
        If a ledger is damaged or was rolled back.
    """
    return tuple(one for purse in purses_in(home / "sites") for one in spent(purse.ledger, delta=delta))


def spent(ledger: Ledger, *, delta: float) -> Iterator[Spending]:
    """Yield what was set aside on each data set of a ledger.

    Raises
    ------
    MedflError
        If it is damaged or was rolled back.
    """
    # Lines of one name are one data set, whatever its columns: their cost is told once.
    for dataset in {one.name: one for one in ledger.datasets()}.values():
        yield Spending(dataset.name, len(ledger.runs(dataset)), ledger.total(dataset, delta), delta)


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
        key = reading(plan.study)
        if key not in seen:
            seen.add(key)
            yield plan


def _ready(run: str, plan: RunPlan, engine: Engine, find: Find) -> Generator[Event, None, Setting]:
    """Go as far as the first round: tables, preprocessing, first weights."""
    asking = yield from voice_for(asking_for(run, plan, engine), plan, engine.sites())
    setting = yield from prepare(asking, engine.sites())
    yield from first_weights(run, plan, setting, model=setting.model(plan.study.model), find=find)
    return setting


def _run_through(steps: Generator[Event, None, Setting]) -> tuple[Setting, list[Event]]:
    events: list[Event] = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as end:
            return end.value, events
