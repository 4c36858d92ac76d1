"""A site that does not answer is named; its round goes on if enough others answer, else the run says why it stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from medfl.errors import DataError, MedflError, RefusedError, SiteError, WireError
from medfl.events import Event, RoundFinished, RoundStarted, RunFinished, SiteAnswered, SiteFailed
from medfl.messages import Refusal, Reply, Request
from medfl.site.policy import AllButRows, Facts, Verdict
from medfl.spec.study import Study
from medfl.testing.federation import NAMES, Through, in_process, rehearse, sites, study


@dataclass(frozen=True)
class NotNow(AllButRows):
    """Says no to one task, in the given rounds or in all."""

    task: str
    rounds: tuple[int, ...] = ()

    def admits(self, request: Request, study: Study, *, facts: Facts) -> Verdict:
        if request.task == self.task and (not self.rounds or request.round in self.rounds):
            return Verdict(False, "not-now", "the ethics board has not answered")
        return Verdict(True, "open", "")


def run(
    folder: Path, asked: Study, *, openers: dict[str, Callable[[], pd.DataFrame]] | None = None, **policies: NotNow
) -> tuple[list[Event], MedflError | None]:
    return rehearse(asked, in_process(sites(folder, openers, policies=policies)))


def of(kind: type, events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


STAGES = [("describe", 0), ("prepare", 0), ("train", 2), ("evaluate", 3)]
THREE_ROUNDS = {"kind": "fedavg", "rounds": 3}
TWO_OF_THREE = THREE_ROUNDS | {"min_sites": 2}


@pytest.mark.parametrize(("task", "round"), STAGES)
def test_by_default_every_site_must_answer(tmp_path: Path, task: str, round: int) -> None:
    events, error = run(tmp_path, study(algorithm=THREE_ROUNDS), north=NotNow(task, (round,)))
    failed = of(SiteFailed, events)
    reason = (
        "rule not-now: the site's policy says no: the ethics board has not answered\n"
        "  → ask north to change its policy, or change the study"
    )
    assert failed == [SiteFailed(run="rehearsal", round=round, site="north", stage=task, code="refused", reason=reason)]
    assert isinstance(error, RefusedError)
    place = "site north, round " + str(round) if round else "site north"
    assert str(error) == f"{place}, {reason}"
    assert not of(RunFinished, events)
    assert len(of(RoundFinished, events)) == (0 if round == 0 else round if task == "evaluate" else round - 1)


@pytest.mark.parametrize(("task", "round"), STAGES)
def test_the_round_goes_on_with_the_rest_if_enough_answer(tmp_path: Path, task: str, round: int) -> None:
    events, error = run(tmp_path, study(algorithm=TWO_OF_THREE), north=NotNow(task, (round,)))
    assert error is None
    assert [(event.site, event.stage, event.round) for event in events if isinstance(event, SiteFailed)] == [
        ("north", task, round)
    ]
    contributed = [event.sites for event in events if isinstance(event, RoundFinished)]
    rest = ("east", "west")
    expected = {
        "describe": [rest] * 3,
        "prepare": [rest] * 3,
        "train": [NAMES, rest, NAMES],  # asked again in the next round
        "evaluate": [NAMES] * 3,
    }
    assert contributed == expected[task]
    asked = [event.sites for event in events if isinstance(event, RoundStarted)]
    assert asked == [rest if round == 0 else NAMES] * 3
    assert isinstance(events[-1], RunFinished)


@pytest.mark.parametrize(("task", "round"), STAGES)
def test_too_few_are_all_named(tmp_path: Path, task: str, round: int) -> None:
    no = NotNow(task, (round,))
    events, error = run(tmp_path, study(algorithm=TWO_OF_THREE), north=no, west=no)
    assert [event.site for event in events if isinstance(event, SiteFailed)] == ["north", "west"]
    assert isinstance(error, RefusedError)
    assert [complaint.where.split(",")[0] for complaint in error.complaints] == ["site north", "site west"]


def test_who_answered_before_the_run_stopped_is_told(tmp_path: Path) -> None:
    events, _ = run(tmp_path, study(algorithm=THREE_ROUNDS), east=NotNow("train", (2,)))
    assert [(event.round, event.site) for event in events if isinstance(event, SiteAnswered)] == [
        *((1, site) for site in NAMES),
        (2, "north"),
        (2, "west"),
    ]


def test_an_unforeseen_failure_names_its_kind_only(tmp_path: Path) -> None:
    def broken() -> pd.DataFrame:
        raise KeyError("patient 4711")

    events, error = run(tmp_path, study(), openers={"north": broken})
    assert isinstance(error, SiteError)
    assert error.exit_code == 1
    assert str(error).startswith("site north: the site failed at the stage 'describe' (found: KeyError)")
    assert "4711" not in str([*events, error])


def test_of_several_errors_ours_comes_before_the_users(tmp_path: Path) -> None:
    """The exit code of one fault of the system among mistakes of the user is that of the fault."""

    def broken() -> pd.DataFrame:
        raise ZeroDivisionError

    def missing() -> pd.DataFrame:
        raise DataError("no such file", where="west.csv", remedy="give one")

    _, error = run(tmp_path, study(), openers={"east": broken, "west": missing})
    assert isinstance(error, SiteError)
    assert len(error.complaints) == 2
    _, error = run(tmp_path, study(), openers={"west": missing})
    assert isinstance(error, DataError)
    assert str(error) == "site west, west.csv: no such file\n  → give one"


def test_contributions_that_do_not_add_up_are_refused(tmp_path: Path) -> None:
    def shortened(answers: list[Reply | Refusal]) -> list[Reply | Refusal]:
        for answer in answers:
            if isinstance(answer, Reply) and answer.site == "west" and "update/delta" in answer.arrays:
                answer.arrays["update/delta"].resize(3, refcheck=False)
        return answers

    _, error = rehearse(study(), Through(in_process(sites(tmp_path)), shortened))
    assert isinstance(error, WireError)
    assert "update/delta" in str(error)
    assert "site west, round 1" in str(error)


def test_a_site_that_is_never_heard_of_counts_as_missing(tmp_path: Path) -> None:
    """An engine owes an answer for each request; a hub does not take silence for consent."""

    def without_north(answers: list[Reply | Refusal]) -> list[Reply | Refusal]:
        return [answer for answer in answers if answer.site != "north"]

    _, error = rehearse(study(), Through(in_process(sites(tmp_path)), without_north))
    assert error is not None
    assert "north" in str(error)
    events, error = rehearse(study(algorithm=TWO_OF_THREE), Through(in_process(sites(tmp_path)), without_north))
    assert error is None
    assert [event.sites for event in events if isinstance(event, RoundFinished)] == [("east", "west")] * 3


def test_an_answer_that_comes_twice_counts_once(tmp_path: Path) -> None:
    once, _ = rehearse(study(), in_process(sites(tmp_path / "a")))
    twice, error = rehearse(study(), Through(in_process(sites(tmp_path / "b")), lambda answers: [*answers, *answers]))
    assert error is None
    models = [[event.model for event in events if isinstance(event, RoundFinished)] for events in (once, twice)]
    assert models[0] == models[1]
    assert len(of(SiteAnswered, twice)) == len(of(SiteAnswered, once))
