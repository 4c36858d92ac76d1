"""What a hub has taken on and not finished."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from medfl.errors import NotFoundError, PlanError
from medfl.hub.queue import Entry, Queue


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


def test_the_order_is_changed_by_hand_and_what_is_known_stays(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue")
    queue.add("aa", "first", by="ada")
    queue.add("bb", "second", by="grace", not_before=5.0)
    queue.add("cc", "third")
    moved = queue.moved("bb")
    queue.move("bb", up=True)
    assert queue.waiting() == ["bb", "aa", "cc"]
    queue.move("bb", up=True)
    assert queue.waiting() == ["bb", "aa", "cc"], "it is the first already"
    queue.move("bb", up=False)
    queue.move("bb", up=False)
    assert queue.waiting() == ["aa", "cc", "bb"]
    first, _, last = queue.entries()
    assert (first.study, first.by) == ("first", "ada")
    assert (last.study, last.by, last.not_before, queue.moved("bb")) == ("second", "grace", 5.0, moved)
    with pytest.raises(NotFoundError, match="does not wait"):
        queue.move("dd", up=True)


def test_it_is_put_off_and_that_outlives_a_restart(tmp_path: Path) -> None:
    queue, later = Queue(tmp_path / "queue"), time.time() + 3600
    queue.add("aa", "first", by="ada")
    (before,), moved = queue.entries(), queue.moved("aa")
    queue.put_off("aa", later)
    (entry,) = Queue(tmp_path / "queue").entries()
    assert entry == Entry("aa", "first", "ada", later, before.since)
    assert queue.moved("aa") == moved
    with pytest.raises(PlanError, match="a year"):
        queue.put_off("aa", time.time() + 400 * 86400)
    with pytest.raises(NotFoundError):
        queue.put_off("bb", later)


def test_files_of_an_older_hub_and_files_that_say_nothing_are_read(tmp_path: Path) -> None:
    (tmp_path / f"{1:020}-aa").write_text('{"study": "old"}')
    (tmp_path / f"{2:020}-bb").write_text("")
    (tmp_path / f"{3:020}-cc").write_text('{"not_before": []}')
    assert Queue(tmp_path).entries() == [Entry("aa", "old"), Entry("bb"), Entry("cc")]
