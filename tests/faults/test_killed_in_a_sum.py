"""The program or a worker is killed between the two exchanges of a secure sum: the run resumes to the same model."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medfl.testing.command import Said, typed, typed_apart

STUDY = """
[evaluation]
bootstrap = 20
threshold = "youden"

[privacy]
secure_aggregation = true
"""

HUB = """
import os, signal
from pathlib import Path
from medfl.run.asking import Asking

gather, LIVES = Asking.gather, Path({lives!r})

def deadly(asking, requests, into):
    refusals = yield from gather(asking, requests, into)
    of_sum = requests[0].content.get("secure", {{}}).get("terms", {{}}).get("task")
    if (requests[0].round, requests[0].task, of_sum) == {when!r} and LIVES.read_text():
        LIVES.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return refusals

Asking.gather = deadly
"""
"""A plugin that kills the program once, when all answers to one exchange are there and nothing is done with them."""

SITE = """
import os, signal
from pathlib import Path
from medfl.site.answer import Site

answer, LIVES = Site.answer, Path({lives!r})

def mortal(site, request):
    reply = answer(site, request)
    if (site.name, request.round, request.task) == ("north", *{when!r}) and LIVES.read_text():
        LIVES.write_text(LIVES.read_text()[1:])
        os.kill(os.getpid(), signal.SIGKILL)
    return reply

Site.answer = mortal
"""
"""A plugin that kills the worker of north before its answer is sent, as often as there are letters in a file."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDFL_JOURNAL", raising=False)
    monkeypatch.setenv("MEDFL_HOME", str(tmp_path / "home"))


@pytest.fixture
def hidden(edited: Callable[..., Path]) -> Path:
    """Return a study whose updates travel both in short and in long arrays, with something kept at the sites."""
    model = ("hidden = [8]", "hidden = [16, 40]")
    return edited(('kind = "fedavg"\nrounds = 4', 'kind = "scaffold"\nrounds = 3'), model, more=STUDY)


@pytest.fixture
def deadly(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes one of the plugins."""

    def written(text: str, when: tuple[object, ...], lives: str = "x") -> Path:
        (tmp_path / "lives").write_text(lives)
        plugin = tmp_path / "deadly.py"
        plugin.write_text(text.format(when=when, lives=str(tmp_path / "lives")), encoding="utf-8")
        return plugin

    return written


def told(said: Said) -> list[dict[str, Any]]:
    """Return what must be the same however often a run was interrupted."""
    assert said.code == 0, said.err
    runs = [
        {name: run[name] for name in ("seed", "rounds", "model", "metrics", "privacy")} for run in said.json["runs"]
    ]
    assert all(run["privacy"]["secure_aggregation"] for run in runs)
    return runs


MOMENTS: dict[str, tuple[int, str, str | None]] = {
    "keys": (0, "keys", None),
    "sums of preprocessing, masked": (0, "prepare", "prepare"),
    "a round, masked": (2, "train", "train"),
    "a round, unmasked": (2, "unmask", "train"),
    "between two judgements": (3, "unmask", "evaluate without a threshold"),
}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["in-process", "processes"])
def test_kill_minus_nine_within_a_sum(hidden: Path, deadly: Callable[..., Path], tmp_path: Path, engine: str) -> None:
    expected = told(typed("run", hidden, "--home", tmp_path / "whole", "--json"))
    for name, when in MOMENTS.items():
        (tmp_path / "home").rename(tmp_path / f"before {name}") if (tmp_path / "home").exists() else None
        killed = typed_apart("run", hidden, "--engine", engine, "--plugin", deadly(HUB, when))
        assert killed.code == -signal.SIGKILL, name
        (run,) = typed("runs", "--json").json
        assert (run["status"], run["rounds"]) == ("interrupted", {2: 1}.get(when[0], when[0])), name
        assert told(typed("resume", run["run"], "--json")) == expected, name


@pytest.mark.slow
@pytest.mark.parametrize("lives", ["x", "xx"])
@pytest.mark.parametrize("task", ["train", "unmask"])
def test_a_worker_dies_within_a_sum(
    hidden: Path, deadly: Callable[..., Path], tmp_path: Path, task: str, lives: str
) -> None:
    """It is started again and says the same; if it dies again, three sites are too few to do without one."""
    expected = told(typed("run", hidden, "--home", tmp_path / "whole", "--json"))
    plugin = deadly(SITE, (2, task), lives)
    said = typed_apart("run", hidden, "--engine", "processes", "--plugin", plugin, "--json")
    if lives == "x" or task == "unmask":
        # Shares are asked for once more: nothing is lost by that.
        assert told(said) == expected
        return
    assert said.code == 1
    assert "site north, round 2" in said.err
    assert "the worker process was lost at the stage 'train', twice" in said.err
    (run,) = said.json["runs"]
    assert (run["status"], run["rounds"]) == ("failed", 1)
    assert told(typed("resume", run["run"], "--json")) == expected
