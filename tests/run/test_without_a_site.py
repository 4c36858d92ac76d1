"""A run that goes on while a site is away keeps what all had agreed on, and takes the site up again when it is back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from medfl.errors import Complaint, PlanError
from medfl.events import DataDescribed, DataPrepared, Event, Noticed, RoundFinished, RunFinished, RunPlanned, SiteFailed
from medfl.messages import SITTING, TROUBLE, Refusal, Reply, Request
from medfl.run.checkpoint import Checkpoint
from medfl.run.engine import Engine, unanswered
from medfl.same_data import refuse_other_data
from medfl.spec.study import Study
from medfl.store.folding import view_run
from medfl.store.journal import Recorded
from medfl.store.views import RunView
from medfl.testing.federation import Kept, Through, in_process, rehearse, rounds, sites, study, table

FOUR = ("east", "north", "south", "west")


@dataclass
class Away:
    """An engine by which a site is not reached at some stages: (task, round)."""

    engine: Engine
    stages: set[tuple[str, int]]

    def sites(self) -> Sequence[str]:
        return self.engine.sites()

    def exchange(self, requests: Iterable[Request], *, timeout: float | None = None) -> Iterator[Reply | Refusal]:
        for request in requests:
            if request.site == "north" and (request.task, request.round) in self.stages:
                yield unanswered(request, Complaint(f"the site is away at the stage {request.task!r}"))
            else:
                yield from self.engine.exchange([request], timeout=timeout)


def four(folder: Path, *away: tuple[str, int]) -> Engine:
    openers = {name: (lambda number=number: table(60 + 30 * number, number)) for number, name in enumerate(FOUR)}
    return Away(in_process(sites(folder, openers)), set(away))


def asked(secure: bool, least: int | None = 3) -> Study:
    rule = {"kind": "scaffold", "rounds": 4} | ({} if least is None else {"min_sites": least})
    return study(algorithm=rule, privacy={"secure_aggregation": secure})


def checkpoint(events: list[Event], kept: Kept) -> Checkpoint:
    """Return where a run goes on, as its journal says."""
    last = [event for event in events if isinstance(event, RoundFinished)][-1]
    described = next(event for event in events if isinstance(event, DataDescribed))
    prepared = next(event for event in events if isinstance(event, DataPrepared))
    largest = max(words["train_rows"] for words in prepared.sites.values())
    here = (tuple(prepared.sites), described.agreement, prepared.recipe, largest)
    return Checkpoint(last.round, kept[last.model], kept[last.state], *here)


@pytest.mark.parametrize("secure", [False, True])
def test_a_site_that_is_away_when_a_run_goes_on_is_back_in_the_next_round(tmp_path: Path, secure: bool) -> None:
    """The model is that of a run that never stopped, and in which the site was away for the same round."""
    expected, error = rehearse(asked(secure), four(tmp_path / "whole", ("train", 3)))
    assert error is None
    kept, lost = Kept(), {("train", round) for round in (3, 4)}
    stopping = Away(four(tmp_path / "stopped"), lost)
    before, error = rehearse(asked(secure, least=None), stopping, kept=kept)
    assert error is not None
    stages = [("keys", 0), ("describe", 0), ("prepare", 0), ("keys", 3), ("train", 3)]
    start = checkpoint(before, kept)
    after, error = rehearse(asked(secure), four(tmp_path / "stopped", *stages), kept=kept, start=start)
    assert error is None
    assert rounds(before) + rounds(after) == rounds(expected)
    assert rounds(after)[0][1] == ("east", "south", "west")
    assert rounds(after)[1][1] == FOUR
    (described,) = [event for event in after if isinstance(event, DataDescribed)]
    assert described.agreement == start.agreement
    assert "north" not in described.sites
    assert not [event for event in after if isinstance(event, DataPrepared)], "what was fitted stays as it was"
    assert [event.site for event in after if isinstance(event, Noticed)] == ["north"]
    failed = [(event.stage, event.round) for event in after if isinstance(event, SiteFailed)]
    assert failed[-1] == ("keys" if secure else "train", 3)
    assert isinstance(after[-1], RunFinished)


def test_without_a_quorum_it_does_not_go_on(tmp_path: Path) -> None:
    kept = Kept()
    before, _ = rehearse(asked(False), Away(four(tmp_path), {("train", 3)}), kept=kept)
    start = replace(checkpoint(before, kept), round=2)
    after, error = rehearse(asked(False, least=4), four(tmp_path, ("describe", 0)), kept=kept, start=start)
    assert error is not None
    assert "site north" in str(error)
    assert not rounds(after)


def test_only_the_run_itself_may_go_on_without_a_site(tmp_path: Path) -> None:
    """That a table is another one is still seen, and another arm is compared on the same sites."""
    kept = Kept()
    before, _ = rehearse(asked(False), four(tmp_path), kept=kept)
    described = next(event for event in before if isinstance(event, DataDescribed))
    view = replace(view_of(before), run="rehearsal")
    gone = replace(described, sites={name: said for name, said in described.sites.items() if name != "north"})
    refuse_other_data(view, view, gone)
    with pytest.raises(PlanError, match="the data changed"):
        refuse_other_data(view, replace(view, run="another arm"), gone)
    other = {name: {**said, "rows": said["rows"] + (name == "east")} for name, said in gone.sites.items()}
    with pytest.raises(PlanError, match="site east"):
        refuse_other_data(view, view, replace(gone, sites=other))


def view_of(events: list[Event]) -> RunView:
    planned = RunPlanned(
        run="rehearsal",
        execution="e",
        study="tiny",
        digest="0",
        spec=asked(False).canonical,
        base="",
        engine="in-process",
        role="arm",
        arm="base",
        seed=7,
    )
    at = "2026-01-01T00:00:00+00:00"
    return view_run([Recorded(number, at, one) for number, one in enumerate([planned, *events])])


def test_an_agent_that_was_started_again_is_noticed_with_the_stage(tmp_path: Path) -> None:
    """A site says by a word which process it is, and the journal tells of another one; the results are the same."""
    told = 0

    def named(answers: list[Reply | Refusal]) -> Iterator[Reply | Refusal]:
        nonlocal told
        for answer in answers:
            assert isinstance(answer, Reply)
            north = answer.site == "north"
            told += north
            word = "second" if north and told > 3 else "first"
            trouble = {TROUBLE: ("an answer was repeated",)} if north and told == 5 else {}
            yield replace(answer, content={**answer.content, SITTING: word, **trouble})

    expected, _ = rehearse(asked(False), four(tmp_path / "whole"))
    events, error = rehearse(asked(False), Through(four(tmp_path / "restarted"), named))
    assert error is None
    assert rounds(events) == rounds(expected)
    texts = [event.text for event in events if isinstance(event, Noticed) and event.site == "north"]
    assert texts == [
        "the process in which the site works ended after the stage 'train' of round 1, and another one took over "
        "before the end of the stage 'train' of round 2; nothing was lost by it",
        "an answer was repeated",
    ]
