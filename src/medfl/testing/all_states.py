"""A store with executions in every state, as their journals have it; what people wrote there is in French."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from medfl import simulate
from medfl.events import (
    DataPrepared,
    Event,
    FineTuned,
    Noticed,
    PrivacySpent,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunPlanned,
    RunResumed,
    RunStopped,
    SiteDropped,
    WeightsTaken,
)
from medfl.hub.pages.weather import log_of
from medfl.spec.reading import parse
from medfl.store.home import Home
from medfl.testing import story
from medfl.testing.wall import EXECUTION, RUN, beginning, one_round

RUNNING = "f0000006"
"""The execution that a process works on, if its lock is taken."""
_ENDS: Mapping[str, tuple[Event, ...]] = MappingProxyType(
    {
        "f0000001": (RunFailed(run=RUN, code="engine", message="site hospital-03: the site did not answer in time"),),
        "f0000002": (RunInterrupted(run=RUN),),
        "f0000003": (RunStopped(run=RUN),),
        "f0000004": (RunStopped(run=RUN, by="anne", why="la nuit", paused=True),),
        "f0000005": (
            RunResumed(run=RUN, after_round=2, versions={}, platform="Linux"),
            SiteDropped(run=RUN, round=3, site="hospital-02", by="anne", why="serveur en panne", decided="2026"),
        ),
        RUNNING: (),
    }
)
STUDY = """
[study]
name = "tumeurs"
question = "La tumeur est-elle maligne ?"
repeats = 2
[data]
target = "diagnosis"
positive = "malignant"
[data.simulate]
bundled = "breast-cancer"
names = ["nord", "sud", "ouest"]
[training]
local_epochs = 1
[algorithm]
kind = "fedavg"
rounds = 1
[evaluation]
baselines = ["centralised", "local-only"]
bootstrap = 20
margin = 0.05
smallest_group = 5
[evaluation.subgroups]
taille = { column = "mean radius", cuts = [14.0] }
[evaluation.contributions]
kind = "leave-one-out"
[evaluation.importance]
repeats = 2
[evaluation.fine_tune]
local_epochs = 1
[privacy]
secure_aggregation = false
[[arm]]
name = "alpha"
[[arm]]
name = "beta"
algorithm = { kind = "fedprox", mu = 0.1 }
"""
"""With all that a comparison can have."""
PRIVATE = """
[study]
name = "prive"
question = "Et avec du bruit ?"
[data]
target = "diagnosis"
positive = "malignant"
features = ["mean radius", "mean texture"]
[data.simulate]
bundled = "breast-cancer"
names = ["nord", "sud", "ouest"]
[preprocess]
impute = "median"
[training]
local_epochs = 1
batch_size = 32
[algorithm]
kind = "fedavg"
rounds = 1
[privacy]
secure_aggregation = true
[privacy.dp]
unit = "record"
epsilon = 8.0
[privacy.dp.ranges]
"mean radius" = [0.0, 40.0]
"mean texture" = [0.0, 50.0]
"""
"""With differential privacy."""
OWN = """
[study]
name = "a-nous"
question = "Qui rechute ?"
repeats = 2
[data]
target = "rechute"
positive = "oui"
missing = ["k.A.", "<0,5"]
units = { taille = "cm" }
[data.sites]
lille = "FOLDER/lille.csv"
metz = "FOLDER/metz.csv"
[data.harmonise.metz.columns]
rechute = { codes = { JA = "oui", Nein = "non" } }
taille = { called = "TAILLE", factor = 100.0, unit = "m" }
[preprocess]
impute = "median"
[training]
local_epochs = 1
[algorithm]
kind = "fedavg"
rounds = 1
[evaluation]
baselines = ["local-only"]
"""
"""Over tables of one's own, of which one is written otherwise."""


def store(folder: Path) -> Home:
    """Return a store with executions that were run, that are being run, and that came to every end."""
    for text in (STUDY, PRIVATE):
        simulate(parse(text, source="study.toml"), home=folder, progress=False)
    home = Home(folder)
    simulate(_own(folder), home=folder, progress=False)
    home.journal.append(list(_french(story.execution(), "20250102-030405-abc")))
    home.journal.append(list(_french(_without_a_site(), "20250102-030405-abd")))
    for name, end in _ENDS.items():
        home.journal.append(list(_french([*_course(), *end], name)))
    home.journal.append(list(_french(beginning(4, 6)[:1], "f0000007")))
    log = log_of(home, "f0000007")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("Traceback (most recent call last):\nKeyError: 'a'\n")
    return home


def _own(folder: Path) -> Path:
    """Write down a study with its tables, in two ways of writing, and return where it is."""
    rows = range(60)
    lille = [f"{150 + n},{'k.A.' if n % 9 == 0 else n / 7:.4},{'fh'[n % 2]},{('non', 'oui')[n % 3 == 0]}" for n in rows]
    metz = [f"{1.5 + n / 99:.2f},{n / 6:.4f},{'fh'[n % 2]},{('Nein', 'JA')[n % 4 == 0]}" for n in rows]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lille.csv").write_text("\n".join(["taille,CRP,sexe,rechute", *lille]))
    (folder / "metz.csv").write_text("\n".join(["TAILLE,CRP,sexe,rechute", *metz]))
    path = folder / "a-nous.toml"
    path.write_text(OWN.replace('"FOLDER/', f'"{folder}/'))
    return path


def _without_a_site() -> Iterator[Event]:
    """Yield a comparison from one repeat of which a site was left out along the way, and from baselines at once."""
    for event in story.execution(name=EXECUTION):
        if isinstance(event, RunFinished):
            late = event.run.endswith("fedavg-7")
            if late or "centralised" in event.run or "local-only" in event.run:
                yield SiteDropped(
                    run=event.run,
                    round=3 if late else 0,
                    site="st-anne",
                    by="whoever is at this machine",
                    why="l’hôpital s’est retiré",
                    decided="2026",
                )
        yield event


def _course() -> Iterator[Event]:
    """Yield two rounds and a part of the third, with whatever can happen in one."""
    yield from beginning(4, 6)
    yield DataPrepared(run=RUN, sites={}, recipe={}, explained=())
    yield Noticed(run=RUN, text="hospital-01 has fewer than 100 rows: its own intervals are wide", site="hospital-01")
    yield WeightsTaken(run=RUN, source="run 0123", digest="a" * 64)
    plan = {"delta": 1e-5, "planned": {"delta": 1e-5, "steps": 20, "epsilon": 8.0}}
    yield PrivacySpent(run=RUN, round=0, stage="prepare", unit="record", sites={"hospital-01": plan})
    spent = {"hospital-01": {"delta": 1e-5, "released": [{"kind": "gaussian", "count": 5}]}}
    for number in (1, 2):
        failing = ("hospital-03",) if number == 2 else ()
        yield from (event for some in one_round(number, 4, failing=failing) for event in some)
        yield PrivacySpent(run=RUN, round=number, stage="train", unit="record", sites=spent)
    yield FineTuned(run=RUN, round=2, sites={"hospital-01": {"auc": 0.9}})
    yield from (event for some in list(one_round(3, 4))[:2] for event in some)


def _french(events: Iterable[Event], execution: str) -> Iterator[Event]:
    """Yield events under the name of another execution, with a question in French."""
    for event in events:
        run = event.run.replace(EXECUTION, execution)
        if isinstance(event, RunPlanned):
            spec = event.spec.replace("Is it <malignant> & so on?", "Est-ce <malin> ?")
            spec = spec.replace("Who comes back within 30 days?", "Qui revient sous 30 jours ?")
            yield replace(event, run=run, execution=execution, spec=spec)
        else:
            yield replace(event, run=run)
