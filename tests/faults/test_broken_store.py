"""A full disk, a locked or damaged journal, a damaged artefact: what was finished is kept, and the error helps."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from medfl.store.sql import SqlJournal
from medfl.testing.command import Said, typed, typed_apart

HOLDER = """
import sqlite3, sys
journal = sqlite3.connect(sys.argv[1], isolation_level=None)
journal.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


def calm(said: Said, *fragments: str, code: int = 1) -> Any:
    """Hold that an error is told as one, and return what was printed as JSON."""
    assert said.code == code, said.err
    assert "Traceback" not in said.err
    assert "    → " in said.err
    for fragment in fragments:
        assert fragment in said.err
    told = said.json
    assert told["error"]["complaints"][0]["what"] in said.err
    return told


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MEDFL_JOURNAL", raising=False)
    monkeypatch.setenv("MEDFL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def wide(edited: Callable[..., Path]) -> Path:
    """Return a study with a network of some size, so that its rounds fill a disk."""
    return edited(("hidden = [8]", "hidden = [128, 128]"), ("rounds = 4", "rounds = 12"))


@pytest.fixture
def expected(wide: Path, tmp_path: Path) -> dict[str, Any]:
    """Return the run as it is when nothing goes wrong."""
    return dict(typed("run", wide, "--home", tmp_path / "whole", "--json").json["runs"][0])


@pytest.mark.slow
@pytest.mark.parametrize("limit", [60_000, 150_000], ids=["at a model", "at the journal"])
def test_a_full_disk_by_the_size_of_files(limit: int, wide: Path, home: Path, expected: dict[str, Any]) -> None:
    said = typed_apart("run", wide, "--json", before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    told = calm(said, "no room left", "free some space", "medfl resume")
    resumed_alike(told, expected)


@pytest.mark.slow
def test_a_disk_too_full_to_begin(tiny: Path, home: Path) -> None:
    said = typed_apart("run", tiny, "--json", before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000)))
    assert set(calm(said, "no room left", str(home))) == {"error"}
    assert typed("runs", "--json").json == []
    assert typed("run", tiny).code == 0, "with room again it works"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk(wide: Path, tmp_path: Path, expected: dict[str, Any]) -> None:
    small = tmp_path / "small"
    small.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(small)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        told = calm(typed_apart("run", wide, "--home", small, "--json"), "no room left", "--home", "medfl resume")
        shutil.copytree(small, tmp_path / "home")
    finally:
        subprocess.run(["umount", small], check=True)
    assert told["runs"][0]["rounds"] >= 1, "the disk holds some rounds"
    resumed_alike(told, expected, "--home", tmp_path / "home")


def resumed_alike(told: dict[str, Any], expected: dict[str, Any], *words: object) -> None:
    """Hold that a run goes on where it stopped, to the same model as if it never had."""
    (stopped,) = told["runs"]
    assert stopped["status"] in ("failed", "interrupted")
    assert stopped["rounds"] < expected["rounds"]
    resumed = typed("resume", stopped["run"], "--json", *words).json["runs"][0]
    assert (resumed["status"], resumed["rounds"]) == ("finished", expected["rounds"])
    assert resumed["model"] == expected["model"]
    assert resumed["metrics"] == expected["metrics"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for other writers a moment only."""
    open_patiently = SqlJournal.open.__func__  # type: ignore[attr-defined]
    monkeypatch.setitem(open_patiently.__kwdefaults__, "patience", 0.1)


@pytest.fixture
def locked(tiny: Path, home: Path) -> Iterator[str]:
    """Return a run that is finished, in a journal that another process holds locked."""
    run = typed("run", tiny, "--json").json["runs"][0]["run"]
    command = [sys.executable, "-c", HOLDER, str(home / "journal.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        yield str(run)
        holder.kill()


@pytest.mark.usefixtures("impatient")
def test_a_locked_journal(locked: str, tiny: Path, home: Path) -> None:
    told = calm(typed("run", tiny, "--json"), str(home / "journal.db"), "locked", "fuser")
    assert set(told) == {"error"}, "nothing was laid down"
    assert [run["run"] for run in typed("runs", "--json").json] == [locked], "reading goes on"
    assert typed("show", locked).code == 0
    assert typed("resume", locked, "--json").json["runs"][0]["status"] == "finished", "nothing is left to write"


def garbled(path: Path) -> None:
    path.write_bytes(b"\xa5garbage" * 1000)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("verb", ["run", "runs", "show", "resume"])
def test_a_journal_that_is_garbage(verb: str, tiny: Path, home: Path) -> None:
    home.mkdir()
    garbled(home / "journal.db")
    words = {"run": [tiny], "runs": []}.get(verb, ["a1b2c3d4-1"])
    told = calm(typed(verb, *words, "--json"), str(home / "journal.db"), "corrupted", "backup", "NOTADB")
    assert told["error"]["code"] == "store"
    assert (home / "journal.db").read_bytes().startswith(b"\xa5garbage"), "nothing is written over it"


def test_a_journal_changed_by_something_else(tiny: Path, home: Path) -> None:
    run = typed("run", tiny, "--json").json["runs"][0]["run"]
    with sqlite3.connect(home / "journal.db") as journal:
        journal.execute("update events set body = '{]' where kind = 'RoundFinished'")
    journal.close()
    calm(typed("show", run, "--json"), "event ", "cannot be read", "restore the journal from a backup")


@pytest.fixture
def interrupted(wide: Path, home: Path, expected: dict[str, Any]) -> dict[str, Any]:
    """Return a run that was killed after some rounds."""
    plugin = wide.with_name("deadly.py")
    plugin.write_text(
        "import os, signal\n"
        "from medfl.store.artefacts import FileArtefacts\n"
        "write, left = FileArtefacts.write, [8]\n"
        "def deadly(self, body):\n"
        "    left[0] -= 1\n"
        "    return write(self, body) if left[0] else os.kill(os.getpid(), signal.SIGKILL)\n"
        "FileArtefacts.write = deadly\n",
        encoding="utf-8",
    )
    assert typed_apart("run", wide, "--plugin", plugin).code == -signal.SIGKILL
    return dict(typed("runs", "--json").json[0])


@pytest.mark.slow
@pytest.mark.parametrize("damage", [garbled, cut, Path.unlink])
def test_a_damaged_artefact_on_resume(
    damage: Callable[[Path], object], interrupted: dict[str, Any], wide: Path, home: Path, expected: dict[str, Any]
) -> None:
    view = typed("show", interrupted["run"], "--json").json
    path = home / "artefacts" / view["model"][:2] / view["model"][2:]
    damage(path)
    code = 1 if path.exists() else 2
    told = calm(typed("resume", view["run"], "--json"), str(path), "run the study again", code=code)
    assert (told["runs"][0]["status"], told["runs"][0]["rounds"]) == ("interrupted", view["rounds"])
    exported = typed("export", view["run"])
    assert (exported.code, str(path) in exported.err) == (code, True)
    path.unlink(missing_ok=True)
    assert typed("run", wide).code == 0, "as the error says: the same seed gives the file again"
    resumed_alike(told, expected)
