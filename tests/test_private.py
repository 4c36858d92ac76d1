"""Logs for their owner only: bounded, also where several processes write to one."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest

from medfl import private
from medfl.private import OLDER, PrivateLog, turn


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "LARGEST", 1000)


def written(log: PrivateLog, text: str) -> None:
    log.emit(logging.LogRecord("x", logging.INFO, "", 0, text, None, None))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_a_full_log_is_moved_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    log = PrivateLog(tmp_path / "site.log", delay=True, encoding="utf-8")
    for number in range(205):
        written(log, f"{number:03} " + "x" * 96)
    log.close()
    assert files(tmp_path) == ["site.log", *(f"site.log.{number}" for number in range(1, OLDER + 1))]
    lines = [
        line[:3]
        for name in reversed(files(tmp_path))
        for line in (tmp_path / name).read_text(encoding="utf-8").splitlines()
    ]
    assert lines == [f"{number:03}" for number in range(205 - len(lines), 205)], "nothing is lost in between"
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < (OLDER + 1) * 1200
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_two_processes_write_to_the_same_one(tmp_path: Path) -> None:
    first, second = (PrivateLog(tmp_path / "site.log", encoding="utf-8") for _ in range(2))
    for number in range(30):
        written(first, f"first {number} " + "x" * 50)
        written(second, f"second {number} " + "x" * 50)
    first.close()
    second.close()
    newest = (tmp_path / "site.log").read_text() + (tmp_path / "site.log.1").read_text()
    assert "first 29" in newest and "second 29" in newest
    whole = "".join((tmp_path / name).read_text() for name in files(tmp_path))
    assert whole.count("first") == whole.count("second") == 30


def test_a_log_that_was_taken_away_is_begun_anew(tmp_path: Path) -> None:
    log = PrivateLog(tmp_path / "site.log", encoding="utf-8")
    written(log, "one")
    (tmp_path / "site.log").unlink()
    written(log, "two")
    log.close()
    assert (tmp_path / "site.log").read_text() == "two\n"


def test_a_log_that_a_program_holds_open_is_copied_and_emptied(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("a") as held:
        held.write("x" * 2000)
        held.flush()
        turn(path, held=True)
        held.write("newer")
    assert path.read_text() == "newer"
    assert (tmp_path / "log.1").read_text() == "x" * 2000


def test_what_is_not_full_or_not_there_stays(tmp_path: Path) -> None:
    turn(tmp_path / "nothing.log")
    (tmp_path / "short.log").write_text("x")
    turn(tmp_path / "short.log")
    assert files(tmp_path) == ["short.log"]
