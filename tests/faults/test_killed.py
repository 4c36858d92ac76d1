"""The whole program is killed at any moment, and the run resumes to the same model."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MEDFL = (sys.executable, "-m", "medfl")


def medfl(*arguments: object, code: int = 0) -> str:
    """Run a command to its end and return its standard output."""
    done = subprocess.run([*MEDFL, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    return done.stdout


def stopped(study: Path, home: Path, after: str, how: signal.Signals, engine: str) -> int:
    """Start a run, stop it with a signal once its progress says `after`, and return its exit code."""
    command = [*MEDFL, "run", str(study), "--home", str(home), "--engine", engine]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if after in line:
                process.send_signal(how)
                break
        process.stderr.read()
        return process.wait(timeout=60)


@pytest.fixture
def long(edited: Callable[..., Path]) -> Path:
    return edited(("rounds = 4", "rounds = 60"), ('kind = "fedavg"', 'kind = "fedadam"'))


def only_run(home: Path) -> dict[str, object]:
    runs = json.loads(medfl("runs", "--home", home, "--json"))
    assert len(runs) == 1
    return dict(runs[0])


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["in-process", "processes"])
def test_kill_minus_nine_at_a_random_round(long: Path, tmp_path: Path, engine: str) -> None:
    expected = json.loads(medfl("run", long, "--home", tmp_path / "whole", "--json"))["runs"][0]
    round = 6 * random.Random(engine).randint(1, 8)
    home = tmp_path / "killed"
    assert stopped(long, home, f"round {round} of 60", signal.SIGKILL, engine) == -signal.SIGKILL
    killed = only_run(home)
    assert killed["status"] == "interrupted"
    assert int(str(killed["rounds"])) >= round - 1
    resumed = json.loads(medfl("resume", killed["run"], "--home", home, "--json"))["runs"][0]
    assert resumed["status"] == "finished"
    assert resumed["model"] == expected["model"]
    assert resumed["metrics"] == expected["metrics"]


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(long: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert stopped(long, home, "round 6 of 60", signal.SIGINT, "in-process") == 130
    run = only_run(home)
    assert run["status"] == "interrupted"
    finished = json.loads(medfl("resume", run["run"], "--home", home, "--json"))["runs"][0]
    assert (finished["status"], finished["rounds"]) == ("finished", 60)
    assert only_run(home)["status"] == "finished"
    assert json.loads(medfl("resume", run["run"], "--home", home, "--json"))["runs"][0]["model"] == finished["model"]
