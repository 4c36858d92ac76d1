"""What happens in an execution, as it happens: a fold of its events, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from medfl.hub.pages.standing import State, done, planned, state_of, stopped_for
from medfl.publish.figures import Panel, course
from medfl.publish.tables import results
from medfl.publish.ways import Mark, mark_of, name_of
from medfl.publish.wording import duration, label, number, size
from medfl.store.results import HEADLINE
from medfl.store.views import ExecutionView, RoundView, RunView

LAST = 30
"""Rounds on the map of participation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """How far one run is.

    Parameters
    ----------
    run, mark, name, seed, status
        Which run it is, and where it stands.
    rounds, planned
        Rounds done and asked for; 0 of 0 where it trains in one go.
    judged
        First metric of its last judged model, in words.
    seconds
        Time worked on it, in words; empty before that is known.
    problem
        Why it stopped.
    """

    run: str
    mark: Mark
    name: str
    seed: int
    status: str
    rounds: int
    planned: int
    judged: str = ""
    seconds: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """One site in the last rounds of a run.

    Parameters
    ----------
    site
        Its name.
    rounds
        For each of these rounds: "took part", "failed", or "open" where it has not answered yet.
    reason
        Why it failed last.
    seconds
        How long it worked on its last answer, in words.
    """

    site: str
    rounds: tuple[str, ...]
    reason: str = ""
    seconds: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPage:
    """An execution as it stands.

    Parameters
    ----------
    execution, study, question, digest
        What it is.
    state
        Where it stands.
    done, planned
        Units of work: rounds, a baseline counting as one.
    runs
        All of its runs, as planned.
    current
        Which run is told about below: the one that is worked on, else the last one that began.
    metric
        The metric of the first panel.
    panels
        Course of the metric and of the loss.
    rounds
        Numbers of the rounds on the map of participation.
    sites
        The map.
    traffic
        Bytes that reached and left the sites of the current run, in words.
    epsilon
        What was spent of privacy, in words; empty where nothing is promised.
    problems
        What failed, where and why, each once, newest first.
    judged
        Whether there are results to look at.
    """

    execution: str
    study: str
    question: str
    digest: str
    state: State
    done: int
    planned: int
    runs: tuple[RunLine, ...]
    current: str = ""
    metric: str = ""
    panels: tuple[Panel, ...] = ()
    rounds: tuple[int, ...] = ()
    sites: tuple[Presence, ...] = ()
    traffic: str = ""
    epsilon: str = ""
    problems: tuple[str, ...] = ()
    judged: bool = False


def watch_page(view: ExecutionView, busy: Callable[[str], bool]) -> WatchPage:
    """Return an execution as it stands; `busy` says whether somebody works on an execution."""
    current, metric = _current(view), _metric(view)
    table = current.table if current is not None else ()
    recent = tuple(line for line in table if line.round > 0)[-LAST:]
    return WatchPage(
        execution=view.execution,
        study=view.study,
        question=view.question,
        digest=view.digest,
        state=state_of(view.every, busy),
        done=done(view.every),
        planned=planned(view.every),
        runs=tuple(_line(view, run) for run in view.every),
        current=f"{name_of(view, current)}, seed {current.seed}" if current is not None else "",
        metric=metric,
        panels=course(view, metric) if metric else (),
        rounds=tuple(line.round for line in recent),
        sites=tuple(_presences(current, recent)) if current is not None else (),
        traffic=_traffic(table),
        epsilon=_epsilon(current),
        problems=tuple(_problems(view)),
        judged=results(view) is not None,
    )


def _current(view: ExecutionView) -> RunView | None:
    begun = [run for run in view.every if run.started is not None and run.federated]
    working = [run for run in begun if run.status == "running"]
    found = working or begun
    return found[-1] if found else None


def _metric(view: ExecutionView) -> str:
    judged = [run.metrics for run in view.every if run.metrics]
    return next((name for name in HEADLINE if any(metrics.get(name) is not None for metrics in judged)), "")


def _line(view: ExecutionView, run: RunView) -> RunLine:
    found = next((name for name in HEADLINE if run.metrics.get(name) is not None), "")
    return RunLine(
        run=run.run,
        mark=mark_of(view, run.arm),
        name=name_of(view, run),
        seed=run.seed,
        status=run.status,
        rounds=run.rounds if run.federated else 0,
        planned=run.planned_rounds if run.federated else 0,
        judged=f"{label(found)} {number(run.metrics[found], metric=found)}" if found else "",
        seconds=duration(run.seconds) if run.seconds else "",
        problem=stopped_for(run),
    )


def _presences(run: RunView, recent: tuple[RoundView, ...]) -> Iterator[Presence]:
    for site in run.sites:
        reasons = [line.failed[site] for line in recent if site in line.failed]
        worked = [line.seconds[site] for line in recent if site in line.seconds]
        yield Presence(
            site=site,
            rounds=tuple(_part(line, site) for line in recent),
            reason=reasons[-1] if reasons else "",
            seconds=duration(worked[-1]) if worked else "",
        )


def _part(line: RoundView, site: str) -> str:
    if site in line.failed:
        return "failed"
    if site in line.participants:
        return "took part"
    return "not asked" if line.finished else "open"


def _traffic(table: tuple[RoundView, ...]) -> str:
    sent, received = sum(line.sent for line in table), sum(line.received for line in table)
    return f"{size(received)} to the sites, {size(sent)} from them" if sent or received else ""


def _epsilon(run: RunView | None) -> str:
    if run is None or run.privacy is None or run.privacy.epsilon is None:
        return ""
    return f"ε = {run.privacy.epsilon:.3g} for each {run.privacy.unit}"


def _problems(view: ExecutionView) -> Iterator[str]:
    told: dict[str, None] = {}
    for run in view.every:
        for event in run.failures:
            when = f"round {event.round}" if event.round else "before the first round"
            told[f"{event.site}, {when} ({event.stage}): {event.reason}"] = None
    yield from list(reversed(told))[:20]
