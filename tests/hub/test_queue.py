"""What a hub has taken on and not finished."""

from __future__ import annotations

from pathlib import Path

from medfl.hub.queue import Queue


def test_first_come_first_served_and_nothing_is_forgotten(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue")
    assert queue.waiting() == []
    for execution in ("bb", "aa", "cc"):
        queue.add(execution, "study")
    queue.add("aa", "study")
    assert Queue(tmp_path / "queue").waiting() == ["bb", "aa", "cc"]
    queue.done("aa")
    queue.done("aa")
    assert queue.waiting() == ["bb", "cc"]
    (tmp_path / "queue" / ".half.draft").touch()
    (tmp_path / "queue" / "notes").touch()
    assert queue.waiting() == ["bb", "cc"]


def test_it_is_known_whether_a_round_was_finished_meanwhile(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue")
    queue.add("aa", "study")
    queue.add("bb", "study")
    before, other = queue.moved("aa"), queue.moved("bb")
    queue.went_on("aa")
    assert queue.moved("aa") > before
    assert queue.moved("bb") == other
    queue.done("aa")
    queue.went_on("aa")
    assert queue.moved("aa") == 0
    assert queue.waiting() == ["bb"]
