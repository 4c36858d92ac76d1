"""A study from which somebody left a site out is repeated exactly: by reproduce, by its script, by its Flower app."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import medfl
from medfl import simulate
from medfl.bundles.checking import verify
from medfl.bundles.writing import write
from medfl.errors import PlanError, StoppedError
from medfl.events import Event, RoundFinished, SiteDropped
from medfl.execution import carry_on, lay_down
from medfl.hub.pages.coded import code_page, written
from medfl.left_out import AGAIN, leave_out
from medfl.publish.decoding import decoded
from medfl.reproducing import reproduce
from medfl.site.sources import Sources
from medfl.spec.reading import parse
from medfl.spec.study import Study
from medfl.store.home import Home
from medfl.store.leaving import left_out_of, without
from medfl.store.shelf import whole_execution
from medfl.store.views import ExecutionView
from medfl.testing.command import typed
from medfl.testing.dropping import WHY, carried_out
from medfl.testing.federation import table
from medfl.testing.held import held

TEXT = """
[study]
name = "tumours"
seed = 4

[data]
target = "diagnosis"
positive = "malignant"

[data.simulate]
bundled = "breast-cancer"
sites = 4

[algorithm]
kind = "fedavg"
rounds = 3

[evaluation]
bootstrap = 10
baselines = ["centralised", "local-only"]

[[arm]]
name = "one"

[[arm]]
name = "two"
algorithm = { kind = "fedprox", mu = 0.1 }
"""
LEAVES = "site-02"
LEFT_OUT = {
    ("one", 4): {LEAVES: 3},
    ("two", 4): {LEAVES: 0},
    ("centralised", 4): {LEAVES: 0},
    ("local-only", 4): {LEAVES: 0},
}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExecutionView]:
    """Return a store with a study from which a site was left out after round 2 of its first arm."""
    folder = tmp_path_factory.mktemp("before")
    (folder / "study.toml").write_text(TEXT, encoding="utf-8")
    return folder / "home", carried_out(folder / "study.toml", folder / "home", site=LEAVES, after=2)


@pytest.fixture(scope="module")
def study() -> Study:
    return parse(TEXT, source="study.toml")


def models(view: ExecutionView) -> dict[tuple[str, int], Any]:
    return {(run.arm, run.seed): run.model for run in (*view.runs, *view.baselines)}


def test_the_journal_says_who_left_which_run_when(before: tuple[Path, ExecutionView]) -> None:
    assert left_out_of(before[1]) == LEFT_OUT


def test_where_it_had_failed_before_it_left_with_the_first_of_these_rounds(before: tuple[Path, ExecutionView]) -> None:
    run = before[1].runs[0]
    first, second, third = run.table
    failed = replace(second, participants=second.participants[:1], failed={LEAVES: "its server is down"})
    assert without(replace(run, table=(first, failed, third))) == {LEAVES: 2}
    silent = replace(second, participants=second.participants[:1])
    assert without(replace(run, table=(first, silent, third))) == {LEAVES: 3}, "it was not asked"
    twice = replace(failed, round=1)
    assert without(replace(run, table=(twice, silent, third))) == {LEAVES: 1}
    assert without(replace(run, table=(twice, second, third))) == {LEAVES: 3}, "it had come back"


def test_a_bundle_of_it_is_sound_and_is_reproduced(before: tuple[Path, ExecutionView], tmp_path: Path) -> None:
    home, view = before
    with Home(home) as place:
        write(place, view.execution, tmp_path / "left.zip")
    assert verify(tmp_path / "left.zip").sound
    found = reproduce(tmp_path / "left.zip", home=tmp_path / "again")
    assert [(one.name, one.same) for one in found.runs] == [
        ("one", True), ("two", True), ("centralised", True), ("alone", True)
    ]  # fmt: skip
    with Home(tmp_path / "again") as place:
        again = whole_execution(place, found.execution)
    assert left_out_of(again) == LEFT_OUT
    told = again.runs[0].dropped[LEAVES]
    then = view.runs[0].dropped[LEAVES]
    assert (told.by, told.why, told.decided) == ("anna", WHY, then.decided)


def test_its_script_gives_the_models_to_the_bit(before: tuple[Path, ExecutionView], tmp_path: Path) -> None:
    text = written(before[1], "study.py").decode()
    assert f'left_out = {{\n    ("one", 4): {{"{LEAVES}": 3}},\n' in text
    assert "results = simulate(study, left_out=left_out)" in text
    (tmp_path / "study.py").write_text(text, encoding="utf-8")
    env = {"MEDFL_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin", "PYTHONPATH": _path()}
    done = subprocess.run(
        [sys.executable, "study.py"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "The models are those of the study, to the bit." in done.stdout
    formatted = [sys.executable, "-m", "ruff", "format", "--check", "--isolated", "--line-length", "100", "study.py"]
    assert subprocess.run(formatted, cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_the_notebook_runs_it_the_same_way(before: tuple[Path, ExecutionView]) -> None:
    assert "results = simulate(study, left_out=left_out)" in written(before[1], "study.ipynb").decode()


def test_the_script_is_read_back_as_the_study_and_says_what_is_no_part_of_it(
    before: tuple[Path, ExecutionView], study: Study
) -> None:
    for form in ("study.py", "study.ipynb"):
        found = decoded(written(before[1], form).decode())
        assert parse(found.text, source="study.toml").digest == study.digest
        (beside,) = found.beside
        assert beside.what == "which sites are left out by hand belongs to one run, and is not part of a study"


def test_the_page_of_code_says_that_the_spec_does_not_know_of_it(before: tuple[Path, ExecutionView]) -> None:
    page = code_page(before[1])
    assert page.left_out == (LEAVES,)
    assert LEAVES not in page.toml


def test_the_command_says_so_too(before: tuple[Path, ExecutionView], tmp_path: Path) -> None:
    home, view = before
    said = typed("code", view.execution, "--home", home, "-o", tmp_path / "study.toml")
    assert (said.code, f"does not say that {LEAVES} was left out by hand" in said.err) == (0, True), said.err
    assert "left_out=left_out" in typed("code", view.execution, "--home", home).out


def test_python_says_the_same_in_a_mapping(before: tuple[Path, ExecutionView], study: Study, tmp_path: Path) -> None:
    again = simulate(study, home=tmp_path, left_out=LEFT_OUT, progress=False).view
    assert models(again) == models(before[1])
    assert {run.dropped[LEAVES].why for run in again.runs} == {AGAIN}
    part = simulate(study, home=tmp_path, arm="one", left_out=LEFT_OUT, progress=False).view
    assert [run.model for run in part.runs] == [before[1].runs[0].model]
    whole = simulate(study, home=tmp_path, arm="one", progress=False).view
    assert whole.runs[0].model != part.runs[0].model


def test_what_is_repeated_is_kept_when_it_is_interrupted(
    before: tuple[Path, ExecutionView], study: Study, tmp_path: Path
) -> None:
    with Home(tmp_path) as home:
        sources = Sources(Path.cwd(), home.folder / "sites")
        execution = lay_down(study, home, sources=sources, engine="in-process", arm="one")
        leave_out(home, execution, LEFT_OUT)
        with pytest.raises(StoppedError):
            carry_on(home, execution, sources=sources, display=Stops(home, execution))
        home.let_go_on(execution)
        carry_on(home, execution)
        told = [one.event for one in home.journal.read() if isinstance(one.event, SiteDropped)]
        assert [(one.round, one.site) for one in told] == [(3, LEAVES)]
        assert whole_execution(home, execution).runs[0].model == before[1].runs[0].model


def test_worker_processes_leave_it_out_alike(before: tuple[Path, ExecutionView], tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(TEXT, encoding="utf-8")
    view = carried_out(tmp_path / "study.toml", tmp_path / "home", site=LEAVES, after=2, engine="processes")
    assert (left_out_of(view), models(view)) == (LEFT_OUT, models(before[1]))


def test_it_stays_out_after_kill_minus_nine(
    edited: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEDFL_JOURNAL", raising=False)
    monkeypatch.setenv("MEDFL_HOME", str(tmp_path / "home"))
    study = edited(('west = "west.csv"', 'west = "west.csv"\nsouth = "south.csv"'), ("rounds = 4", "rounds = 3"))
    table(80, 9).to_csv(study.with_name("south.csv"), index=False)
    with held(study, "--engine", "processes") as one:
        assert typed("drop", one.run, "north", "--why", WHY).code == 0
        one.process.kill()
        one.go.touch()
        one.ended()
        resumed = typed("resume", one.run, "--json")
        assert resumed.code == 0, resumed.err
    with Home() as home:
        view = whole_execution(home, one.execution)
    assert left_out_of(view) == {("base", 7): {"north": 2}}
    again = simulate(study, home=tmp_path / "again", left_out=left_out_of(view), progress=False).view
    assert models(again) == models(view)


@pytest.mark.parametrize(
    ("left_out", "why"),
    [
        ({("three", 4): {LEAVES: 1}}, "no such run"),
        ({("one", 5): {LEAVES: 1}}, "no such run"),
        ({"one": {LEAVES: 1}}, "no such run"),
        ({("one", 4): [LEAVES]}, "no such run"),
        ({("one", 4): {"site-2": 1}}, "did you mean 'site-02'"),
        ({("one", 4): {LEAVES: 5}}, "from 0 (it never took part) to 4"),
        ({("one", 4): {LEAVES: -1}}, "not a round"),
        ({("one", 4): {LEAVES: True}}, "not a round"),
        ({("local-only", 4): {LEAVES: 1}}, "a baseline trains in one go"),
        ({("one", 4): {LEAVES: 1, "site-01": 2}}, "too few sites would be left for a sum"),
        ({("one", 4): {LEAVES: 0, "site-01": 0}}, "too few sites would be left for a sum"),
    ],
)
def test_what_cannot_be_left_out_says_why(left_out: Any, why: str, study: Study, tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        simulate(study, home=tmp_path, left_out=left_out, progress=False)
    assert why in str(caught.value)
    with Home(tmp_path) as home:
        assert not list(home.journal.read()), "nothing was laid down"


def test_shares_of_sites_mean_nothing_where_one_leaves(study: Study, tmp_path: Path) -> None:
    weighed = study.overridden(
        {"evaluation": {"contributions": "leave-one-out"}, "privacy": {"secure_aggregation": False}}
    )
    with pytest.raises(PlanError, match="needs all of them in every run"):
        medfl.simulate(weighed, home=tmp_path, left_out={("base", 4): {LEAVES: 2}}, progress=False)


class Stops:
    """Wants an execution to stop after its first round."""

    def __init__(self, home: Home, execution: str) -> None:
        self.home, self.execution = home, execution

    def on(self, event: Event) -> None:
        if isinstance(event, RoundFinished) and event.round == 1:
            self.home.ask_to_stop(self.execution)


def _path() -> str:
    return str(Path(medfl.__file__).parents[1])
