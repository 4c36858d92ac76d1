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
