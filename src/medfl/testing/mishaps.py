"""What goes wrong in a federation, one thing a round, and what must have become of each: for the kill matrix."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from medfl.events import Event, RoundFinished, RunFinished
from medfl.store.journal import Recorded
from medfl.testing.consortium import AWAY, SITES, Consortium
from medfl.testing.moments import Moment
from medfl.testing.retold import retold, undercounted

STUDY = """
[study]
name = "matrix"
seed = 7

[data]
target = "sick"
sites = {{ east = "east.csv", north = "north.csv", south = "south.csv", west = "west.csv" }}

[model]
kind = "logistic"

[training]
batch_size = 16

[algorithm]
kind = "fedavg"
rounds = {rounds}
{quorum}

[evaluation]
bootstrap = 20

{mode}
"""
MODES: Mapping[str, str] = MappingProxyType(
    {
        "plain": "[privacy]\nsecure_aggregation = false\n",
        "secure": "[privacy]\nsecure_aggregation = true\n",
        "dp": """
[preprocess]
impute = "drop"

[privacy]
secure_aggregation = true

[privacy.dp]
unit = "record"
epsilon = 4.0
ranges = { age = [20, 100], dose = [-4, 4] }
categories = { colour = ["amber", "blue", "clear"], sick = ["0", "1"] }
""",
    }
)
"""Sums in clear; sums under masks; sums under masks with noise of each site's own."""
PATIENCE = 20.0
"""The deadline, in seconds, in rounds in which a site is late."""
Act = Callable[[Consortium, str, Moment], None]
"""Does something at a moment, to a consortium that carries an execution out; the process that came there is held."""


@dataclass(frozen=True, slots=True)
class Mishap:
    """One thing that goes wrong.

    Parameters
    ----------
    name
        What.
    when
        The moment at which it happens.
    act
        Does it; nothing is done where None, as what the process is told at the moment is enough.
    says
        What the process is told; it is held where empty.
    prepare
        What is done before the round.
    mend
        Puts it right, before the next round; where there is one, that round belongs to the mishap too.
    lost
        Rounds without the site.
    """

    name: str
    when: Mapping[str, object]
    act: Act | None = None
    says: str = ""
    prepare: Act | None = None
    mend: Act | None = None
    lost: int = 0

    @property
    def rounds(self) -> int:
        """How many rounds it takes."""
        return max(1, self.lost) + (self.mend is not None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mishap.

    Parameters
    ----------
    name, mode
        What went wrong, in which mode.
    happened
        In words.
    round
        The round in which.
    same
        Whether the round's model is that of one process in which the same sites took part.
    seconds
        From the mishap until the round was finished.
    """

    name: str
    mode: str
    happened: str
    round: int
    same: bool
    seconds: float


@dataclass
class Course:
    """One run in which one thing after the other goes wrong.

    Parameters
    ----------
    consortium
        Who carries it out.
    mode
        One of :data:`MODES`.
    mishaps
        What goes wrong, in this order.
    """

    consortium: Consortium
    mode: str
    mishaps: Sequence[Mishap]
    execution: str = ""
    began: dict[str, float] = field(default_factory=dict)

    @property
    def placed(self) -> Iterator[tuple[int, Mishap]]:
        """Yield each mishap and its first round."""
        round = 1
        for mishap in self.mishaps:
            yield round, mishap
            round += mishap.rounds

    def run(self) -> list[Outcome]:
        """Let all go wrong, and return what became of it.

        Raises
        ------
        TimeoutError
            If something that was to happen did not.
        AssertionError
            If a site has spent privacy that is not written down.
        """
        self.consortium.moments.begin()
        steps = [step for round, mishap in self.placed for step in self._steps(round, mishap)]
        rounds = sum(mishap.rounds for mishap in self.mishaps) + 1
        quorum = "min_sites = 3" if any(mishap.lost for mishap in self.mishaps) else ""
        self.execution = self.consortium.submit(STUDY.format(rounds=rounds, quorum=quorum, mode=MODES[self.mode]))
        self.consortium.moments.of(f"{self.execution}-1")
        events: list[Event] | None = None
        try:
            for name, moment, act in steps:
                moment.wait(300.0)
                self.began[name] = time.time()
                if act is not None:
                    act(self.consortium, self.execution, moment)
                moment.over()
            events = self.consortium.done(self.execution, 400.0)
        finally:
            if events is None:
                self.consortium.abandon(self.execution)
        outcomes = list(self._outcomes(events))
        if self.mode == "dp" and (missing := undercounted(events, self.consortium.homes)):
            raise AssertionError("; ".join(missing))
        return outcomes

    def _steps(self, round: int, mishap: Mishap) -> Iterator[tuple[str, Moment, Act | None]]:
        """Yield the moments of a mishap, what is done at them, and under which name its time is taken."""
        expect = self.consortium.moments.await_
        asking: dict[str, Any] = {"moment": "asking", "task": "train"}
        if mishap.prepare is not None:
            yield "", expect(**asking, round=round), mishap.prepare
        # What happens before the first round has number 0 at its moment.
        number = mishap.when.get("round", round)
        when: dict[str, Any] = {**mishap.when, "round": number}
        yield mishap.name, expect(mishap.says, **when), mishap.act
        if mishap.mend is not None:
            yield "", expect(**asking, round=round + max(1, mishap.lost)), mishap.mend

    def _outcomes(self, events: Sequence[Event]) -> Iterator[Outcome]:
        with tempfile.TemporaryDirectory() as folder:
            expected = retold(events, self.consortium.homes, Path(folder))
        recorded = [one for one in self.consortium.recorded(self.execution) if isinstance(one.event, RoundFinished)]
        ends = {one.event.round: one for one in recorded if isinstance(one.event, RoundFinished)}
        whole = any(isinstance(event, RunFinished) for event in events)
        for round, mishap in self.placed:
            after = mishap.when.get("moment") == "finished"
            end = ends.get(round + after)
            if end is None or not isinstance(end.event, RoundFinished):
                yield Outcome(mishap.name, self.mode, "STOPPED", round, False, 0.0)
                continue
            there = len(end.event.sites)
            what = "went on" if there == len(SITES) else "went on without it"
            if mishap.mend is not None and mishap.lost:
                back = ends.get(round + mishap.lost)
                again = back is not None and isinstance(back.event, RoundFinished) and AWAY in back.event.sites
                what += ", which is back in the next round" if again else ", which DID NOT COME BACK"
            told = (
                end.event.model == expected.get(end.event.round) and whole and there == len(SITES) - bool(mishap.lost)
            )
            yield Outcome(mishap.name, self.mode, what, round, told, _moment(end) - self.began[mishap.name])


def _moment(recorded: Recorded) -> float:
    return datetime.fromisoformat(recorded.at).timestamp()
