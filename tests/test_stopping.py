"""Somebody stops a run that another process carries out: it ends in order, says so, and goes on when it is resumed."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medfl.consortium import Queued
from medfl.coordinating import coordinate
from medfl.events import RoundStarted, RunStopped, SiteAnswered
from medfl.hosting import submit
from medfl.store.home import Home
from medfl.store.views import ExecutionView
from medfl.testing.command import started, typed
from medfl.testing.held import held, until
from medfl.testing.hub import made


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MEDFL_JOURNAL", raising=False)
    monkeypatch.setenv("MEDFL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def events(home: Path, *kinds: type) -> list[Any]:
    with Home(home) as place:
        return [one.event for one in place.journal.read(kinds=[kind.__name__ for kind in kinds])]


def test_a_run_ends_once_its_round_is_stored_and_resumes_to_the_same_model(tiny: Path, home: Path) -> None:
    whole = typed("run", tiny, "--home", home.with_name("whole"), "--json").json["runs"][0]
    with held(tiny) as one:
        with started("stop", one.run, "--json") as stopping:
            assert stopping.stderr is not None
            assert "once the round that is going on is stored" in stopping.stderr.readline()
            assert stopping.poll() is None, "it waits for the end of the round"
            assert one.process.poll() is None
            one.go.touch()
            said = json.loads(stopping.communicate(timeout=60)[0])
        code, err = one.ended()
    assert said == {"run": one.run, "status": "stopped", "rounds": 2}
    assert code == 2
    assert "was stopped with medfl stop" in err
    assert "Traceback" not in err
    assert err.count("medfl resume") == 1
    again = typed("stop", one.run)
    assert (again.code, again.out) == (0, f"{one.run} is stopped after round 2 of 4.\n")
    assert len(events(home, RunStopped)) == 1
    assert "stopped" in typed("show", one.run).out
    resumed = typed("resume", one.run, "--json").json["runs"][0]
    assert {**resumed, "run": "", "wall_s": 0} == {**whole, "run": "", "wall_s": 0}
    ended = typed("stop", one.run)
    assert ended.code == 2
    assert "has finished: there is nothing to stop" in ended.err


def test_a_run_that_hangs_is_stopped_at_once_and_who_is_awaited_can_be_read_meanwhile(tiny: Path, home: Path) -> None:
    with held(tiny) as one:
        until(lambda: any(event.round == 2 for event in events(home, RoundStarted)))
        assert [event.site for event in events(home, SiteAnswered) if event.round == 2] == ["east"]
        said = typed("stop", one.run[:5], "--now")
        assert said.code == 0, said.err
        code, err = one.ended()
    assert (code, said.out) == (2, f"{one.run} is stopped after round 1 of 4.\n")
    assert "was stopped with medfl stop" in err
    one.go.touch()
    assert typed("resume", one.run, "--json").json["runs"][0]["rounds"] == 4


def test_the_runs_that_were_to_follow_are_not_begun(edited: Callable[..., Path]) -> None:
    with held(edited(("seed = 7", "seed = 7\nrepeats = 2"), ("rounds = 4", "rounds = 2"))) as one:
        with Home() as place:
            place.ask_to_stop(one.execution)
        one.go.touch()
        assert one.ended()[0] == 2
    assert [entry["status"] for entry in typed("runs", "--json").json] == ["planned", "stopped"]


def test_what_cannot_be_stopped_says_why(tiny: Path) -> None:
    unknown = typed("stop", "nobody")
    assert unknown.code == 2
    assert "there is no such run" in unknown.err
    tiny.with_name("east.csv").write_text("age,sick\n1,2\n")
    assert typed("run", tiny).code == 2
    (entry,) = typed("runs", "--json").json
    failed = typed("stop", entry["run"], "--json")
    assert failed.code == 2
    assert "nobody is working on the run" in failed.json["error"]["complaints"][0]["what"]
    assert typed("runs", "--json").json == [entry]


def test_what_a_hub_has_queued_leaves_the_queue_and_no_process_takes_it_up(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = made(tmp_path / "hub")
    monkeypatch.setattr("medfl.hosting.require_enrolled", lambda hub, study: ())
    execution, _ = submit(hub, tiny)
    said = typed("stop", f"{execution}-1", "--home", hub.folder)
    assert (said.code, said.out) == (0, f"{execution}-1 is stopped before its first round ended.\n"), said.err
    assert hub.queue.waiting() == []
    # A process that the hub had started just before finds the mark.
    monkeypatch.setattr("medfl.coordinating.sites_of", lambda study: ())
    monkeypatch.setattr("medfl.coordinating._wait", lambda folder, study, gone, begun, over: None)
    coordinate(hub.folder, execution)
    assert [type(event).__name__ for event in events(hub.folder, *(RunStopped, RoundStarted))] == ["RunStopped"]
    assert typed("stop", f"{execution}-1", "--home", hub.folder).code == 0


def test_what_is_to_go_on_while_its_sites_are_still_told_that_it_stopped_stays_in_the_queue(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = made(tmp_path / "hub")
    monkeypatch.setattr("medfl.hosting.require_enrolled", lambda hub, study: ())
    execution, _ = submit(hub, tiny)
    hub.queue.done(execution)
    monkeypatch.setattr("medfl.coordinating._wait", lambda folder, study, gone, begun, over: None)
    monkeypatch.setattr("medfl.coordinating.sites_of", lambda study: ())

    def telling(folder: Path, view: ExecutionView) -> None:
        with Home(folder) as home:
            Queued(hub, home).go_on(view.execution)

    monkeypatch.setattr("medfl.coordinating.tell_stopped", telling)
    with Home(hub.folder) as home:
        home.ask_to_stop(execution)
    coordinate(hub.folder, execution)
    assert hub.queue.waiting() == [execution]


def test_a_run_is_watched_from_another_process_until_ctrl_c(tiny: Path) -> None:
    with held(tiny) as one, started("runs", "--watch") as plain, started("runs", "--watch", "--json") as told:
        assert plain.stdout is not None
        assert told.stdout is not None
        assert any("running, round 2 of 4, asked: north" in line for line in plain.stdout)
        assert any(entry["awaited"] == ["north", "west"] for entry in map(json.loads, told.stdout))
        one.go.touch()
        assert any("finished, round 4 of 4" in line for line in plain.stdout)
        assert one.ended()[0] == 0
        last = next(entry for entry in map(json.loads, told.stdout) if entry["status"] == "finished")
        assert (last["run"], last["round"], last["awaited"]) == (one.run, 4, [])
        for watching in (plain, told):
            watching.send_signal(signal.SIGINT)
            _, err = watching.communicate(timeout=30)
            assert watching.returncode == 0
            assert "Traceback" not in err


def test_a_submission_is_watched_to_its_end(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = made(tmp_path / "hub")
    monkeypatch.setattr("medfl.hosting.require_enrolled", lambda hub, study: ())
    monkeypatch.setattr("medfl.hub.queue.Queue.waiting", lambda queue: [])
    said = typed("submit", tiny, "--watch", "--json", "--home", hub.folder)
    queued, planned, error = (json.loads(text) for text in re.split(r"\n(?={)", said.out.strip()))
    assert said.code == 2
    assert planned["run"] == f"{queued['execution']}-1"
    assert planned["status"] == "planned"
    assert "did not come to its end" in error["error"]["complaints"][0]["what"]
