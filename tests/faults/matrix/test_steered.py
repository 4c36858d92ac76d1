"""Over a real hub somebody leaves a site out, pauses a study, and loses a site: as in one process, to the bit."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from medfl import simulate
from medfl.consortium import Queued
from medfl.events import Event, RoundFinished, RoundStarted, RunFailed, RunFinished, RunResumed, RunStopped, SiteDropped
from medfl.hub.again import Again, taken_up_again
from medfl.hub.pages.watching import watch_page
from medfl.steering import Steering
from medfl.store.home import Home
from medfl.store.leaving import left_out_of
from medfl.store.shelf import whole_execution
from medfl.testing.command import typed
from medfl.testing.consortium import AWAY, Consortium, coordinator, until
from medfl.testing.mishaps import MODES, STUDY
from medfl.testing.moments import Moment

WHY = "its server is replaced"


@contextmanager
def submitted(consortium: Consortium, *moments: Mapping[str, Any]) -> Iterator[tuple[str, list[Moment]]]:
    """Submit a study of four rounds, which is held at these moments; give it up if that goes wrong."""
    consortium.whole()
    consortium.moments.begin()
    awaited = [consortium.moments.await_(**one) for one in moments]
    execution = consortium.submit(STUDY.format(rounds=4, quorum="", mode=MODES["secure"]))
    consortium.moments.of(f"{execution}-1")
    done = False
    try:
        yield execution, awaited
        done = True
    finally:
        if not done:
            consortium.abandon(execution)


def models(events: list[Event]) -> list[tuple[int, str]]:
    """Return the rounds' models; of a round that was asked for again, the last."""
    return list(
        {event.round: (event.round, event.model) for event in events if isinstance(event, RoundFinished)}.values()
    )


def here(
    consortium: Consortium, folder: Path, left_out: dict[tuple[str, int], dict[str, int]]
) -> list[tuple[int, str]]:
    """Return the rounds' models of the same study in one process."""
    results = simulate(consortium.folder / "study.toml", home=folder, left_out=left_out, progress=False)
    with Home(folder) as home:
        return models([one.event for one in home.journal.read(run=results.view.runs[0].run)])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_site_is_left_out_and_stays_out_after_kill_minus_nine(consortium: Consortium, tmp_path: Path) -> None:
    moments = {"moment": "aggregating", "round": 2}, {"moment": "stored", "round": 3}
    with submitted(consortium, *moments) as (execution, (second, third)):
        second.wait()
        said = typed("drop", f"{execution}-1", AWAY, "--why", WHY, "--home", consortium.hub.folder)
        assert said.code == 0, said.err
        too_few = typed("drop", f"{execution}-1", "east", "--why", WHY, "--home", consortium.hub.folder)
        assert "too few sites would be left for a sum that hides each of them" in too_few.err
        second.over()
        third.wait()
        os.kill(coordinator(execution), signal.SIGKILL)
        third.over()
        events = consortium.done(execution)
    assert isinstance(events[-1], RunFinished)
    told = [event for event in events if isinstance(event, SiteDropped)]
    assert [(one.round, one.site, one.why) for one in told] == [(3, AWAY, WHY)]
    assert [event.after_round for event in events if isinstance(event, RunResumed)] == [2]
    asked = {event.round: AWAY in event.sites for event in events if isinstance(event, RoundStarted)}
    assert asked == {1: True, 2: True, 3: False, 4: False}
    with Home(consortium.hub.folder) as home:
        left_out = left_out_of(whole_execution(home, execution))
    assert left_out == {("base", 7): {AWAY: 3}}
    assert models(events) == here(consortium, tmp_path, left_out)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_study_is_paused_by_somebody_and_goes_on_to_the_same_model(consortium: Consortium, tmp_path: Path) -> None:
    with submitted(consortium, {"moment": "aggregating", "round": 2}) as (execution, (second,)):
        second.wait()
        with Home(consortium.hub.folder) as home:
            Steering(home).pause(execution, by="anna", why="the night")
        second.over()
        with Home(consortium.hub.folder) as home:
            until(lambda: not home.is_busy(execution))
            events = consortium.events(execution)
            page = watch_page(whole_execution(home, execution), lambda _: False, home)
            assert (page.state, page.paused, page.runs[0].status) == ("waiting", "Paused by anna: the night.", "paused")
            Queued(consortium.hub, home).go_on(execution)
        again = consortium.done(execution)
    stopped = RunStopped(run=f"{execution}-1", by="anna", why="the night", paused=True)
    assert events[-1] == stopped
    assert models(events)[-1][0] == 2
    assert models(again) == here(consortium, tmp_path, {})


@pytest.mark.matrix
@pytest.mark.timeout(400)
def test_a_study_that_lost_a_site_waits_for_it_and_goes_on_by_itself(consortium: Consortium, tmp_path: Path) -> None:
    moments = {"moment": "aggregating", "round": 1}, {"moment": "begun", "site": AWAY, "task": "train", "round": 2}
    with submitted(consortium, *moments) as (execution, (first, second)):
        first.wait()
        consortium.deadline(10.0)
        first.over()
        second.wait()
        consortium.leave(AWAY)
        second.over()
        until(lambda: any(isinstance(event, RunFailed) for event in consortium.events(execution)))
        until(lambda: _waits(consortium, execution) == Again(f"{execution}-1", (AWAY,), (AWAY,)))
        entry = typed("runs", "--json", "--home", consortium.hub.folder).json[0]
        assert (entry["status"], entry["waits_for"]) == ("waits", [AWAY])
        consortium.deadline(None)
        consortium.answer(AWAY)
        events = consortium.done(execution)
    assert isinstance(events[-1], RunFinished)
    assert models(events) == here(consortium, tmp_path, {})


def _waits(consortium: Consortium, execution: str) -> Again | None:
    with suppress(OSError), Home(consortium.hub.folder) as home:
        return taken_up_again(home, whole_execution(home, execution).every)
    return None
