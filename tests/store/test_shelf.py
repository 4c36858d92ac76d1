from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medfl.errors import NotFoundError
from medfl.events import RunFailed, RunInterrupted
from medfl.store.home import Home
from medfl.store.shelf import execution_of, outlines, whole_execution, whole_run
from medfl.testing import story


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path) as opened:
        yield opened


def test_an_empty_home(home: Home) -> None:
    assert outlines(home) == []
    with pytest.raises(NotFoundError, match="no such run"):
        whole_run(home, "any")
    with pytest.raises(NotFoundError, match="no such"):
        whole_execution(home, "any")
    with pytest.raises(NotFoundError):
        execution_of(home, "")


def test_outlines_say_where_each_run_stands(home: Home) -> None:
    planned, broken, stopped, killed, running, done = list(story.plans(story.study(repeats=3), name="x"))[:6]
    rounds = {
        plan.run: [*story.one_round(plan, 1), *story.one_round(plan, 2)] for plan in (broken, stopped, killed, running)
    }
    home.journal.append([planned, broken, stopped, killed, running, done, *story.run(done)])
    for plan in (broken, stopped, killed, running):
        home.journal.append([*story.beginning(plan), *rounds[plan.run]])
    home.journal.append([RunFailed(run=broken.run, code="data", message="no"), RunInterrupted(run=stopped.run)])
    with home.lock(running.run):
        found = outlines(home)
    assert [(view.run, view.status, view.rounds) for view in found] == [
        (done.run, "finished", 5),
        (running.run, "running", 2),
        (killed.run, "interrupted", 2),
        (stopped.run, "interrupted", 2),
        (broken.run, "failed", 2),
        (planned.run, "planned", 0),
    ]


def test_a_run_by_its_id_or_its_beginning(home: Home) -> None:
    home.journal.append(story.execution(name="abc"))
    assert whole_run(home, "abc-fedyogi-8").status == "finished"
    assert whole_run(home, "abc-local-only-7").role == "local-only"
    with pytest.raises(NotFoundError, match="more than one"):
        whole_run(home, "abc-fedavg")
    with pytest.raises(NotFoundError, match="did you mean 'abc-fedavg-7'"):
        whole_run(home, "acb-fedavg-7")


def test_an_execution_by_run_study_or_digest(home: Home) -> None:
    home.journal.append([*story.execution(name="old"), *story.execution(name="new")])
    digest = story.study().digest
    assert [execution_of(home, name) for name in ("readmission", digest, digest[:8], "new", "old")] == [
        "new", "new", "new", "new", "old",
    ]  # fmt: skip
    assert execution_of(home, "old-fedavg-7") == "old"
    view = whole_execution(home, "old")
    assert {run.execution for run in (*view.runs, *view.baselines)} == {"old"}
    assert len(view.runs) == 4
