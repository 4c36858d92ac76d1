"""Somebody pauses what another process carries out, or leaves a site out of it: who, when and why is in the journal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from medfl.errors import PlanError, StoreError
from medfl.events import Drop, Event, RoundStarted, RunStarted, RunStopped, SiteDropped
from medfl.run.plan import compile
from medfl.steering import Steering, against
from medfl.store.decisions import Note, drop, dropped, note_of, write_note
from medfl.store.home import Home
from medfl.store.shelf import whole_run
from medfl.testing.command import typed
from medfl.testing.federation import study, table
from medfl.testing.held import held

FOUR = ('west = "west.csv"', 'west = "west.csv"\nsouth = "south.csv"')


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MEDFL_JOURNAL", raising=False)
    monkeypatch.setenv("MEDFL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def events(*kinds: type) -> list[Event]:
    with Home() as place:
        return [one.event for one in place.journal.read(kinds=[kind.__name__ for kind in kinds])]


def test_a_run_is_paused_by_somebody_and_goes_on(tiny: Path) -> None:
    with held(tiny) as one:
        with Home() as place:
            Steering(place).pause(one.execution, by="anna", why="the night")
        one.go.touch()
        code, err = one.ended()
    assert code == 2
    assert "the run was paused by anna: the night" in err
    (stopped,) = events(RunStopped)
    assert stopped == RunStopped(run=one.run, by="anna", why="the night", paused=True)
    said = typed("pause", one.run)
    assert (said.code, said.out) == (0, f"{one.run} is paused after round 2 of 4.\n")
    assert typed("resume", one.run, "--json").json["runs"][0]["rounds"] == 4
    with Home() as place:
        assert note_of(place, one.execution) == Note()
        assert whole_run(place, one.run).stopped is None
    assert typed("pause", one.run).code == 2


def test_a_site_is_dropped_from_the_next_round_and_from_the_runs_that_follow(edited: Callable[..., Path]) -> None:
    study = edited(FOUR, ("seed = 7", "seed = 7\nrepeats = 2"), ("rounds = 4", "rounds = 3"))
    table(80, 9).to_csv(study.with_name("south.csv"), index=False)
    with held(study) as one:
        said = typed("drop", one.run, "north", "--why", "its server is replaced")
        assert said.code == 0, said.err
        assert "From the next round on north is not asked any more." in said.out
        assert "The model goes on learning from east, south and west" in said.out
        again = typed("drop", one.run, "north", "--why", "again")
        assert (again.code, "was dropped already" in again.err) == (2, True)
        last = typed("drop", one.run, "east", "--why", "and another one")
        assert last.code == 2
        assert "too few sites would be left for a sum that hides each of them" in last.err
        one.go.touch()
        assert one.ended()[0] == 0
    told = [event for event in events(SiteDropped) if isinstance(event, SiteDropped)]
    assert [(event.run, event.round, event.site, event.why) for event in told] == [
        (one.run, 3, "north", "its server is replaced"),
        (f"{one.execution}-2", 0, "north", "its server is replaced"),
    ]
    assert all(event.by and event.decided for event in told)
    asked = {(event.run, event.round): event.sites for event in events(RoundStarted) if isinstance(event, RoundStarted)}
    assert "north" in asked[one.run, 2]
    assert "north" not in asked[one.run, 3]
    assert [len(event.sites) for event in events(RunStarted) if isinstance(event, RunStarted)] == [4, 3]
    assert "its server is replaced" in typed("show", one.run).out
    assert typed("drop", one.run, "south", "--why", "late").code == 2


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("min_sites = 3", "more sites are required than take part"),
        ("min_sites = 2", ""),
        ("fraction = 0.5\nmin_asked = 2\nmin_sites = 2", "a round would ask fewer sites than must answer"),
    ],
)
def test_what_the_study_asks_of_its_sites_is_kept(rule: str, why: str, edited: Callable[..., Path]) -> None:
    more = "\n[privacy]\nsecure_aggregation = false\n"
    study = edited(("seed = 7", "seed = 8"), ("rounds = 4", f"rounds = 4\n{rule}"), more=more)
    with held(study) as one:
        with Home() as place:
            place.ask_to_stop(one.execution)
        one.go.touch()
        one.ended()
    said = typed("drop", one.run, "north", "--why", "gone")
    assert said.code == (2 if why else 0), said.err
    assert why in said.err
    assert "Traceback" not in said.err
    if not why:
        assert f"medfl resume {one.run}" in said.err
        assert typed("resume", one.run).code == 0


def test_what_cannot_be_dropped_says_why(tiny: Path) -> None:
    assert "there is no such run" in typed("drop", "nobody", "north", "--why", "x").err
    with held(tiny) as one:
        misspelled = typed("drop", one.run, "nroth", "--why", "x")
        assert (misspelled.code, "did you mean 'north'" in misspelled.err) == (2, True), misspelled.err
        with Home() as place, pytest.raises(PlanError, match="not dropped without a reason"):
            Steering(place).drop(one.execution, "north", by="anna", why=" ")
        one.go.touch()
        one.ended()
    finished = typed("drop", one.run, "north", "--why", "late")
    assert (finished.code, "has finished" in finished.err) == (2, True)


@pytest.mark.parametrize(
    ("fraction", "gone", "why"),
    [
        (None, {"north"}, ""),
        (None, {"north", "east"}, "too few sites would be left for a sum that hides each of them"),
        (0.75, {"north"}, "of 3 sites a round asks 2; secure aggregation needs at least 3"),
    ],
)
def test_a_sum_hides_each_site_in_every_round_to_come(fraction: float | None, gone: set[str], why: str) -> None:
    rule = {"kind": "fedavg", "rounds": 6} | ({"fraction": fraction} if fraction else {})
    (plan, *_) = compile(study(algorithm=rule).overridden({"privacy": {"secure_aggregation": True}}))
    complaints = list(against(plan, ("east", "north", "south", "west"), gone, first=1))
    assert [one.what for one in complaints][:1] == ([why] if why else [])


def test_two_who_decide_at_once_are_looked_at_one_after_the_other(home: Path) -> None:
    looked: list[int] = []

    def look() -> None:
        with pytest.raises(Timeout):
            FileLock(home / "drops" / "e.lock", timeout=0).acquire()
        looked.append(len(dropped(place, "e")))
        if looked[-1]:
            raise PlanError("too few sites would be left")

    with Home(home) as place:
        drop(place, "e", Drop(site="north", by="anna", why="gone", decided="2026"), first=look)
        with pytest.raises(PlanError, match="too few"):
            drop(place, "e", Drop(site="east", by="bert", why="gone", decided="2026"), first=look)
        assert [one.site for one in dropped(place, "e")] == ["north"]
    assert looked == [0, 1]


def test_decisions_that_cannot_be_read_are_not_passed_over(home: Path) -> None:
    with Home(home) as place:
        assert dropped(place, "e") == ()
        decision = Drop(site="ä/..", by="anna", why="“so”", decided="2026")
        drop(place, "e", decision)
        drop(place, "e", Drop(site="ä/..", by="bert", why="other", decided="2027"))
        assert dropped(place, "e") == (decision,)
        for wrong in ("", "[{}]", '[["site"]]', "3"):
            (home / "drops" / "e.json").write_text(wrong)
            with pytest.raises(StoreError, match="cannot be read"):
                dropped(place, "e")
        write_note(place, "e", Note(by="anna"))
        assert note_of(place, "e").by == "anna"
        assert (home / "drops" / "e.json").stat().st_mode & 0o777 == 0o600
