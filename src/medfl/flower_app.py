"""The Flower app of a study: written for a consortium that runs Flower already, and carried out when it starts it."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from medfl.errors import Complaint, DataError, PlanError, listed
from medfl.events import Event, RoundFinished, RunFinished, SiteFailed
from medfl.execution import OVER_GRID, carry_all, finding, planned, require_starts
from medfl.inspection import opened
from medfl.left_out import leave_out, require_possible
from medfl.publish.code import Models
from medfl.publish.flower_app import App, save, unfit
from medfl.run.coalitions import with_coalitions
from medfl.run.engine import Engine
from medfl.run.in_process import InProcess
from medfl.run.loop import Federation
from medfl.run.plan import RunPlan, compile
from medfl.site import plugins
from medfl.site.pooled import pooled
from medfl.site.purse import secret_in
from medfl.site.sources import Sources
from medfl.spec.checks import SITE
from medfl.spec.placing import placing
from medfl.spec.reading import text_of
from medfl.spec.study import Study
from medfl.store.home import Home
from medfl.store.leaving import LeftOut
from medfl.store.shelf import whole_execution, whole_run
from medfl.store.views import RunView

if TYPE_CHECKING:
    from medfl.run.flower.grid import Grid

log = logging.getLogger("flwr")
"""Flower's own, whose lines reach who started the app."""
WAIT = 600.0
"""Seconds that all sites have to come, where nobody says otherwise."""


def write(study: Path, folder: Path, *, sites: Sequence[str] = ()) -> App:
    """Write the Flower app of a study into a new folder.

    Parameters
    ----------
    study
        The study's file.
    folder
        Where the app is to be.
    sites
        The hospitals' names, where the study does not name them.

    Raises
    ------
    PlanError
        With every reason why the study cannot be carried out over a consortium's Flower.
    UserError
        If the folder exists already, or cannot be where it is asked for.
    """
    asked, _ = opened(study)
    with placing(study):
        names = tuple(sorted(sites or asked.data.sites or _dealt(asked)))
        if complaints := [*unfit(asked), *_misnamed(names, asked)]:
            raise PlanError.of(complaints)
        compile(asked, sites=names)
    app = App(
        asked.study.name,
        asked.study.question,
        asked.digest,
        names,
        text_of(study, "study"),
        simulated=asked.data.simulate is not None,
    )
    save(app, folder)
    return app


def coordinate(
    study: Path,
    grid: Grid,
    config: Mapping[str, Any],
    models: Models | None = None,
    *,
    left_out: LeftOut | None = None,
) -> None:
    """Carry a study out over a consortium's Flower, into the journal of a home.

    Parameters
    ----------
    study
        The study's file.
    grid
        What Flower hands to a ServerApp.
    config
        The run config (:class:`RunConfig`).
    models
        What the study gave before, by arm and seed.
    left_out
        Sites that are not asked any more from some round on, as for :func:`medfl.simulate`.

    Raises
    ------
    MedflError
        When the study cannot be carried out, or could not be to its end, or gave other models than before; what was
        reached is in the journal.
    """
    from medfl.run.flower.grid import GridEngine  # Flower is an extra.

    told = RunConfig.read(config)
    plugins.load([told.plugin] if told.plugin else [])
    asked, base = opened(study)
    with placing(study), Home(told.home) as home:
        plans = () if told.resume else _plans(asked, home, base=base, told=told)
        if plans and left_out:
            require_possible(compile(asked), left_out, lambda _: told.sites)
        execution = _begun(home, told.resume, asked) if told.resume else secrets.token_hex(4)
        if told.resume:
            home.let_go_on(execution)
        engine = GridEngine(grid, told.sites, seconds=told.wait)
        if plans:
            home.journal.append(planned(asked, plans, execution=execution, base="", engine=OVER_GRID))
            leave_out(home, execution, left_out or {})
        log.info("MEDfl: %s, journal in %s", execution, home.folder)
        with home.lock(execution):
            runs = whole_execution(home, execution).every
            carry_all(home, runs, engines=_OverGrid(engine, base), display=_Lines())
        _compare(whole_execution(home, execution).runs, models or {})


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What ``flwr run --run-config`` may say.

    Parameters
    ----------
    sites
        The hospitals' names.
    home
        Folder of the journal; ``$MEDFL_HOME`` or ``~/.medfl`` of who runs the SuperLink where None.
    arm
        The one arm to run, without baselines; all where None.
    resume
        A run to go on with; a new one is begun where empty.
    wait
        Seconds that all sites have to come.
    plugin
        Python file on the SuperLink's machine to load first.
    """

    sites: tuple[str, ...]
    home: Path | None = None
    arm: str | None = None
    resume: str = ""
    wait: float = WAIT
    plugin: Path | None = None

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Self:
        """Read a run config; empty words count as left out.

        Raises
        ------
        PlanError
            If no site is named, or the time to wait is no number.
        """
        sites = tuple(name for word in str(config.get("sites", "")).split(",") if (name := word.strip()))
        wait = config.get("wait", WAIT)
        if not sites or isinstance(wait, bool) or not isinstance(wait, int | float) or wait < 0:
            raise PlanError(
                "the run config is not what MEDfl needs",
                where="[tool.flwr.app.config] of pyproject.toml, or --run-config",
                received=f"sites = {config.get('sites')!r}, wait = {wait!r}",
                remedy='write sites = "NAME,NAME,NAME" and wait = SECONDS',
            )
        home, plugin = (Path(word).expanduser() if (word := config.get(key)) else None for key in ("home", "plugin"))
        return cls(
            sites, home, arm=config.get("arm") or None, resume=str(config.get("resume") or ""), wait=wait, plugin=plugin
        )


@dataclass(frozen=True, slots=True)
class _OverGrid:
    """Carries every run over one engine: real sites have one table each, whatever the arm."""

    engine: Engine
    base: Path

    def federation(self, plan: RunPlan, home: Home) -> Federation:
        find = finding(self.base, lambda: home)
        if plan.study.data.simulate is not None:
            # As in any simulation: noise follows from the seed, and the baseline may have all rows in one place.
            vaults = home.folder / "sites"
            pool = pooled(Sources(self.base, vaults).sites(plan.study), vaults)
            return Federation(self.engine, home.artefacts.write, InProcess({pool.name: pool.answer}), find)
        return Federation(self.engine, home.artefacts.write, find=find, secret=secret_in(home.folder / "secret"))


class _Lines:
    """Says in Flower's log what happens."""

    def on(self, event: Event) -> None:
        match event:
            case RoundFinished():
                log.info("MEDfl: %s, round %d: %s", event.run, event.round, listed(event.sites, 20))
            case SiteFailed():
                log.warning("MEDfl: %s, site %s at %s: %s", event.run, event.site, event.stage, event.reason)
            case RunFinished():
                log.info("MEDfl: %s is finished, model %s", event.run, event.model or "at the sites")
            case _:
                pass


def _begun(home: Home, run: str, asked: Study) -> str:
    """Return the execution to go on with."""
    view = whole_run(home, run)
    if view.digest != asked.digest or view.engine != OVER_GRID:
        raise PlanError(
            "the run to go on with is not one of this app",
            where="--run-config resume",
            received=f"{view.run}: study {view.digest[:12]}, engine {view.engine}",
            remedy="start the app that began it, or leave resume out",
        )
    return view.execution


def _plans(asked: Study, home: Home, *, base: Path, told: RunConfig) -> tuple[RunPlan, ...]:
    if complaints := unfit(asked):
        raise PlanError.of(complaints)
    plans = compile(asked, sites=told.sites, only=told.arm)
    require_starts(plans, finding(base, lambda: home))
    return plans if told.arm else with_coalitions(plans, lambda _: tuple(sorted(told.sites)))


def _compare(runs: Sequence[RunView], models: Models) -> None:
    """Say whether the models are those that the study gave before."""
    known = [run for run in runs if (run.arm, run.seed) in models]
    others = [
        Complaint("the model is another one than before", f"{run.arm}, seed {run.seed}", str(run.model))
        for run in known
        if run.model != models[run.arm, run.seed]
    ]
    if others:
        raise DataError.of(others)
    if known:
        log.info("MEDfl: the models are those of the study, to the bit")


def _dealt(asked: Study) -> tuple[str, ...]:
    """Return the sites that a study deals a table out to which came along; none where it does not."""
    if asked.data.simulate is None or asked.data.simulate.bundled is None:
        return ()
    with TemporaryDirectory() as vaults:
        return tuple(Sources(Path(vaults), Path(vaults)).sites(asked))


def _misnamed(names: Sequence[str], asked: Study) -> list[Complaint]:
    if not names and asked.data.simulate is None:
        return [
            Complaint(
                "the study does not say which hospitals take part",
                "[data.sites]",
                remedy="name each: medfl flower app STUDY.toml --site NAME --site NAME …",
            )
        ]
    if asked.data.simulate is not None and set(names) != set(dealt := _dealt(asked)):
        return [
            Complaint(
                "the study deals its table out to other sites",
                "--site",
                listed(names),
                f"leave it out: the sites are {listed(dealt, 20)}",
            )
        ]
    strange = [name for name in names if not SITE.fullmatch(name)]
    if strange or len(set(names)) < len(names):
        return [
            Complaint(
                "sites cannot be called so",
                "--site",
                listed(map(repr, strange or names)),
                "name each once, with up to 80 letters, digits, dots, dashes and underscores",
            )
        ]
    return []
