"""What the watch page tells of a run: from its journal, round by round and site by site, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medfl.errors import PlanError
from medfl.events import Event, PrivacySpent, RoundFinished, RunStopped, SiteDropped
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.happened import Filter, happened_page, with_logs
from medfl.hub.pages.lasting import lasting
from medfl.hub.pages.steered import drop_page
from medfl.hub.pages.taking_part import presences
from medfl.hub.pages.watching import POINTS, Courses, WatchPage, slim, watch_page
from medfl.hub.told import Told
from medfl.publish.figures import Line, Panel
from medfl.publish.happening import KINDS, happening
from medfl.publish.ways import Mark
from medfl.steering import Steering
from medfl.store.decisions import Note, dropped, write_note
from medfl.store.folding import view_execution, view_run
from medfl.store.home import Home
from medfl.store.journal import Recorded
from medfl.store.shelf import whole_execution
from medfl.store.views import ExecutionView, RunView
from medfl.store.wholes import Wholes
from medfl.testing import story
from medfl.testing.wall import EXECUTION, RUN, beginning, one_round

FOUR = 4
DROP = SiteDropped(run=RUN, round=3, site="hospital-02", by="anna", why="its server is replaced", decided="2026")


def journal(rounds: int, *, failing: tuple[str, ...] = (), part: int = 0) -> list[Event]:
    """Return what happened in some rounds, in the last of which a site failed, and in a part of the next."""
    events = beginning(FOUR, 6)
    for number in range(1, rounds + 1):
        lost = failing if number == rounds else ()
        events += [event for some in one_round(number, FOUR, failing=lost) for event in some]
    if part:
        events.append(DROP)
        events += [event for some in list(one_round(rounds + 1, FOUR))[:part] for event in some]
    return events


def run_of(events: list[Event]) -> RunView:
    recorded = [Recorded(seq, f"2026-01-02T03:04:{seq % 60:02d}+00:00", event) for seq, event in enumerate(events, 1)]
    return view_run(recorded, alive=True)


def page_of(home: Home, events: list[Event], *, busy: bool = True) -> WatchPage:
    home.journal.append(events)
    return watch_page(whole_execution(home, EXECUTION), lambda execution: busy, home)


def test_the_map_says_who_took_part_who_failed_and_who_was_dropped() -> None:
    run = run_of(journal(2, failing=("hospital-03",), part=2))
    found = {one.site: one for one in presences(run, "auc")}
    assert [(one.part, one.first, one.last) for one in found["hospital-01"].stretches] == [("took part", 1, 3)]
    assert [(one.part, one.first, one.last) for one in found["hospital-02"].stretches] == [
        ("took part", 1, 2),
        ("dropped", 3, 3),
    ]
    assert [one.part for one in found["hospital-03"].stretches] == ["took part", "failed", "open"]
    assert [one.now for one in found.values()] == ["waits for the others", "was dropped", "trains", "trains"]
    assert found["hospital-02"].reason == "Left out from round 3 on by anna: its server is replaced."
    assert found["hospital-03"].reason == "the site did not answer in time"
    assert (found["hospital-03"].took, found["hospital-03"].asked) == (1, 3)
    assert found["hospital-01"].sent == "201.0 kB"
    assert max(one.share for one in found.values()) == 1.0


def test_what_is_read_from_afar_is_that_of_the_round_that_goes_on(tmp_path: Path) -> None:
    with Home(tmp_path) as home, home.lock(RUN):
        page = page_of(home, journal(2, part=2))
    told = {tile.name: (tile.value, tile.note) for tile in page.tiles}
    assert told["Round"] == ("3 of 6", "waits for hospital-03 and hospital-04")
    assert told["Sites"] == ("3", "1 dropped")
    assert told["A round takes"][0] == "2.9 s"
    assert [panel.title for panel in page.panels] == ["AUC by site, federated", "Training loss by site"]
    assert len(page.panels[1].lines) == FOUR + 1
    assert [one.text for one in page.happened][:2] == [
        "Round 3 began: four sites asked.",
        "hospital-02 is left out from round 3 on by anna: its server is replaced.",
    ]


def test_time_is_told_by_phase_and_an_old_journal_does_not_know_it() -> None:
    told = lasting(run_of(journal(2)))
    assert told is not None
    assert (told.rounds, told.train, told.pace) == ((1, 2), (2.3, 2.6), "2.9 s")
    assert [words for words, _ in told.once] == ["Sites describe their tables", "Preprocessing is fitted"]
    assert lasting(run_of(story.execution()[:3])) is None


def test_privacy_is_told_by_site_against_its_limit() -> None:
    plan = {"delta": 1e-5, "steps": 20, "epsilon": 8.0}
    released = [{"kind": "gaussian", "count": 5}]
    planned = PrivacySpent(
        run=RUN, round=0, stage="prepare", unit="record", sites={"hospital-01": {"delta": 1e-5, "planned": plan}}
    )
    trained = [
        PrivacySpent(
            run=RUN,
            round=number,
            stage="train",
            unit="record",
            sites={"hospital-01": {"delta": 1e-5, "released": released}},
        )
        for number in (1, 2, 2)
    ]
    run = run_of([*journal(2), planned, *trained])
    assert run.privacy is not None
    spending = replace(run.privacy, planned=8.0)
    run = replace(run, privacy=spending)
    first = next(presences(run, "auc"))
    assert (first.spent, first.spent_share) == ("10 of 20 steps, ε ≤ 8", 0.5), "a round that is asked again counts once"
    end = {"hospital-01": {**spending.sites["hospital-01"], "epsilon": 6.0}}
    last = next(presences(replace(run, privacy=replace(spending, sites=end)), "auc"))
    assert (last.spent, last.spent_share) == ("ε 6 of 8", 0.75)


def test_a_pause_says_whose_wish_it_is_and_a_drop_shows_before_it_takes_effect(tmp_path: Path) -> None:
    with Home(tmp_path) as home, home.lock(RUN):
        page_of(home, journal(2))
        Steering(home).drop(EXECUTION, "hospital-04", by="bert", why="moved")
        write_note(home, EXECUTION, Note(by="anna", why="the night", paused=True))
        home.ask_to_stop(EXECUTION)
        page = watch_page(whole_execution(home, EXECUTION), lambda execution: True, home)
    assert page.leaving == ("hospital-04",)
    assert page.paused == "Paused by anna: the night."
    assert page.state == "running"
    with Home(tmp_path) as home:
        home.journal.append([RunStopped(run=RUN, by="anna", why="the night", paused=True)])
        page = watch_page(whole_execution(home, EXECUTION), lambda execution: False, home)
    assert (page.state, page.runs[0].status) == ("waiting", "paused")


def test_the_page_refuses_what_would_leave_too_few_for_a_sum_and_says_why(tmp_path: Path) -> None:
    with Home(tmp_path) as home, home.lock(RUN):
        page_of(home, journal(2))
        nobody: Any = None
        steering = Steering(home)
        bench = Bench(home, nobody, nobody, nobody, lambda execution: True, steers=steering)
        page = drop_page(bench, EXECUTION, "hospital-04")
        assert page.sites == ("hospital-01", "hospital-02", "hospital-03", "hospital-04")
        assert page.follows[0].startswith("From the next round on hospital-04 is not asked any more.")
        steering.drop(EXECUTION, "hospital-04", by="anna", why="moved")
        page = drop_page(bench, EXECUTION, "hospital-03")
        assert (page.sites, page.follows) == (("hospital-01", "hospital-02", "hospital-03"), ())
        (complaint,) = page.complaints
        assert complaint.what == "too few sites would be left for a sum that hides each of them"
        assert complaint.received == "2 left, where at least 3 must answer"
        with pytest.raises(PlanError, match="too few sites would be left"):
            steering.drop(EXECUTION, "hospital-03", by="anna", why="moved")
        assert [one.site for one in dropped(home, EXECUTION)] == ["hospital-04"]


def test_a_long_course_of_many_sites_is_thinned_out_and_keeps_its_last_point() -> None:
    rounds = tuple(float(number) for number in range(1, 1001))
    line = Line(mark=Mark("federated", "arm"), name="a", x=rounds, y=rounds)
    thin = slim(Panel(title="t", lines=(line,) * 50))
    assert sum(len(one.x) for one in thin.lines) <= POINTS
    assert thin.lines[0].x[-1] == thin.lines[0].y[-1] == 1000
    assert slim(Panel(title="t", lines=(line,))).lines[0].x == rounds


def test_panels_are_made_anew_only_once_there_is_something_to_draw() -> None:
    run = run_of(journal(2, part=2))
    with_more = run_of(journal(2, part=3))
    view = whole_of(run)
    courses = Courses()
    first = courses(view, "auc", run)
    assert courses(whole_of(with_more), "auc", with_more) is first
    later = run_of(journal(4))
    assert courses(whole_of(later), "auc", later) is not first


@pytest.mark.parametrize(
    "events", [story.execution(), journal(2, failing=("hospital-03",), part=2)], ids=["story", "wall"]
)
def test_each_event_is_a_sentence(events: list[Event]) -> None:
    for event in events:
        told = happening("2026", event)
        assert told.text.endswith(".")
        assert told.kind in KINDS
        assert type(event).__name__ not in told.text


def test_what_happened_is_chosen_by_kind_site_and_run(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.journal.append(journal(3, failing=("hospital-03",)))
        every = happened_page(home, Wholes(home), EXECUTION, Filter())
        assert every.found == len(journal(3))
        assert every.happened[0].text.startswith("Round 3 is stored")
        trouble = happened_page(home, Wholes(home), EXECUTION, Filter(kind="trouble"))
        assert [one.text for one in trouble.happened] == [
            "hospital-03 failed in round 3: the site did not answer in time."
        ]
        assert happened_page(home, Wholes(home), EXECUTION, Filter(site="hospital-01")).found == 3
        assert happened_page(home, Wholes(home), EXECUTION, Filter(run="none")).found == 0
        assert happened_page(home, Wholes(home), EXECUTION, Filter(page=99)).page == 1


def test_a_log_is_shown_to_who_may_read_it(tmp_path: Path) -> None:
    """A site's lines tell of other studies, too."""
    for name in ("hospital-01", "hospital-02"):
        told = Told()
        told.lines = [{"at": 1.0, "text": f"train at {name}"}]
        told.keep(tmp_path, name)
    with Home(tmp_path) as home:
        home.journal.append(journal(1))
        page = happened_page(home, Wholes(home), EXECUTION, Filter())
        assert page.logs == ()
        assert [one.site for one in with_logs(page, home, lambda site: site == "hospital-02").logs] == ["hospital-02"]
        assert len(with_logs(page, home, lambda site: True).logs) == 2


def whole_of(run: RunView) -> ExecutionView:
    return view_execution([run])


def test_an_old_round_without_phases_is_still_told() -> None:
    events = [replace(event, seconds={}) if isinstance(event, RoundFinished) else event for event in journal(2)]
    told = lasting(run_of(events))
    assert told is not None
    assert (told.rounds, told.pace) == ((), "")
