"""Runs a bundled study again, and compares what comes out with what the bundle holds, run by run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

from medfl.bundles.archive import opened
from medfl.bundles.checking import verify
from medfl.bundles.contents import CANONICAL, FEDERATED, JOURNAL, POLICY
from medfl.bundles.kept import read
from medfl.errors import BundleError, MedflError, PlanError, UserError, listed
from medfl.events import SiteDropped
from medfl.execution import carry_on, lay_down
from medfl.publish.ways import name_of
from medfl.run.provenance import versions
from medfl.site.sources import Sources, Tables
from medfl.spec.study import Study
from medfl.store.decisions import foresee
from medfl.store.folding import view_execution, view_run
from medfl.store.home import Home
from medfl.store.leaving import without
from medfl.store.shelf import whole_execution
from medfl.store.sql import SqlJournal
from medfl.store.views import ExecutionView, RunView

if TYPE_CHECKING:
    from medfl.scribe import Display

Shows: TypeAlias = "Callable[[ExecutionView], AbstractContextManager[Display | None]]"
"""Shows how far an execution is, while it is carried out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """One run, then and now.

    Parameters
    ----------
    run, name, role, seed
        Which run of the bundle it is, and what its way of learning is called.
    then, now
        Digest of its final model; empty where it has none (local-only), or did not finish.
    metrics
        Names of metrics that differ, pooled or at some site.
    finished
        Whether it had finished then: else there is nothing to compare.
    """

    run: str
    name: str
    role: str
    seed: int
    then: str
    now: str
    metrics: tuple[str, ...]
    finished: bool = True

    @property
    def same(self) -> bool:
        """Whether model and metrics are the same to the last bit."""
        return not self.finished or (self.then == self.now and not self.metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduced:
    """What came of running a bundled study again.

    Parameters
    ----------
    execution
        The new execution's id.
    home
        Where it is stored; None where it was thrown away.
    runs
        Every run, then and now.
    versions
        Software that is another one now: name, version then, version now; "none" where it was not there.
    """

    execution: str
    home: Path | None
    runs: tuple[Again, ...]
    versions: tuple[tuple[str, str, str], ...]

    @property
    def same(self) -> bool:
        """Whether every run that had finished gave the same model and metrics."""
        return all(run.same for run in self.runs)

    def to_json(self) -> dict[str, Any]:
        """Return it as ``medfl reproduce --json`` prints it."""
        return {
            "same": self.same,
            "execution": self.execution,
            "home": None if self.home is None else str(self.home),
            "runs": [asdict(run) | {"same": run.same} for run in self.runs],
            "versions": [{"name": name, "then": then, "now": now} for name, then, now in self.versions],
        }


def reproduce(
    path: Path,
    *,
    home: Path | None = None,
    data: Path | None = None,
    tables: Tables | None = None,
    progress: Shows | None = None,
) -> Reproduced:
    """Carry out a bundled study again on this machine, and compare.

    Parameters
    ----------
    path
        The bundle.
    home
        Folder of the store that keeps what comes out; thrown away where None.
    data
        Folder that the study's relative paths start from; the working directory where None.
    tables
        As for :func:`medfl.simulate`, where the study was given data frames.
    progress
        Shows how far it is; nothing is shown where None.

    Raises
    ------
    NotFoundError
        If there is no such bundle.
    BundleError
        If the bundle is not what it says it is.
    PlanError
        If the study cannot be carried out here: its rows are in hospitals, or were never in a file.
    MedflError
        As :func:`medfl.simulate` does.
    """
    before, study, policy = _read(path)
    _require_simulated(before, study)
    _require_tables(study, tables)
    with ExitStack() as stack:
        place = stack.enter_context(Home(home) if home is not None else _aside())
        written = None if policy is None else _policy_in(Path(stack.enter_context(TemporaryDirectory())), policy)
        base = (data or Path.cwd()).absolute()
        sources = Sources(base, place.folder / "sites", tables, written)
        execution = lay_down(study, place, sources=sources, engine="in-process", arm=_only(before, study))
        foresee(place, execution, _left_out(before, whole_execution(place, execution).every))
        with (progress or _quietly)(whole_execution(place, execution)) as display:
            _carry_on(place, execution, sources, display, before)
        after = whole_execution(place, execution)
    runs = tuple(_compared(before, after.every))
    return Reproduced(execution=execution, home=home, runs=runs, versions=tuple(_other_versions(before)))


def _read(path: Path) -> tuple[ExecutionView, Study, bytes | None]:
    found = verify(path)
    if not found.sound:
        wrong = [f"{check.name}: {check.text}" for check in found.checks if check.verdict == "wrong"]
        raise BundleError(
            "the bundle is not what it says it is",
            where=str(path),
            received=" ".join(wrong),
            remedy=f"see all of it: medfl verify {path}",
        )
    with opened(path) as archive:
        events, _ = read(archive.read(JOURNAL))
        runs = dict.fromkeys(one.event.run for one in events)
        view = view_execution([view_run(one for one in events if one.event.run == run) for run in runs])
        policy = archive.read(POLICY) if POLICY in archive.names else None
        return view, Study.model_validate_json(archive.read(CANONICAL)), policy


def _require_simulated(before: ExecutionView, study: Study) -> None:
    elsewhere = {run.engine for run in before.every} & FEDERATED
    if not elsewhere or study.data.simulate is not None:
        # A table that was dealt out can be dealt out again, whatever carried the messages.
        return
    sites = listed(sorted({site for run in before.every for site in run.sites}), most=8)
    raise PlanError(
        "this study was carried out in hospitals, and cannot be run again here: its rows never left them",
        where=before.study,
        received=f"engine {listed(sorted(elsewhere))}, sites {sites}",
        remedy="what can be looked at here was: the bundle is sound. To run it again, take study/study.toml from the "
        "bundle to a hub with the same sites: medfl submit study.toml; each hospital decides anew",
    )


def _require_tables(study: Study, tables: Tables | None) -> None:
    dealt = study.data.simulate
    named = study.data.sites is not None or (
        dealt is not None and (dealt.table is not None or dealt.bundled is not None)
    )
    if not named and tables is None:
        raise PlanError(
            "the study was given data frames in Python, which are not in a bundle",
            where=study.study.name,
            remedy="give them again: medfl.reproduce(BUNDLE, tables=FRAMES)",
        )


@contextmanager
def _aside() -> Iterator[Home]:
    """Give a store of its own, which is thrown away; whatever journal this machine uses stays as it is."""

    class Aside(Home):
        @cached_property
        def journal(self) -> SqlJournal:
            return SqlJournal.open(self.folder / "journal.db")

    with TemporaryDirectory(prefix="medfl-reproduce-") as folder, Aside(Path(folder)) as home:
        yield home


def _quietly(_: ExecutionView) -> AbstractContextManager[None]:
    return nullcontext()


def _policy_in(folder: Path, policy: bytes) -> Path:
    path = folder / "policy.toml"
    path.write_bytes(policy)
    return path


def _only(before: ExecutionView, study: Study) -> str | None:
    """Return the one arm that was asked for, where it was one: then no baseline was planned."""
    arms = list(before.arms)
    whole = len(arms) == len(study.arms) and (before.baselines or not study.evaluation.baselines)
    return None if whole or len(arms) != 1 else arms[0]


def _left_out(before: ExecutionView, runs: Sequence[RunView]) -> Iterator[SiteDropped]:
    """Yield which sites each run is to leave out, because somebody left them out then, and when and why."""
    again = {_key(run): run.run for run in runs}
    for run in before.every:
        for site, first in without(run).items():
            if _key(run) in again:
                yield replace(run.dropped[site], run=again[_key(run)], round=first)


def _carry_on(place: Home, execution: str, sources: Sources, display: Display | None, before: ExecutionView) -> None:
    """Carry everything out; where a run failed then, it may do so again."""
    try:
        carry_on(place, execution, sources=sources, display=display)
    except MedflError as error:
        failed = {run.error.code for run in before.every if run.error is not None}
        if not (error.code in failed or (failed and isinstance(error, UserError))):
            raise


def _compared(whole: ExecutionView, after: Sequence[RunView]) -> Iterator[Again]:
    found = {_key(run): run for run in after}
    for run in whole.every:
        other = found.get(_key(run))
        now = other if other is not None and other.status == "finished" else None
        yield Again(
            run=run.run,
            name=name_of(whole, run),
            role=run.role,
            seed=run.seed,
            then=run.model or "",
            now=(now.model or "") if now else "",
            metrics=tuple(_differing(run, now)) if now else ("all of them",),
            finished=run.status == "finished",
        )


def _key(run: RunView) -> tuple[object, ...]:
    return (run.role, run.arm, run.seed, run.members)


def _differing(then: RunView, now: RunView) -> Iterator[str]:
    yield from _unlike(then.metrics, now.metrics, "")
    for site, one in then.sites.items():
        other = now.sites.get(site)
        yield from _unlike(one.metrics, other.metrics if other else {}, f" at {site}")


def _unlike(then: Mapping[str, float | None], now: Mapping[str, float | None], where: str) -> Iterator[str]:
    yield from (f"{name}{where}" for name in {**then, **now} if then.get(name) != now.get(name))


def _other_versions(before: ExecutionView) -> Iterator[tuple[str, str, str]]:
    for run in before.every[:1]:
        then, now = dict(run.versions), versions(run.asked("model").get("kind", ""))
        for name in sorted({*then, *now}) if then else ():
            if then.get(name) != now.get(name):
                yield name, then.get(name, "none"), now.get(name, "none")
