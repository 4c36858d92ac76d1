"""Where results come from: runs, data fingerprints, versions, who took part, digests."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from medfl.publish.starting import started_from
from medfl.publish.tables import described
from medfl.publish.ways import name_of
from medfl.publish.wording import counted, duration, listed, moment
from medfl.store.views import ExecutionView, RunView


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run of the execution."""

    run: str
    way: str
    seed: int
    status: str
    rounds: str
    time: str
    sittings: int
    model: str


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What identifies a site's table without saying a value of it."""

    site: str
    rows: int | None
    schema: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Everything that a reader needs in order to do it again.

    Parameters
    ----------
    facts
        Name and value.
    complete, partial
        Runs in every finished round of which all sites took part; the others, in sentences.
    spec
        The study as indented JSON.
    """

    facts: tuple[tuple[str, str], ...]
    runs: tuple[RunLine, ...]
    fingerprints: tuple[Fingerprint, ...]
    complete: int
    partial: tuple[str, ...]
    spec: str


def provenance(execution: ExecutionView, waits: Collection[str] = ()) -> Provenance:
    """Return an execution's provenance; runs that go on by themselves are named in `waits`."""
    every = execution.every
    partial = {run.run: _partial(run) for run in execution.runs if run.rounds}
    return Provenance(
        facts=tuple(_facts(execution)),
        runs=tuple(_line(execution, run, waits=run.run in waits) for run in every),
        fingerprints=tuple(_fingerprints(execution)),
        complete=sum(not told for told in partial.values()),
        partial=tuple(told for told in partial.values() if told),
        spec=json.dumps(execution.spec, indent=2, ensure_ascii=False, sort_keys=True),
    )


def _facts(execution: ExecutionView) -> Iterator[tuple[str, str]]:
    every = execution.every
    started = [run for run in every if run.started]
    yield "Execution", execution.execution
    yield "Spec digest", execution.digest
    yield "Planned", moment(execution.started)
    if started:
        yield "Started", moment(min(run.started for run in started if run.started))
        ended = [run.ended for run in started if run.ended]
        yield "Ended", moment(max(ended)) if ended and len(ended) == len(every) else "not yet"
        yield "Work", duration(sum(run.seconds for run in started))
    starts = list(dict.fromkeys(started_from(run) for run in every if run.start is not None))
    if starts:
        yield "Started from", "; ".join(starts)
    yield "Seeds", listed(dict.fromkeys(str(run.seed) for run in every), at_most=20)
    yield "Engine", listed(dict.fromkeys(run.engine for run in every))
    yield "Platform", listed(dict.fromkeys(run.platform for run in every if run.platform)) or "–"
    kinds = dict.fromkeys(_versions(run.versions) for run in every if run.versions)
    yield "Versions", "; then ".join(kinds) or "–"


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{package} {version}" for package, version in sorted(versions.items()))


def _line(execution: ExecutionView, run: RunView, *, waits: bool) -> RunLine:
    return RunLine(
        run=run.run,
        way=name_of(execution, run) if run.members else run.arm,
        seed=run.seed,
        status="waits" if waits else run.status,
        rounds=f"{run.rounds} of {run.planned_rounds}" if run.federated else "–",
        time=duration(run.seconds),
        sittings=len(run.sittings),
        model=run.model or "",
    )


def _fingerprints(execution: ExecutionView) -> Iterator[Fingerprint]:
    run = described(execution)
    for site in run.sites.values() if run else ():
        yield Fingerprint(site.name, site.rows, site.schema)


def _partial(run: RunView) -> str:
    """Tell who took part in the rounds that not every site took part in; empty where there is none."""
    rounds = [line for line in run.table if line.round > 0 and line.finished]
    partial = {line.round: line.participants for line in rounds if len(line.participants) < len(run.sites)}
    if not partial:
        return ""
    told = "; ".join(f"round {number}: {listed(who)}" for number, who in partial.items())
    return f"{run.run}: all sites in {counted(len(rounds) - len(partial), 'round')}; {told}."
