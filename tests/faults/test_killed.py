"""The program is killed or stopped at any moment: what was finished is kept, and a run resumes to the same model."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medfl.learn.data.split import split
from medfl.seeds import integer
from medfl.testing.command import MEDFL, Said, typed, typed_apart

BRIEF = """
[evaluation]
bootstrap = 20
"""
BASELINES = f"""
{BRIEF}
baselines = ["centralised", "local-only"]
"""

DEADLY = """
import os, signal
from pathlib import Path
from medfl.site.memory import FolderVault
from medfl.store.artefacts import FileArtefacts
from medfl.store.sql import SqlJournal

WHEN, AFTER, COUNT = {when}, {after}, Path({count!r})
writes = 0

def deadly(write):
    def written(*words):
        global writes
        writes += 1
        if writes == WHEN and not AFTER:
            os.kill(os.getpid(), signal.SIGKILL)
        result = write(*words)
        if writes == WHEN:
            os.kill(os.getpid(), signal.SIGKILL)
        COUNT.write_text(str(writes))
        return result
    return written

for kind, name in ((SqlJournal, "append"), (FileArtefacts, "write"), (FolderVault, "keep")):
    setattr(kind, name, deadly(getattr(kind, name)))
"""
"""A plugin that kills the program at a write of its choice, before or after it."""

STOPPING = """
import os, signal
from medfl.publish.following import PlainDisplay

say = PlainDisplay._say

def stopping(display, text):
    say(display, text)
    if {after!r} in text:
        os.kill(os.getpid(), {how})

PlainDisplay._say = stopping
"""
"""A plugin that sends the program a signal when its progress says something: no later, however busy the machine."""

MORTAL = """
import os, signal
from pathlib import Path
from medfl.site.answer import Site

answer, lives = Site.answer, Path({lives!r})

def mortal(site, request):
    if site.name == "north" and request.task == "train" and request.round == 2 and lives.read_text():
        lives.write_text(lives.read_text()[1:])
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(site, request)

Site.answer = mortal
"""
"""A plugin that kills the worker of north in round 2, as often as there are letters in a file."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MEDFL_JOURNAL", raising=False)
    monkeypatch.setenv("MEDFL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def long(edited: Callable[..., Path]) -> Path:
    return edited(("rounds = 4", "rounds = 20"), ('kind = "fedavg"', 'kind = "fedadam"'), more=BRIEF)


@pytest.fixture
def whole(edited: Callable[..., Path]) -> Path:
    """Return a study with everything that is written: state of the hub, repeats, baselines."""
    change = ("seed = 7", "seed = 7\nrepeats = 2"), ('kind = "fedavg"\nrounds = 4', 'kind = "fedadam"\nrounds = 3')
    return edited(*change, more=BASELINES)


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    """Start a command whose progress can be followed on its standard error."""
    command = [*MEDFL, *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def seen(process: subprocess.Popen[str], text: str) -> None:
    """Wait until the progress says so."""
    assert process.stderr is not None
    assert any(text in line for line in process.stderr), f"never said: {text}"


def stopping(how: signal.Signals, after: str, study: Path) -> Path:
    """Return a plugin that sends a signal once the progress says `after`."""
    plugin = study.with_name("stopping.py")
    plugin.write_text(STOPPING.format(how=int(how), after=after), encoding="utf-8")
    return plugin


def stopped(how: signal.Signals, after: str, study: Path, *words: object) -> Said:
    """Run a study, stop it with a signal once its progress says `after`, and return what it said."""
    return typed_apart("run", study, *words, "--plugin", stopping(how, after, study))


def told(said: Said) -> dict[str, Any]:
    """Return what must be the same however often a run was interrupted."""
    assert said.code == 0, said.err
    runs = [{name: run[name] for name in ("arm", "seed", "rounds", "model", "metrics")} for run in said.json["runs"]]
    return {"runs": runs, "baselines": said.json["baselines"]}


def only_run() -> dict[str, Any]:
    (run,) = typed("runs", "--json").json
    return dict(run)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["in-process", "processes", "flower"])
def test_kill_minus_nine_at_a_random_round(long: Path, tmp_path: Path, engine: str) -> None:
    expected = told(typed("run", long, "--home", tmp_path / "whole", "--json"))
    round = 2 * random.Random(engine).randint(1, 9)
    killed = stopped(signal.SIGKILL, f"round {round} of 20", long, "--engine", engine)
    assert killed.code == -signal.SIGKILL
    run = only_run()
    assert (run["status"], run["rounds"]) == ("interrupted", round)
    assert told(typed("resume", run["run"], "--json")) == expected


@pytest.fixture
def deadly(whole: Path, tmp_path: Path) -> Callable[[int, bool], Path]:
    """Return a function that writes the plugin which kills at the n-th write."""

    def plugin(when: int, after: bool) -> Path:
        path = whole.with_name("deadly.py")
        path.write_text(DEADLY.format(when=when, after=after, count=str(tmp_path / "count")), encoding="utf-8")
        return path

    return plugin


@pytest.mark.slow
def test_kill_minus_nine_at_any_write(
    whole: Path, tmp_path: Path, home: Path, deadly: Callable[[int, bool], Path]
) -> None:
    """The first and the last write, and some in between: of the plan, of rounds, of baselines."""
    counted = typed_apart("run", whole, "--home", tmp_path / "whole", "--json", "--plugin", deadly(0, False))
    expected, writes = told(counted), int((tmp_path / "count").read_text())
    assert writes > 40
    draw = random.Random(1)
    moments = [(1, True), (2, True), *((draw.randint(3, writes - 1), draw.random() < 0.5) for _ in range(4))]
    for when, after in [*moments, (writes, False)]:
        home.rename(tmp_path / f"before-{when}-{after}") if home.exists() else None
        assert typed_apart("run", whole, "--plugin", deadly(when, after)).code == -signal.SIGKILL
        runs = typed("runs", "--json").json
        assert [run["arm"] for run in runs].count("base") == 2
        assert {run["status"] for run in runs if run["arm"] != "base"} <= {"interrupted"}, "a baseline that was cut off"
        assert told(typed("resume", runs[0]["run"], "--json")) == expected, f"killed at write {when} of {writes}"


@pytest.mark.slow
def test_killed_before_anything_was_laid_down(whole: Path, deadly: Callable[[int, bool], Path]) -> None:
    assert typed_apart("run", whole, "--plugin", deadly(1, False)).code == -signal.SIGKILL
    assert typed("runs", "--json").json == []


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["in-process", "processes"])
def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(long: Path, engine: str) -> None:
    said = stopped(signal.SIGINT, "round 6 of 20", long, "--engine", engine)
    run = only_run()
    assert said.code == 130
    assert said.out == "", "no model was judged to its end"
    assert said.err.endswith(f"Stopped. Every finished round is stored; go on with: medfl resume {run['run']}\n")
    assert "Traceback" not in said.err
    assert run["status"] == "interrupted"
    finished = typed("resume", run["run"], "--json").json["runs"][0]
    assert (finished["status"], finished["rounds"]) == ("finished", 20)
    assert only_run()["status"] == "finished"
    assert typed("resume", run["run"], "--json").json["runs"][0] == finished, "nothing is left to do"


@pytest.mark.slow
def test_ctrl_c_does_not_wait_for_a_long_round(edited: Callable[..., Path]) -> None:
    study = edited(("batch_size = 16", "batch_size = 16\nlocal_epochs = 1000000"))
    for engine in ("in-process", "processes", "flower"):
        with started("run", study, "--engine", engine, "--json") as process:
            seen(process, "started as")
            process.send_signal(signal.SIGINT)
            said = Said(*finished(process))
        assert said.code == 130
        assert said.json["runs"][0]["status"] == "interrupted"
        assert "Traceback" not in said.err


@pytest.mark.slow
def test_ctrl_c_shows_what_was_finished(edited: Callable[..., Path]) -> None:
    study = edited(("seed = 7", "seed = 7\nrepeats = 2"), more=BRIEF)
    said = stopped(signal.SIGINT, "seed 8: round 2 of 4", study, "--home", study.parent / "h o")
    assert said.code == 130
    assert "AUC" in said.out
    assert f"medfl resume {said.out.split('medfl resume ')[1].split()[0]} --home '{study.parent}/h o'" in said.err


@pytest.mark.slow
def test_of_two_that_resume_one_wins_and_the_other_says_busy(long: Path, tmp_path: Path) -> None:
    expected = told(typed("run", long, "--home", tmp_path / "whole", "--json"))
    stopped(signal.SIGKILL, "round 6 of 20", long)
    run = only_run()["run"]
    plugin = stopping(signal.SIGSTOP, "goes on after round", long)
    with started("resume", run, "--json", "--plugin", plugin) as winner:
        assert os.WIFSTOPPED(os.waitpid(winner.pid, os.WUNTRACED)[1])
        try:
            assert only_run()["status"] == "running"
            loser = typed_apart("resume", run, "--json")
        finally:
            winner.send_signal(signal.SIGCONT)
        assert loser.code == 2
        assert "another process is working on" in loser.err
        assert "medfl runs" in loser.err
        assert loser.json["error"]["code"] == "busy"
        assert loser.json["runs"][0]["status"] == "running"
        out, err = winner.communicate(timeout=60)
        assert told(Said(winner.returncode, out, err)) == expected


@pytest.mark.slow
def test_two_runs_at_once_in_one_home(whole: Path) -> None:
    with started("run", whole, "--json") as one, started("run", whole, "--json") as other:
        said = [Said(*finished(process)) for process in (one, other)]
    assert told(said[0]) == told(said[1])
    runs = typed("runs", "--json").json
    assert len({run["run"] for run in runs}) == 4
    assert {run["status"] for run in runs} == {"finished"}


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def other_values(text: str) -> str:
    """Return west's table with the same rows, columns and range, and one value of a training row changed."""
    lines = text.splitlines(keepends=True)
    table = pd.read_csv(io.StringIO(text))
    drawn = integer(7, site="west", purpose="split")
    train, _ = split(table["sick"].to_numpy(), len(table), fraction=0.2, seed=drawn)
    middle = train[np.argsort(table["age"].to_numpy()[train])[len(train) // 2]]
    cells = lines[middle + 1].split(",")
    lines[middle + 1] = ",".join([str(round(float(cells[0]) + 0.1, 1)), *cells[1:]])
    return "".join(lines)


CHANGES: dict[str, tuple[Callable[[str], str], str]] = {
    "a row less": (lambda text: text[: text.rstrip().rindex("\n") + 1], "site west"),
    "a column more": (lambda text: text.replace("\n", ",1\n").replace("sick,1", "sick,weight", 1), "west"),
    "another value": (other_values, "the values of some column"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_other_tables_than_at_the_beginning_are_refused(name: str, long: Path, tmp_path: Path) -> None:
    expected = told(typed("run", long, "--home", tmp_path / "whole", "--json"))
    stopped(signal.SIGKILL, "round 6 of 20", long)
    run, west = only_run(), long.with_name("west.csv")
    before, (change, place) = west.read_text(encoding="utf-8"), CHANGES[name]
    west.write_text(change(before), encoding="utf-8")
    refused = typed("resume", run["run"], "--json")
    assert refused.code == 2
    assert place in refused.err
    assert set(refused.json) >= {"runs", "error"}
    if name != "a column more":
        assert "the data changed since the run began" in refused.err
        assert "put the old tables back" in refused.err
    assert refused.json["runs"][0]["rounds"] == run["rounds"], "what was finished is still there"
    west.write_text(before, encoding="utf-8")
    assert told(typed("resume", run["run"], "--json")) == expected


def test_other_tables_are_refused_for_an_arm_that_had_not_begun(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run is finished; the second would be compared with it."""
    run_two(whole, monkeypatch)
    west = whole.with_name("west.csv")
    west.write_text(CHANGES["a row less"][0](west.read_text(encoding="utf-8")), encoding="utf-8")
    runs = typed("runs", "--json").json
    assert [run["status"] for run in runs] == ["planned", "finished"]
    refused = typed("resume", runs[0]["run"], "--json")
    assert refused.code == 2
    assert "the data changed since the run began" in refused.err
    assert "site west" in refused.err


def run_two(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a study, and press Ctrl-C just when its second run is about to begin."""
    from medfl import execution

    carry_out = execution._carry_out

    def once(*words: Any, **more: Any) -> None:
        monkeypatch.setattr(execution, "_carry_out", interrupted)
        carry_out(*words, **more)

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(execution, "_carry_out", once)
    assert typed("run", study).code == 130
    monkeypatch.undo()
    monkeypatch.setenv("MEDFL_HOME", str(study.parent / "home"))


@pytest.mark.slow
@pytest.mark.parametrize("lives", [1, 2])
def test_a_worker_is_killed(lives: int, edited: Callable[..., Path], tmp_path: Path) -> None:
    study = edited(more=BRIEF)
    expected = told(typed("run", study, "--home", tmp_path / "whole", "--json"))
    (tmp_path / "lives").write_text("x" * lives)
    plugin = tmp_path / "mortal.py"
    plugin.write_text(MORTAL.format(lives=str(tmp_path / "lives")), encoding="utf-8")
    said = typed_apart("run", study, "--engine", "processes", "--plugin", plugin, "--json")
    if lives == 1:
        assert told(said) == expected, "it is started again, and asked once more"
        return
    assert said.code == 1
    assert "site north, round 2" in said.err
    assert "the worker process was lost" in said.err
    assert "out-of-memory" in said.err
    (run,) = said.json["runs"]
    assert (run["status"], run["rounds"], run["error"]["code"]) == ("failed", 1, "engine")
    assert f"medfl resume {run['run']}" in said.err
    assert told(typed("resume", run["run"], "--json")) == expected
