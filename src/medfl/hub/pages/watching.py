"""What happens in an execution, as it happens: a fold of its events, and what is known of the process behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from medfl.hub.again import WAITS, taken_up_again
from medfl.hub.pages.lasting import Lasting, lasting
from medfl.hub.pages.standing import State, done, paused_by, paused_in_words, planned, state_of, stopped_for
from medfl.hub.pages.taking_part import Presence, presences, recent
from medfl.hub.pages.weather import weather
from medfl.publish.figures import Line, Panel, course, loss_by_site
from medfl.publish.happening import Happening, happening
from medfl.publish.ways import Mark, mark_of, name_of
from medfl.publish.wording import duration, label, listed, number, size
from medfl.store.decisions import dropped, note_of
from medfl.store.home import Home
from medfl.store.results import HEADLINE
from medfl.store.views import ExecutionView, RoundView, RunView

WATCHED = 64
"""Executions whose panels are remembered."""
POINTS = 3000
"""Points in one panel; a long course of many sites is thinned out, its last point stays."""
TILES = ("Round", "Sites", "A round takes", "usually, in this run", "Left the sites", "ε at most")
"""What is read from afar, beside the metric."""
HAPPENED = 8
"""Events that are told at the side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """How far one run is.

    Parameters
    ----------
    run, mark, name, seed, status
        Which run it is, and where it stands; "waits" where it ended without a site and goes on by itself.
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
class Tile:
    """A number that is read from afar: what it is, its value, and a few words on it."""

    name: str
    value: str
    note: str = ""


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
    paused, since
        Who paused it and why, in a sentence, and when it came to rest (UTC, ISO 8601); empty where nobody did.
    again
        Where it ended because a site was not there: what it waits for before it goes on by itself.
    leaving
        Sites that leave at the next round, as somebody decided.
    weather
        What stands in its way and its journal does not say, in sentences.
    current
        Which run is told about below: the one that is worked on, else the last one that began.
    metric
        The metric of the first panel.
    tiles
        What is read from afar.
    panels
        Course of the metric and of the loss, of all sites and of each.
    lasting
        Where the time goes; None before that is known.
    machine
        What the hub computes on; a site's machine is its own affair.
    rounds
        Numbers of the rounds on the map of participation.
    sites
        The map.
    happened
        What happened last, newest first.
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
    paused: str = ""
    since: str = ""
    again: str = ""
    leaving: tuple[str, ...] = ()
    weather: tuple[str, ...] = ()
    current: str = ""
    metric: str = ""
    tiles: tuple[Tile, ...] = ()
    panels: tuple[Panel, ...] = ()
    lasting: Lasting | None = None
    machine: str = ""
    rounds: tuple[int, ...] = ()
    sites: tuple[Presence, ...] = ()
    happened: tuple[Happening, ...] = ()
    problems: tuple[str, ...] = ()
    judged: bool = False


class Courses:
    """Panels of executions that are watched, made anew only once a round is stored or a model is judged."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[object, tuple[Panel, ...]]] = {}

    def __call__(self, view: ExecutionView, metric: str, run: RunView | None) -> tuple[Panel, ...]:
        """Return the panels of an execution and of the run that is worked on."""
        key = (metric, run.run if run is not None else "", *(_course_of(one) for one in view.every))
        known, panels = self._known.get(view.execution, (None, ()))
        if known != key:
            panels = _panels(view, metric, run)
            self._known = dict([*self._known.items(), (view.execution, (key, panels))][-WATCHED:])
        return panels


def watch_page(
    view: ExecutionView, busy: Callable[[str], bool], home: Home, courses: Courses | None = None
) -> WatchPage:
    """Return an execution as it stands.

    Parameters
    ----------
    view
        The execution.
    busy
        Says whether somebody works on an execution.
    home
        The store, with what was decided meanwhile.
    courses
        Remembers panels from one look to the next.
    """
    current, metric, state = _current(view), _metric(view), state_of(view.every, busy)
    again = taken_up_again(home, view.every)
    page = WatchPage(
        execution=view.execution,
        study=view.study,
        question=view.question,
        digest=view.digest,
        state=state,
        done=done(view.every),
        planned=planned(view.every),
        runs=tuple(_line(view, run, waits=again is not None and again.run == run.run) for run in view.every),
        paused=_paused(view, home) if state != "finished" else "",
        since=paused_by(view.every)[1] if state == "waiting" else "",
        again=again.told if again is not None else "",
        weather=tuple(weather(home, view, busy=state == "running")),
        metric=metric,
        panels=(courses or Courses())(view, metric, current),
        problems=tuple(_problems(view)),
        happened=tuple(_happened(view)),
        judged=any(run.final is not None for run in view.every),
    )
    return page if current is None else _with_current(page, view, current, home)


def _with_current(page: WatchPage, view: ExecutionView, run: RunView, home: Home) -> WatchPage:
    """Add what there is to tell of the run that is worked on."""
    took = lasting(run)
    gone = [one.site for one in dropped(home, view.execution) if one.site in run.sites and one.site not in run.dropped]
    return replace(
        page,
        current=f"{name_of(view, run)}, seed {run.seed}",
        leaving=tuple(gone) if page.state != "finished" else (),
        tiles=tuple(_tiles(run, page.metric, took)),
        lasting=took,
        machine=_machine(run),
        rounds=tuple(line.round for line in recent(run)),
        sites=tuple(presences(run, page.metric)),
    )


def _machine(run: RunView) -> str:
    python = run.versions.get("python", "")
    return ", ".join(filter(None, (run.platform, f"Python {python}" if python else "")))


def _course_of(run: RunView) -> tuple[object, ...]:
    """Return what changes when a run's course does."""
    return run.run, run.rounds, None if run.latest is None else (run.latest.round, run.latest.final)


def _panels(view: ExecutionView, metric: str, run: RunView | None) -> tuple[Panel, ...]:
    """Return the course; the loss by site takes the place of that of all sites where it is of the same run alone."""
    panels = tuple(map(slim, course(view, metric))) if metric else ()
    loss = loss_by_site(view, run) if run is not None else None
    if loss is None:
        return panels
    single = [panel for panel in panels if not panel.metric and len(panel.lines) == 1]
    return (*(panel for panel in panels if panel not in single), slim(loss))


def slim(panel: Panel) -> Panel:
    """Return a panel with no more points than can be told apart."""
    most = max(20, POINTS // max(1, len(panel.lines)))
    return replace(panel, lines=tuple(_thinned(line, most) for line in panel.lines))


def _thinned(line: Line, most: int) -> Line:
    step = -(-len(line.x) // most)
    places = range((len(line.x) - 1) % step, len(line.x), step)

    def kept(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(float(f"{values[place]:.5g}") for place in places) if values else ()

    return replace(line, x=kept(line.x), y=kept(line.y), low=kept(line.low), high=kept(line.high))


def _current(view: ExecutionView) -> RunView | None:
    begun = [run for run in view.every if run.started is not None and run.federated]
    working = [run for run in begun if run.status == "running"]
    found = working or begun
    return found[-1] if found else None


def _metric(view: ExecutionView) -> str:
    judged = [run.metrics for run in view.every if run.metrics]
    return next((name for name in HEADLINE if any(metrics.get(name) is not None for metrics in judged)), "")


def _line(view: ExecutionView, run: RunView, *, waits: bool) -> RunLine:
    found = next((name for name in HEADLINE if run.metrics.get(name) is not None), "")
    return RunLine(
        run=run.run,
        mark=mark_of(view, run.arm),
        name=name_of(view, run),
        seed=run.seed,
        status=WAITS if waits else "paused" if paused_by([run])[0] else run.status,
        rounds=run.rounds if run.federated else 0,
        planned=run.planned_rounds if run.federated else 0,
        judged=f"{label(found)} {number(run.metrics[found], metric=found)}" if found else "",
        seconds=duration(run.seconds) if run.seconds else "",
        problem=stopped_for(run),
    )


def _paused(view: ExecutionView, home: Home) -> str:
    note = note_of(home, view.execution)
    if not note.paused or not home.asked_to_stop(view.execution):
        return ""
    return paused_in_words(note.by, note.why)


def _tiles(run: RunView, metric: str, took: Lasting | None) -> Iterator[Tile]:
    going = run.table[-1] if run.table and not run.table[-1].finished and run.status == "running" else None
    number_now = going.round if going is not None else run.rounds
    yield Tile(name="Round", value=f"{number_now} of {run.planned_rounds}", note=_waited_for(run, going))
    values = [line.metrics[metric] for line in run.table if line.metrics.get(metric) is not None] if metric else []
    if values:
        yield Tile(
            name=f"{label(metric)}, all sites", value=number(values[-1], metric=metric), note=_since(values, metric)
        )
    left = [site for site in run.sites if site not in run.dropped]
    failed = len(going.failed) if going is not None else 0
    note = f"{failed} failed in this round" if failed else f"{len(run.dropped)} dropped" if run.dropped else ""
    yield Tile(name="Sites", value=str(len(left)), note=note)
    if took is not None and took.pace:
        yield Tile(name="A round takes", value=took.pace, note="usually, in this run")
    sent, received = (sum(getattr(line, way) for line in run.table) for way in ("sent", "received"))
    if sent or received:
        yield Tile(name="Left the sites", value=size(sent), note=f"{size(received)} reached them")
    if run.privacy is not None and run.privacy.epsilon is not None:
        yield Tile(name="ε at most", value=f"{run.privacy.epsilon:.3g}", note=f"for each {run.privacy.unit}")


def _waited_for(run: RunView, going: RoundView | None) -> str:
    if going is None:
        return "all rounds are done" if run.rounds == run.planned_rounds else ""
    awaited = [site for site in going.asked if site not in {*going.participants, *going.failed, *run.dropped}]
    return f"waits for {listed(awaited, at_most=2)}" if awaited else "the sum is taken"


def _since(values: list[float | None], metric: str) -> str:
    before, now = (values[-2], values[-1]) if len(values) > 1 else (None, None)
    if before is None or now is None:
        return ""
    if not number(abs(now - before), metric=metric).strip("0."):
        return "as in the round before"
    return f"{'+' if now >= before else '−'}{number(abs(now - before), metric=metric)} since the round before"


def _happened(view: ExecutionView) -> Iterator[Happening]:
    told = sorted((one for run in view.every for one in run.recent), key=lambda one: one[0])
    yield from (happening(at, event) for at, event in reversed(told[-HAPPENED:]))


def _problems(view: ExecutionView) -> Iterator[str]:
    told: dict[str, None] = {}
    for run in view.every:
        for event in run.failures:
            when = f"round {event.round}" if event.round else "before the first round"
            told[f"{event.site}, {when} ({event.stage}): {event.reason}"] = None
    yield from list(reversed(told))[:20]
