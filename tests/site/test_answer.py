"""A site's boundary: whatever goes wrong becomes a sentence that names no value; the trace stays at the site."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medfl.errors import DataError, MedflError, OutOfMemoryError, SiteError
from medfl.messages import Refusal, Reply, Request, to_bytes
from medfl.site.answer import Site
from medfl.site.memory import FolderVault
from medfl.site.policy import AllButRows, Facts, Policy, Release, Verdict
from medfl.spec.study import Study
from medfl.testing.algorithm_contract import print_of
from medfl.testing.federation import in_process, overheard, rehearse, sites, study, tables

SECRET = "Jane Roe, born 1958-03-04"


def describe(**changes: object) -> Request:
    asked = Request(run="a", round=0, site="east", task="describe", study=study().canonical, seed=7)
    return replace(asked, **changes)  # type: ignore[arg-type]


def site(folder: Path, opener: Callable[[], pd.DataFrame] | None = None, policy: Policy | None = None) -> Site:
    return sites(folder, {"east": opener} if opener else None, policies={"east": policy} if policy else None)["east"]


def refused(answer: Reply | Refusal) -> Refusal:
    assert isinstance(answer, Refusal)
    assert (answer.site, bool(answer.complaints)) == ("east", True)
    return answer


ERRORS: list[Exception] = [
    ValueError(f"could not convert {SECRET!r} to float"),
    KeyError(SECRET),
    IndexError(SECRET),
    UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET),
    RecursionError(SECRET),
    OSError(5, SECRET, SECRET),
    ExceptionGroup(SECRET, [ValueError(SECRET)]),
    type("Unheard", (Exception,), {})(SECRET),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_of_an_unforeseen_error_only_its_kind_travels(
    tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> pd.DataFrame:
        frame = pd.DataFrame({"age": [SECRET]})
        try:
            raise TypeError(frame.to_string())
        except TypeError as cause:
            raise error from cause

    with caplog.at_level(logging.ERROR, logger="medfl.site"):
        answer = refused(site(tmp_path, broken).answer(describe()))
    assert answer.code == SiteError.code
    (complaint,) = answer.complaints
    assert complaint.what == "the site failed at the stage 'describe'"
    assert complaint.received == type(error).__name__
    body = to_bytes(answer).decode(errors="replace")
    assert not [word for word in (SECRET, "Jane", "Roe", "1958") if word in body]
    (record,) = caplog.records
    assert record.name == "medfl.site"
    assert "site east failed at a/0/describe/east" in record.getMessage()
    assert SECRET in caplog.text, "the trace is for the site's own people"


def test_of_a_lack_of_memory_only_that_travels(tmp_path: Path) -> None:
    def broken() -> pd.DataFrame:
        raise MemoryError(SECRET)

    answer = refused(site(tmp_path, broken).answer(describe()))
    assert answer.code == OutOfMemoryError.code
    body = to_bytes(answer).decode(errors="replace")
    assert not [word for word in (SECRET, "Jane", "Roe", "1958") if word in body]


@dataclass(frozen=True)
class Stumbling(AllButRows):
    """A policy of the hospital's own, which fails on one task."""

    task: str

    def releases(self, release: Release) -> Verdict:
        if release.request.task == self.task:
            raise RuntimeError(f"{SECRET}: {release.content}")
        return Verdict(True, "open", "")


@pytest.mark.parametrize("task", ["describe", "prepare", "train", "evaluate"])
def test_at_every_stage(tmp_path: Path, task: str) -> None:
    """A site that fails after its work is done says no more than one that fails before."""
    hospitals = sites(tmp_path, policies={"east": Stumbling(task)})
    _, error = rehearse(study(), in_process(hospitals))
    assert isinstance(error, SiteError)
    assert f"the site failed at the stage {task!r} (found: RuntimeError)" in str(error)
    assert SECRET not in str(error)


def test_an_error_on_purpose_travels_as_it_is(tmp_path: Path) -> None:
    def missing() -> pd.DataFrame:
        raise DataError("no such file", where="east.csv", received="nothing", remedy="put it there")

    answer = refused(site(tmp_path, missing).answer(describe()))
    assert answer.code == "data"
    assert answer.reason == "east.csv: no such file (found: nothing)\n  → put it there"


def test_whoever_stops_the_program_is_not_in_the_way(tmp_path: Path) -> None:
    def stopped() -> pd.DataFrame:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        site(tmp_path, stopped).answer(describe())


NONSENSE = [
    describe(study="{"),
    describe(study='{"study": "no study"}'),
    describe(task="delete"),
    describe(task="prepare"),
    describe(task="prepare", content={"agreement": {"features": 3}}),
    describe(task="train", round=1),
    describe(task="train", round=1, content={"agreement": {}, "recipe": {}}),
    describe(task="evaluate", content={"judge": None}),
]


@pytest.mark.parametrize("request_", NONSENSE, ids=range(len(NONSENSE)))
def test_a_request_that_makes_no_sense_is_an_answer_too(tmp_path: Path, request_: Request) -> None:
    answer = refused(site(tmp_path).answer(request_))
    assert answer.request == request_.id
    assert answer.code in ("site", "wire")


@pytest.mark.parametrize("column", ["age", "sick"])
def test_an_error_about_a_table_quotes_no_cell(tmp_path: Path, column: str) -> None:
    """Text among numbers, or in the outcome: the column is named, and what it holds is not."""

    def spoiled() -> pd.DataFrame:
        frame = tables()["east"].astype({column: object})
        frame.loc[7, column] = SECRET
        return frame

    asked = study(data={"target": "sick", "outcome": "binary"})
    hospitals = sites(tmp_path, {"east": spoiled})
    answers = [to_bytes(answer) for _, answer in overheard(asked, hospitals)]
    _, error = rehearse(asked, in_process(hospitals))
    assert isinstance(error, DataError)
    assert column in str(error)
    for told in (str(error).encode(), *answers):
        assert b"Jane" not in told
        assert b"1958" not in told


def test_names_of_patients_do_not_leave_as_categories(tmp_path: Path) -> None:
    def named() -> pd.DataFrame:
        frame = tables()["east"]
        return frame.assign(patient=[f"{SECRET} {number}" for number in range(len(frame))])

    answer = refused(site(tmp_path, named).answer(describe()))
    assert answer.code == "data"
    assert "patient" in answer.reason
    assert b"Jane" not in to_bytes(answer)


def test_asked_twice_it_answers_twice_the_same(tmp_path: Path) -> None:
    """Every request of a run, asked again at once, and once more of a site that was opened anew."""
    asked = study(evaluation={"baselines": ["local-only"]})
    hospitals = sites(tmp_path)
    heard = overheard(asked, hospitals)
    assert {request.task for request, _ in heard} == {"describe", "prepare", "train", "evaluate", "alone"}
    anew = sites(tmp_path)
    for request, first in heard:
        for hospital in (hospitals[request.site], anew[request.site]):
            again = hospital.answer(request)
            assert isinstance(first, Reply)
            assert isinstance(again, Reply)
            assert (again.request, again.site, again.content) == (first.request, first.site, first.content)
            assert print_of(again.arrays) == print_of(first.arrays)


def test_an_answer_says_how_long_it_took(tmp_path: Path) -> None:
    for _, answer in overheard(study(), sites(tmp_path)):
        assert isinstance(answer, Reply)
        assert 0 < answer.seconds < 60


def test_a_table_is_opened_once_and_when_it_is_needed(tmp_path: Path) -> None:
    opened = 0

    def counting() -> pd.DataFrame:
        nonlocal opened
        opened += 1
        return tables()["east"]

    hospitals = sites(tmp_path, {"east": counting})
    assert opened == 0
    rehearse(study(), in_process(hospitals))
    assert opened == 1


def test_a_refused_request_opens_no_table(tmp_path: Path) -> None:
    class Closed(AllButRows):
        def admits(self, request: Request, study: Study, *, facts: Facts) -> Verdict:
            return Verdict(False, "closed", "this hospital takes no part")

    def never() -> pd.DataFrame:
        raise AssertionError("opened")

    answer = refused(site(tmp_path, never, Closed()).answer(describe()))
    assert answer.code == "refused"
    assert "this hospital takes no part" in answer.reason


def test_scores_that_overflow_are_told_as_divergence(tmp_path: Path) -> None:
    """The incoming weights are finite and so large that a patient's score is not."""
    hospitals = sites(tmp_path)
    request = next(request for request, _ in overheard(study(), hospitals) if request.task == "evaluate")
    weights = np.full_like(request.arrays["weights"], 3e38)
    answer = hospitals[request.site].answer(replace(request, arrays={"weights": weights}))
    assert isinstance(answer, Refusal)
    assert answer.code == "diverged"
    assert "scores are not finite" in answer.reason


def test_a_site_keeps_its_own_name(tmp_path: Path) -> None:
    hospital = Site("east", lambda: tables()["east"], vault=FolderVault(tmp_path))
    for answer in (hospital.answer(describe(site="west")), hospital.answer(describe(site="west", task="prepare"))):
        assert answer.site == "east"


def test_every_error_of_the_tree_may_travel(tmp_path: Path) -> None:
    pending = [MedflError]
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()

        def failing(kind: type[MedflError] = kind) -> pd.DataFrame:
            raise kind("what", where="where", received="received", remedy="remedy")

        answer = refused(site(tmp_path, failing).answer(describe()))
        assert (answer.code, answer.reason) == (kind.code, "where: what (found: received)\n  → remedy")
