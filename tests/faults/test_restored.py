"""A backup is put back that is older than what happened: no result changes, and no privacy is spent untold."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medfl.testing.command import Said, typed, typed_apart

COPYING = """
import shutil
from medfl.events import RoundFinished
from medfl.scribe import Scribe

on = Scribe.on

def copying(scribe, event):
    on(scribe, event)
    if isinstance(event, RoundFinished) and event.round == {round}:
        shutil.copytree(scribe._home.folder, {copy!r})
        {then}

Scribe.on = copying
"""
"""A plugin that copies the home, which nobody writes to at that moment, after a round."""
PRIVATE = """
[preprocess]
impute = "drop"

[privacy.dp]
unit = "record"
epsilon = 5.0
ranges = { age = [20, 100], dose = [-4, 4] }
categories = { colour = ["amber", "blue", "clear"], sick = ["0", "1"] }
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MEDFL_JOURNAL", raising=False)
    monkeypatch.setenv("MEDFL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def study(edited: Callable[..., Path]) -> Callable[[str], Path]:
    def write(more: str) -> Path:
        return edited(('kind = "mlp"\nhidden = [8]', 'kind = "logistic"'), more=more)

    return write


def run(study: Path, *, round: int, then: str = "pass") -> Said:
    """Run a study whose home is copied after a round."""
    plugin = study.with_name("copying.py")
    plugin.write_text(COPYING.format(round=round, copy=str(study.with_name("copy")), then=then))
    return typed_apart("run", study, "--plugin", plugin, "--json")


def put_back(copy: Path, home: Path, *names: str) -> None:
    for name in names:
        for path in home.glob(f"{name}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in copy.glob(f"{name}*"):
            shutil.copytree(path, home / path.name) if path.is_dir() else shutil.copy2(path, home / path.name)


def ledgers(home: Path) -> dict[str, int]:
    """Return how many lines each site's ledger has."""
    return {str(path.relative_to(home)): len(path.read_bytes().splitlines()) for path in sorted(home.rglob("*.jsonl"))}


def only(said: Said) -> dict[str, Any]:
    assert said.code == 0, said.err
    (found,) = said.json["runs"]
    return {**found, "wall_s": 0}


@pytest.mark.parametrize("more", ["", PRIVATE], ids=["plain", "private"])
def test_a_hub_that_has_gone_back_asks_again_and_comes_to_the_same_model(
    study: Callable[[str], Path], home: Path, more: str
) -> None:
    """The sites have gone on: what they answer again is what they answered, and is not paid for twice."""
    before = only(run(study(more), round=2))
    spent, paid = typed("budget", "--json").json, ledgers(home)
    assert bool(paid) == bool(more)
    put_back(home.with_name("copy"), home, "journal.db", "artefacts")
    (entry,) = typed("runs", "--json").json
    assert (entry["status"], entry["rounds"]) == ("interrupted", 2)
    assert only(typed("resume", entry["run"], "--json")) == before
    assert typed("budget", "--json").json == spent
    assert ledgers(home) == paid


def test_a_site_that_has_gone_back_is_noticed_before_it_spends_again(study: Callable[[str], Path], home: Path) -> None:
    """Its ledger has forgotten a round that its hub remembers."""
    stop = "\n    elif isinstance(event, RoundFinished) and event.round == 2:\n        raise KeyboardInterrupt"
    assert run(study(PRIVATE), round=1, then=f"pass{stop}").code == 130
    put_back(home.with_name("copy"), home, "sites")
    (entry,) = typed("runs", "--json").json
    said = typed("resume", entry["run"])
    assert said.code == 2
    assert "the privacy ledger was rolled back or replaced" in said.err
    assert typed("runs", "--json").json[0]["rounds"] == 2
