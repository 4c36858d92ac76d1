"""Follows an execution from its events alone, in a terminal, a notebook or a pipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from medfl.events import (
    Evaluated,
    Event,
    Noticed,
    RoundFinished,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunResumed,
    RunStarted,
    RunStopped,
    SiteDropped,
    SiteFailed,
)
from medfl.publish.ways import name_of
from medfl.publish.wording import duration, label, number, shortened
from medfl.store.results import HEADLINE
from medfl.store.views import ExecutionView, RunView

LINES_A_RUN = 10
"""A pipe gets no more lines than this for the rounds of one run."""
_SHOWN_FAILURES = 5


@dataclass
class Following:
    """How far an execution is, as its events have told.

    Parameters
    ----------
    execution
        As it stood at the start.
    done
        Units of work by run: a round, or for a baseline as many as the longest arm has rounds.
    current
        The run that is being worked on.
    loss, metrics
        The current run's last ones.
    seconds
        Time that finished runs took.
    """

    execution: ExecutionView
    done: dict[str, int] = field(default_factory=dict)
    current: RunView | None = None
    round: int = 0
    loss: float | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    finished: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.runs = {run.run: run for run in self.execution.every}
        self.done = {run.run: self.units(run) if run.status == "finished" else run.rounds for run in self.runs.values()}
        self.finished = sum(run.status == "finished" for run in self.runs.values())

    def units(self, run: RunView) -> int:
        """Return the units of work in a run."""
        return max(run.planned_rounds, 1)

    @property
    def total(self) -> int:
        """Units of work in all runs."""
        return sum(map(self.units, self.runs.values()))

    def take(self, event: Event) -> None:
        """Take notice of an event."""
        run = self.runs.get(event.run)
        if run is not None and run is not self.current:
            self._begin(run, 0)
        match event:
            case RunResumed(after_round=after) if run is not None:
                self._begin(run, after)
            case SiteFailed(site=site, round=number, reason=reason):
                when = f"in round {number}" if number else "before the first round"
                self.failures.append(f"{self.name}: {shortened(site, 30)} failed {when}: {_first_line(reason)}")
            case Evaluated(pooled=pooled):
                self.metrics = pooled or self.metrics
            case RoundFinished(round=number, loss=loss) if run is not None:
                self.round, self.loss = number, loss
                self.done[run.run] = number if run.federated else 0
            case RunFinished(seconds=seconds) if run is not None:
                self.done[run.run] = self.units(run)
                self.finished += 1
                self.seconds += seconds

    def _begin(self, run: RunView, after: int) -> None:
        self.current, self.round, self.loss, self.metrics = run, after, None, {}
        self.done[run.run] = after

    @property
    def name(self) -> str:
        """The current run in words."""
        if self.current is None:
            return ""
        return f"{name_of(self.execution, self.current)}, seed {self.current.seed}"

    @property
    def rounds(self) -> int:
        """Rounds of the current run; 0 where it trains in one go."""
        return self.current.planned_rounds if self.current is not None and self.current.federated else 0

    @property
    def judged(self) -> str:
        """First metric of the current run's last judged model."""
        found = next((name for name in HEADLINE if self.metrics.get(name) is not None), "")
        return f"{label(found)} {number(self.metrics[found], metric=found)}" if found else ""

    @property
    def state(self) -> str:
        """Loss and first metric of the current run."""
        loss = f"loss {self.loss:.3f}" if self.loss is not None else ""
        return ", ".join(filter(None, (loss, self.judged)))


class LiveDisplay:
    """One bar over all runs, a line for the current one, and in red what failed."""

    def __init__(self, execution: ExecutionView, console: Console) -> None:
        self._following = Following(execution)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=36),
            TaskProgressColumn(),
            TextColumn("{task.fields[runs]}", style="dim"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task(
            shortened(execution.study),
            total=self._following.total,
            completed=sum(self._following.done.values()),
            runs=self._runs(),
        )
        self._live = Live(get_renderable=self.shown, console=console, refresh_per_second=8)

    def on(self, event: Event) -> None:
        """Take notice of one event."""
        self._following.take(event)
        self._bar.update(self._task, completed=sum(self._following.done.values()), runs=self._runs())

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._following.current = None
        self._live.refresh()
        self._live.stop()

    def _runs(self) -> str:
        return f"{self._following.finished} of {len(self._following.runs)} runs"

    def shown(self) -> RenderableType:
        """Return the lines as they stand."""
        following = self._following
        lines: list[RenderableType] = [self._bar]
        if following.current is not None:
            rounds = f", round {following.round} of {following.rounds}" if following.rounds else ""
            tail = f": {following.state}" if following.state else ""
            lines.append(Text(f"  {following.name}{rounds}{tail}", no_wrap=True, overflow="ellipsis"))
        shown = following.failures[-_SHOWN_FAILURES:]
        lines += [Text(f"  {text}", style="red", no_wrap=True, overflow="ellipsis") for text in shown]
        return Group(*lines)


class PlainDisplay:
    """One plain line for a run's begin and end, and for some of its rounds: for pipes and logs."""

    def __init__(self, execution: ExecutionView, console: Console) -> None:
        self._following, self._console = Following(execution), console
        self._noticed: set[tuple[str, str]] = set()

    def on(self, event: Event) -> None:
        """Take notice of one event."""
        following = self._following
        following.take(event)
        match event:
            case RunStarted():
                self._say(f"{following.name}: started as {event.run}")
            case RunResumed(after_round=after):
                self._say(f"{following.name}: goes on after round {after} as {event.run}")
            case RoundFinished(round=number) if following.rounds and self._worth_a_line(number):
                state = following.state and f", {following.state}"
                self._say(f"{following.name}: round {number} of {following.rounds}{state}")
            case SiteFailed():
                self._say(following.failures[-1])
            case Noticed(site=site, text=text) if (site, text) not in self._noticed:
                self._noticed.add((site, text))
                self._say(f"{site or 'all sites'}: {text}")
            case RunFinished(seconds=seconds):
                found = f", {following.judged}" if following.judged else ""
                progress = f"{following.finished} of {len(following.runs)}"
                self._say(f"{following.name}: finished in {duration(seconds)}{found} ({progress})")
            case RunFailed(message=message):
                # Only its first line: what else there is to say, and what to do, comes with the error itself.
                self._say(f"{following.name}: failed: {_first_line(message)}")
            case RunInterrupted():
                self._say(f"{following.name}: interrupted")
            case SiteDropped(site=site, round=number, why=why):
                self._say(f"{following.name}: {site} is not asked any more from round {number} on: {why}")
            case RunStopped(paused=paused):
                self._say(f"{following.name}: {'paused' if paused else 'stopped'}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def _worth_a_line(self, number: int) -> bool:
        last = self._following.rounds
        return number == last or number % max(1, -(-last // LINES_A_RUN)) == 0

    def _say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
