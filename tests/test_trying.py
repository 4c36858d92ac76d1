"""A promise's cost is tried out in a process of its own: bounded, ended by a word, kept by the study's digest."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from medfl.errors import BusyError, PlanError, SpecError
from medfl.hub.pages.bench import Attempt
from medfl.learn.data.tables import bundled
from medfl.rehearsing import PUBLIC, SECONDS, carry_out, ready, table_of
from medfl.spec.reading import parse
from medfl.testing.federation import table
from medfl.trying import Trials

STUDY = """
[study]
name = "tried"
question = "What does it cost?"

[data]
target = "sick"
positive = "1"
features = ["age", "dose"]

[data.simulate]
table = "ward.csv"
sites = 2

[preprocess]
impute = "median"

[algorithm]
kind = "fedavg"
rounds = 2

[privacy]
secure_aggregation = false

[privacy.dp]
unit = "record"
epsilon = 3.0
ranges = { age = [0, 120], dose = [-9, 9] }
"""
LONG = STUDY.replace("rounds = 2", "rounds = 5000")
HOSPITALS = STUDY.replace('[data.simulate]\ntable = "ward.csv"\nsites = 2', '[data.sites]\na = "a.csv"\nb = "b.csv"')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table(300, 4).to_csv(tmp_path / "ward.csv", index=False)
    return tmp_path


@pytest.fixture
def trials(folder: Path) -> Iterator[Trials]:
    found = Trials(folder / "trials", folder)
    yield found
    found.close()


def until(look: Callable[[], Attempt], *states: str) -> Attempt:
    """Return what is seen once it is in one of these states."""
    end = time.monotonic() + 120
    while (found := look()).state not in states:
        assert time.monotonic() < end, found
        time.sleep(0.05)  # Another process is at it; each look is a look at its file.
    return found


def test_a_study_is_tried_on_its_own_table_and_what_came_of_it_is_kept(trials: Trials, folder: Path) -> None:
    assert trials.seen(STUDY).state == "none"
    trials.begin(STUDY)
    trials.begin(STUDY)
    found = until(lambda: trials.seen(STUDY), "done", "failed", "stopped")
    assert (found.state, found.why, found.done, found.of) == ("done", "", 2, 2)
    assert (found.table, found.own) == ("ward.csv", True)
    (one,) = found.results
    assert (one.epsilon, one.metric, one.rows, one.sites) == (3.0, "AUC", 300, 2)
    assert one.open is not None
    assert one.open > 0.7
    assert Trials(folder / "trials", folder).seen(STUDY) == found, "also by the next process"
    assert trials.seen(STUDY.replace("epsilon = 3.0", "epsilon = 4.0")).state == "none"
    table(310, 5).to_csv(folder / "ward.csv", index=False)
    assert trials.seen(STUDY).state == "none", "of another table it says nothing"


def test_it_is_ended_by_a_word_and_only_one_goes_on_at_a_time(trials: Trials) -> None:
    trials.begin(LONG)
    assert trials.seen(LONG).state == "running"
    with pytest.raises(BusyError, match="another study is being tried out"):
        trials.begin(STUDY)
    trials.stop(STUDY)
    assert trials.seen(LONG).state == "running", "a word about another study ends nothing"
    trials.stop(LONG)
    assert trials.seen(LONG).state == "stopped"
    assert trials.seen(STUDY).state == "none"


def home_of(trials: Trials) -> Path:
    """Return the folder of what is being tried, once there is a store in it."""
    waiting = Attempt(state="none", table="", own=True)
    until(lambda: trials.seen(LONG) if [*trials._folder.glob("at-*/*")] else waiting, "running")
    (found,) = trials._folder.glob("at-*")
    return found


def test_what_was_stopped_leaves_no_store_behind(
    trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setenv("TMPDIR", str(shared))
    ends: tuple[Callable[[], None], ...] = (lambda: trials.stop(LONG), trials.close)
    for end in ends:
        trials.begin(LONG)
        home = home_of(trials)
        assert home.stat().st_mode & 0o777 == 0o700
        assert [*shared.iterdir()] == [], "nothing of it is where everybody's files are"
        end()
        assert not home.exists()


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="there is no such signal here")
def test_what_took_too_long_leaves_no_store_behind(trials: Trials) -> None:
    trials.begin(LONG)
    home = home_of(trials)
    process = trials._process
    assert process is not None
    os.kill(process.pid, signal.SIGALRM)
    until(lambda: trials.seen(LONG), "failed")
    assert not home.exists()


def test_what_is_left_of_an_application_that_was_killed_goes_with_the_next_trial(trials: Trials) -> None:
    old, young = (trials._folder / name / "store" for name in ("at-old", "at-young"))
    for path in (old, young):
        path.mkdir(parents=True)
    long_ago = time.time() - 10 * SECONDS
    os.utime(old.parent, (long_ago, long_ago))
    trials.begin(LONG)
    assert not old.parent.exists()
    assert young.exists(), "it may be another application's"


def test_a_table_is_read_with_the_decimals_that_the_study_says(folder: Path) -> None:
    (folder / "ward.csv").write_text(
        "age;dose;sick\n" + "".join(f"{n % 9 + 1},{n + 100};{n % 7};1\n" for n in range(9))
    )
    study = parse(STUDY.replace("[data]", '[data]\ndecimal = ","', 1), source="x")
    assert ready(study, folder)[1]["age"].tolist() == [float(f"{n % 9 + 1}.{n + 100}") for n in range(9)]


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="there is no such signal here")
def test_what_takes_too_long_or_dies_is_said(trials: Trials) -> None:
    for sent, why in ((signal.SIGALRM, "longer than 3 minutes"), (signal.SIGKILL, "nobody foresaw")):
        trials.begin(LONG)
        process = trials._process
        assert process is not None
        os.kill(process.pid, sent)
        found = until(lambda: trials.seen(LONG), "failed")
        assert why in found.why


def test_what_is_no_study_is_refused(trials: Trials) -> None:
    with pytest.raises(SpecError):
        trials.begin("nonsense = ")


def test_hospitals_own_tables_are_not_tried_on(folder: Path) -> None:
    study = parse(HOSPITALS, source="x")
    assert table_of(study) == (PUBLIC, False)
    arms, rows = ready(study, folder)
    pd.testing.assert_frame_equal(rows, bundled(PUBLIC))
    (arm,) = arms.values()
    assert (arm.data.sites, arm.data.target) == (None, "diagnosis")
    assert arm.data.simulate is not None
    assert arm.data.simulate.sites == 2
    dp = arm.privacy.dp
    assert dp is not None
    assert (dp.unit, dp.epsilon, len(dp.ranges)) == ("record", 3.0, 2)
    assert all(low <= rows[name].min() and rows[name].max() <= high for name, (low, high) in dp.ranges.items())
    assert (arm.algorithm, arm.training) == (study.algorithm, study.training)


def test_where_there_is_nothing_to_try_it_says_so(folder: Path) -> None:
    with pytest.raises(PlanError, match="there is no differential privacy"):
        ready(parse(HOSPITALS[: HOSPITALS.index("[privacy.dp]")], source="x"), folder)
    number = HOSPITALS.replace('positive = "1"\n', "").replace("ranges = {", "ranges = { sick = [0, 9],")
    linear = number + '\n[model]\nkind = "linear"\n'
    with pytest.raises(PlanError, match="no bundled table has an outcome that this model predicts"):
        ready(parse(linear, source="x"), folder)


def test_a_failure_is_written_down_as_the_result(folder: Path) -> None:
    carry_out(STUDY.replace("ward.csv", "away.csv"), folder, folder / "found.json")
    found = json.loads((folder / "found.json").read_text())
    assert found["finished"]
    assert found["trials"] == []
    assert "file" in found["why"]
