"""A site that somebody drops is gone from the next round on: as if it had failed there, and for good."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from medfl.errors import Complaint, PlanError
from medfl.events import (
    DataDescribed,
    DataPrepared,
    Drop,
    Evaluated,
    Event,
    Noticed,
    RoundFinished,
    RoundStarted,
    RunFinished,
    RunStarted,
    SiteDropped,
    SiteFailed,
)
from medfl.messages import Refusal, Reply, Request
from medfl.run.checkpoint import Checkpoint
from medfl.run.engine import Engine, unanswered
from medfl.run.loop import Federation, carry_out
from medfl.run.plan import compile
from medfl.spec.merging import Override
from medfl.spec.study import Study
from medfl.testing.federation import DECLARED, Kept, in_process, rounds, sites, study, table, told

FOUR = ("east", "north", "south", "west")
NORTH = Drop(site="north", by="anna", why="its server is replaced", decided="2026-01-02T03:04:05+00:00")


@dataclass
class Fading:
    """An engine by which north is not reached any more from a task of a round on; all that it was asked is noted."""

    engine: Engine
    gone: int | None = None
    asked: list[tuple[str, int, str]] = field(default_factory=list)

    def sites(self) -> Sequence[str]:
        return self.engine.sites()

    def exchange(self, requests: Iterable[Request], *, timeout: float | None = None) -> Iterator[Reply | Refusal]:
        for request in requests:
            self.asked.append((request.task, request.round, request.site))
            late = self.gone is not None and request.task != "unmask" and request.round >= self.gone
            # The last judgement has the number of the last round.
            late = late or (self.gone == request.round + 1 and request.task == "evaluate")
            if request.site == "north" and late:
                yield unanswered(request, Complaint("the site is gone"))
            else:
                yield from self.engine.exchange([request], timeout=timeout)


def four(folder: Path, gone: int | None = None) -> Fading:
    openers = {name: (lambda number=number: table(90 + 30 * number, number)) for number, name in enumerate(FOUR)}
    return Fading(in_process(sites(folder, openers)), gone)


@dataclass
class Decisions:
    """Decides to drop north once a round has begun."""

    after: int
    begun: int = 0

    def __call__(self, round: int) -> tuple[Drop, ...]:
        return (NORTH,) if self.begun >= self.after else ()

    def notice(self, steps: Iterator[Event]) -> Iterator[Event]:
        for event in steps:
            if isinstance(event, RoundStarted):
                self.begun = event.round
            yield event


def dropping(asked: Study, engine: Engine, *, after: int) -> list[Event]:
    """Carry out the first arm of a study, from which north is dropped while a round goes on."""
    decisions = Decisions(after)
    federation = Federation(engine, Kept().write, decided=decisions)
    events, error = told(decisions.notice(carry_out("rehearsal", compile(asked)[0], federation)))
    assert error is None, error
    return events


def without(asked: Study, engine: Engine) -> list[Event]:
    """Carry out the first arm of a study."""
    events, error = told(carry_out("rehearsal", compile(asked)[0], Federation(engine, Kept().write)))
    assert error is None, error
    return events


RECORD: dict[str, Any] = {"dp": {"unit": "record", "epsilon": 8.0, "delta": 1e-4, "clip_norm": 1.0, **DECLARED}}
WAYS: dict[str, dict[str, Override]] = {
    "fedavg": {},
    "scaffold": {"algorithm": {"kind": "scaffold"}},
    "median": {"algorithm": {"kind": "fedmedian"}},
    "in sums": {"privacy": {"secure_aggregation": True}},
    "a fraction": {"algorithm": {"fraction": 0.75}},
    "for records, in sums": {
        "privacy": {**RECORD, "secure_aggregation": True},
        "preprocess": {"impute": "median"},
    },
    "for sites": {
        "privacy": {**RECORD, "dp": {**RECORD["dp"], "unit": "site", "noise": "central"}, "secure_aggregation": False},
        "preprocess": {"scale": "min-max", "impute": "drop"},
    },
}


def asked(way: str, *, rounds: int = 4) -> Study:
    return study(algorithm={"kind": "fedavg", "rounds": rounds, "min_sites": 2}).overridden(WAYS[way])


@pytest.mark.parametrize("way", WAYS)
def test_dropping_a_site_is_as_if_it_were_gone_from_the_next_round_on(way: str, tmp_path: Path) -> None:
    engine = four(tmp_path / "dropped")
    events = dropping(asked(way), engine, after=2)
    expected = without(asked(way), four(tmp_path / "gone", gone=3))
    assert rounds(events) == rounds(expected)
    assert [one for one in events if isinstance(one, Evaluated)] == [
        one for one in expected if isinstance(one, Evaluated)
    ]
    assert [one for one in events if isinstance(one, SiteDropped)] == [
        SiteDropped(run="rehearsal", round=3, site="north", by=NORTH.by, why=NORTH.why, decided=NORTH.decided)
    ]
    assert not [one for one in events if isinstance(one, SiteFailed)]
    assert not [one for one in engine.asked if one[2] == "north" and one[1] > 2]
    assert all("north" not in one.sites for one in events if isinstance(one, RoundStarted) and one.round > 2)
    assert not [one for one in engine.asked if one[0] == "evaluate" and one[2] == "north"]


def test_who_is_left_is_asked_as_often_as_before(tmp_path: Path) -> None:
    """Else a site would spend more privacy than it had agreed to, because another one has left."""
    study = asked("a fraction", rounds=6)
    before = [one.sites for one in without(study, four(tmp_path / "all")) if isinstance(one, RoundStarted)]
    after = [one.sites for one in dropping(study, four(tmp_path / "less"), after=2) if isinstance(one, RoundStarted)]
    assert after == [
        who if number < 2 else tuple(site for site in who if site != "north") for number, who in enumerate(before)
    ]


@pytest.mark.parametrize("way", ["fedavg", "in sums", "for records, in sums"])
@pytest.mark.parametrize("after", [2, 3], ids=["decided meanwhile", "decided before"])
def test_a_run_that_is_taken_up_again_keeps_the_site_out(way: str, after: int, tmp_path: Path) -> None:
    """North is dropped from round 3 on; the run is taken up after round `after`, and says once that it is dropped."""
    whole = dropping(asked(way), four(tmp_path / "whole"), after=2)
    kept, decisions, engine = Kept(), Decisions(2), four(tmp_path / "again")
    steps = decisions.notice(
        carry_out("rehearsal", compile(asked(way))[0], Federation(engine, kept.write, decided=decisions))
    )
    before = list[Event]()
    for event in steps:
        before.append(event)
        if isinstance(event, RoundFinished) and event.round == after:
            break
    known = tuple(one.site for one in before if isinstance(one, SiteDropped))
    start = replace(checkpoint(before, kept), dropped=known)
    engine.asked.clear()
    federation = Federation(engine, kept.write, decided=decisions)
    later, error = told(carry_out("rehearsal", compile(asked(way))[0], federation, start=start))
    assert error is None, error
    assert rounds(before) + rounds(later) == rounds(whole)
    assert [one.round for one in (*before, *later) if isinstance(one, SiteDropped)] == [3]
    assert not [one for one in engine.asked if one[2] == "north"]
    assert not [one for one in later if isinstance(one, Noticed)]
    assert isinstance(later[-1], RunFinished)


def test_a_run_that_begins_later_leaves_the_site_out_altogether(tmp_path: Path) -> None:
    engine = four(tmp_path / "four")
    events = dropping(asked("in sums"), engine, after=0)
    (began,) = [one for one in events if isinstance(one, RunStarted)]
    assert began.sites == ("east", "south", "west")
    assert [one.round for one in events if isinstance(one, SiteDropped)] == [0]
    assert not [one for one in engine.asked if one[2] == "north"]
    openers = {name: (lambda number=number: table(90 + 30 * number, number)) for number, name in enumerate(FOUR)}
    three = {name: site for name, site in sites(tmp_path / "three", openers).items() if name != "north"}
    assert rounds(events) == rounds(without(asked("in sums"), in_process(three)))


def test_a_round_that_would_ask_nobody_stops_the_run(tmp_path: Path) -> None:
    everybody = tuple(replace(NORTH, site=name) for name in FOUR)
    decisions = Decisions(1)
    federation = Federation(four(tmp_path), Kept().write, decided=lambda round: everybody if decisions(round) else ())
    events, error = told(decisions.notice(carry_out("rehearsal", compile(asked("fedavg"))[0], federation)))
    assert isinstance(error, PlanError)
    assert "all sites that the round would ask were dropped" in str(error)
    assert [number for number, _, _ in rounds(events)] == [1]


def checkpoint(events: Sequence[Event], kept: Kept) -> Checkpoint:
    """Return where a run goes on, as its journal says."""
    last = [event for event in events if isinstance(event, RoundFinished)][-1]
    described = next(event for event in events if isinstance(event, DataDescribed))
    prepared = next(event for event in events if isinstance(event, DataPrepared))
    largest = max(words["train_rows"] for words in prepared.sites.values())
    here = (tuple(prepared.sites), described.agreement, prepared.recipe, largest)
    return Checkpoint(last.round, kept[last.model], kept[last.state], *here)
