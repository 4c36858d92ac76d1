"""What is shown of runs while they go on."""

from __future__ import annotations

from datetime import datetime, timedelta

from medfl.events import Event, PrivacySpent, RoundStarted, RunStopped, SiteAnswered, SiteFailed
from medfl.publish.terminal import plain
from medfl.publish.watching import ROWS, Standing, changed, line, standing, table
from medfl.store.folding import view_run
from medfl.testing import story

(PLAN, *_) = story.plans(story.study(repeats=1), name="x")


def seen(*events: Event, later: float = 0.0) -> Standing:
    """Return where the story's first run stands so many seconds after the last of these events."""
    told = story.recorded([PLAN, *story.beginning(PLAN), *events])
    now = datetime.fromisoformat(told[-1].at) + timedelta(seconds=later)
    return standing(view_run(told, alive=True), now=now)


def begun(number: int, *answered: str) -> list[Event]:
    round = [event for event in story.one_round(PLAN, number) if isinstance(event, RoundStarted | SiteAnswered)]
    return [event for event in round if not isinstance(event, SiteAnswered) or event.site in answered]


def test_who_is_asked_and_who_has_answered() -> None:
    told = seen(*story.one_round(PLAN, 1), *begun(2, "lakeside"))
    assert (told.status, told.round, told.rounds) == ("running", 2, 5)
    assert told.asked == ("lakeside", "northfield", "st-anne")
    assert (told.answered, told.awaited, told.late) == (("lakeside",), ("northfield", "st-anne"), ())
    assert told.metric == "auc"
    assert line(told) == (
        f"{PLAN.run} readmission, fedavg, seed 7: running, round 2 of 5, asked: northfield and st-anne, "
        f"AUC {told.value:.3f}"
    )
    assert "northfield +1 (1/3 done)" in plain(table([told]))


def test_a_site_is_late_that_takes_far_longer_than_any_round_before() -> None:
    events = [*story.one_round(PLAN, 1), *begun(2, "lakeside", "st-anne")]
    assert seen(*events, later=9).late == ()
    assert seen(*events, later=11).late == ("northfield",)
    assert "late: northfield" in line(seen(*events, later=11))
    assert "northfield, 11 s" in plain(table([seen(*events, later=11)]))
    assert seen(*begun(1), later=3600).late == (), "of a first round nobody knows how long it takes"


def test_a_site_that_failed_is_not_awaited() -> None:
    failed = SiteFailed(run=PLAN.run, round=1, site="st-anne", stage="train", code="site", reason="no")
    told = seen(*begun(1, "lakeside"), failed)
    assert (told.awaited, told.failed) == (("northfield",), ("st-anne",))
    assert "failed: st-anne" in line(told)


def test_between_rounds_nobody_is_awaited_and_what_has_ended_says_so() -> None:
    assert seen(*story.one_round(PLAN, 1)).asked == ()
    stopped = seen(*story.one_round(PLAN, 1), *begun(2), RunStopped(run=PLAN.run))
    assert (stopped.status, stopped.round, stopped.awaited) == ("stopped", 1, ())


def test_what_was_spent_of_privacy() -> None:
    spent = PrivacySpent(
        run=PLAN.run, round=1, stage="train", unit="record", sites={"lakeside": {"delta": 1e-5, "epsilon": 0.731}}
    )
    told = seen(spent)
    assert told.epsilon == 0.731
    assert line(told).endswith("ε 0.731")
    assert told.as_json()["epsilon"] == 0.731


def test_what_is_worth_a_line() -> None:
    first, second = seen(*begun(1)), seen(*begun(1, "lakeside"))
    assert changed({}, [first], brief=True) == [first]
    assert changed({first.run: first}, [second], brief=True) == [], "not every answer"
    assert changed({first.run: first}, [second], brief=False) == [second]
    assert changed({second.run: second}, [second], brief=False) == []


def test_a_long_table_keeps_what_goes_on() -> None:
    def told(number: int, status: str) -> Standing:
        return Standing(run=f"r{number}", study=f"s{number}", arm="base", seed=1, status=status, round=1, rounds=2)

    text = plain(table([*(told(number, "finished") for number in range(40)), told(99, "running")]))
    assert "s99" in text
    assert "s0 " in text
    assert f"and {41 - ROWS} more" in text
    assert plain(table([])) == "No runs yet."


def test_before_the_first_round() -> None:
    assert line(seen()).startswith(f"{PLAN.run} readmission, fedavg, seed 7: running, round 0 of 5")
