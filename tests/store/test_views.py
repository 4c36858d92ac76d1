"""Views are folds: of a whole story, of its beginnings, and of one that was cut short and taken up again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from medfl.errors import NotFoundError
from medfl.events import Evaluated, Event, Noticed, RunFailed, RunInterrupted, RunPlanned, RunResumed, SiteFailed
from medfl.store.folding import view_execution, view_run
from medfl.store.views import RunView
from medfl.testing import story


@pytest.fixture
def plan() -> RunPlanned:
    return next(story.plans(story.study(), name="x"))


def viewed(*events: Event, alive: bool = False) -> RunView:
    return view_run(story.recorded(events), alive=alive)


def cut(plan: RunPlanned, *, rounds: int) -> list[Event]:
    """Return a run up to the middle of the round after `rounds`."""
    finished = [event for number in range(1, rounds + 1) for event in story.one_round(plan, number)]
    return [plan, *story.beginning(plan), *finished, *story.one_round(plan, rounds + 1)[:3]]


def test_a_run_that_was_only_planned(plan: RunPlanned) -> None:
    view = viewed(plan)
    assert (view.run, view.arm, view.role, view.seed, view.study) == (plan.run, "fedavg", "arm", 7, "readmission")
    assert (view.status, view.rounds, view.planned_rounds, view.model) == ("planned", 0, 5, None)
    assert (view.started, view.ended, view.sittings, view.table) == (None, None, (), ())
    assert view.spec["study"]["question"] == "Who comes back within 30 days?"


def test_a_finished_run(plan: RunPlanned) -> None:
    view = viewed(plan, *story.run(plan))
    assert (view.status, view.rounds, view.seconds, view.error) == ("finished", 5, 2.0, None)
    assert view.model == story.digest(plan, 5, "model")
    assert view.state == story.digest(plan, 5, "state")
    assert view.planned < (view.started or "") < (view.ended or "")
    assert view.final is not None
    assert view.final is view.latest
    assert view.metrics["auc"] == view.final.pooled["auc"]
    assert view.versions["python"] == "3.11.7"
    assert [notice.site for notice in view.notices] == ["st-anne"]


def test_its_sites(plan: RunPlanned) -> None:
    view = viewed(plan, *story.run(plan))
    assert list(view.sites) == list(story.SITES)
    site = view.sites["lakeside"]
    assert (site.rows, site.train_rows, site.test_rows, site.left_out) == (412, 330, 80, 2)
    assert site.train_classes == {"no": 248, "yes": 82}
    assert site.missing == {"bmi": 10}
    assert len(site.schema) == 64
    assert view.final is not None
    assert site.metrics == view.final.sites["lakeside"]
    low, high = site.intervals["auc"]
    assert low < (site.metrics["auc"] or 0.0) < high


def test_its_rounds(plan: RunPlanned) -> None:
    view = viewed(plan, *story.run(plan))
    assert [entry.round for entry in view.table] == [0, 1, 2, 3, 4, 5]
    untrained, first, last = view.table[0], view.table[1], view.table[-1]
    assert (untrained.loss, untrained.participants, untrained.finished) == (None, (), False)
    assert (first.loss, first.finished, first.participants) == (0.7, True, tuple(story.SITES))
    assert (first.received, first.sent) == (3 * 2456, 3 * 2464)
    assert first.site_loss["lakeside"] == pytest.approx(0.68)
    assert first.seconds["northfield"] == pytest.approx(0.092)
    assert [(entry.metrics["auc"] or 0.0) for entry in view.table] == sorted(
        entry.metrics["auc"] or 0.0 for entry in view.table
    )
    assert last.site_metrics["st-anne"] == view.sites["st-anne"].metrics


def test_a_run_without_an_end_is_running_only_while_someone_works_on_it(plan: RunPlanned) -> None:
    events = cut(plan, rounds=2)
    assert viewed(*events, alive=True).status == "running"
    view = viewed(*events)
    assert (view.status, view.rounds, view.model) == ("interrupted", 2, story.digest(plan, 2, "model"))
    assert view.seconds == pytest.approx(0.1 * (len(events) - 2)), "from the start to the last event"
    assert view.table[-1].participants == ("lakeside", "northfield")
    assert not view.table[-1].finished
    assert view.final is None
    assert view.metrics["auc"] is not None


def test_every_beginning_of_a_story_can_be_viewed(plan: RunPlanned) -> None:
    recorded = story.recorded([plan, *story.run(plan)])
    rounds = [view_run(recorded[:length]).rounds for length in range(1, len(recorded) + 1)]
    assert rounds == sorted(rounds)
    assert rounds[-1] == 5


def test_a_round_that_was_cut_short_counts_once(plan: RunPlanned) -> None:
    whole = story.run(plan)
    resumed = RunResumed(run=plan.run, after_round=2, versions={"python": "3.12.0"}, platform="macOS arm64")
    first, rest = cut(plan, rounds=2), whole[len(cut(plan, rounds=2)) - 4 :]
    view, straight = viewed(*first, resumed, *rest), viewed(plan, *whole)
    assert view.table == straight.table
    assert (view.status, view.model, view.rounds) == ("finished", straight.model, 5)
    assert len(view.sittings) == 2
    assert view.versions == {"python": "3.12.0"}
    assert view.started == view.sittings[0]


def test_the_time_between_two_sittings_is_not_worked(plan: RunPlanned) -> None:
    events = cut(plan, rounds=1)
    resumed = RunResumed(run=plan.run, after_round=1, versions={}, platform="")
    later = story.recorded([resumed, *story.one_round(plan, 2)], start=10_000)
    view = view_run([*story.recorded(events), *later])
    assert view.seconds == pytest.approx(0.1 * (len(events) - 2) + 0.1 * (len(later) - 1))


def test_a_run_that_starts_over_forgets_its_rounds(plan: RunPlanned) -> None:
    resumed = RunResumed(run=plan.run, after_round=0, versions={}, platform="")
    view = viewed(*cut(plan, rounds=3), resumed, alive=True)
    assert (view.status, view.rounds, [entry.round for entry in view.table]) == ("running", 0, [0])


def test_a_failed_run_keeps_its_last_good_model(plan: RunPlanned) -> None:
    failed = RunFailed(run=plan.run, code="diverged", message="NaN at lakeside in round 3")
    view = viewed(*cut(plan, rounds=2), failed, alive=True)
    assert view.status == "failed"
    assert view.error is not None
    assert (view.error.code, view.error.message) == ("diverged", "NaN at lakeside in round 3")
    assert view.model == story.digest(plan, 2, "model")
    assert view.ended is not None
    resumed = RunResumed(run=plan.run, after_round=2, versions={}, platform="")
    again = viewed(*cut(plan, rounds=2), failed, resumed, alive=True)
    assert (again.status, again.error, again.ended) == ("running", None, None)


def test_an_interrupted_run(plan: RunPlanned) -> None:
    view = viewed(*cut(plan, rounds=1), RunInterrupted(run=plan.run), alive=True)
    assert (view.status, view.rounds) == ("interrupted", 1)


def test_who_did_not_contribute(plan: RunPlanned) -> None:
    failure = SiteFailed(run=plan.run, round=3, site="st-anne", stage="train", code="site", reason="out of memory")
    early = replace(failure, round=0, stage="describe")
    view = viewed(*cut(plan, rounds=2), failure, early)
    assert view.table[-1].failed == {"st-anne": "out of memory"}
    assert view.failures == (failure, early)
    assert viewed(plan, early).table == ()


def test_a_notice_is_told_once(plan: RunPlanned) -> None:
    notice = Noticed(run=plan.run, text="few rows", site="st-anne")
    assert viewed(plan, notice, notice).notices == (notice,)


def test_a_local_only_run_has_no_one_model() -> None:
    plan = next(plan for plan in story.plans(story.study(), name="x") if plan.role == "local-only")
    view = viewed(plan, *[event for event in story.run(plan) if type(event).__name__ != "RoundFinished"])
    assert (view.model, view.metrics, view.status) == (None, {}, "finished")
    assert view.sites["lakeside"].metrics["auc"] is not None


def test_intervals_are_pairs_as_they_come_from_json(plan: RunPlanned) -> None:
    from_json: dict[str, Sequence[float]] = {"auc": [0.7, 0.9]}
    judged = Evaluated(run=plan.run, round=5, pooled={}, sites={"lakeside": {"auc": 0.8}}, final=True,
                       site_intervals={"lakeside": from_json})  # type: ignore[dict-item]  # fmt: skip
    assert viewed(plan, judged).sites["lakeside"].intervals == {"auc": (0.7, 0.9)}


def test_no_events_are_no_run() -> None:
    with pytest.raises(NotFoundError, match="no such run"):
        view_run([])


def test_an_arm_lays_its_parts_over_the_spec() -> None:
    runs = [viewed(plan) for plan in story.plans(story.study(), name="x")]
    by_arm = {run.arm: run for run in runs}
    assert by_arm["fedyogi"].asked("algorithm") == {"kind": "fedyogi", "rounds": 5, "server_learning_rate": 0.01}
    assert by_arm["fedavg"].asked("algorithm") == {"kind": "fedavg", "rounds": 5}
    assert by_arm["centralised"].asked("evaluation")["bootstrap"] == 200


def test_an_execution_gathers_its_runs_as_planned() -> None:
    view = view_execution(list(reversed(list(views(story.execution())))))
    assert (view.study, view.question) == ("readmission", "Who comes back within 30 days?")
    assert {arm: [run.seed for run in runs] for arm, runs in view.arms.items()} == {"fedavg": [7, 8], "fedyogi": [7, 8]}
    assert [(run.role, run.seed) for run in view.baselines] == [
        ("centralised", 7), ("centralised", 8), ("local-only", 7), ("local-only", 8),
    ]  # fmt: skip
    assert view.baseline("centralised") == view.baselines[:2]
    assert view.started == view.runs[0].planned


def views(events: Sequence[Event]) -> Iterator[RunView]:
    recorded = story.recorded(events)
    for run in dict.fromkeys(entry.event.run for entry in recorded):
        yield view_run(entry for entry in recorded if entry.event.run == run)
