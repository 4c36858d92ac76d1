"""How a hub keeps the processes of its executions going: not too many, not for ever, and none is left behind."""

from __future__ import annotations

import logging
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from medfl import hosting
from medfl.hosting import AT_ONCE, _Work
from medfl.hub.place import HubPlace
from medfl.testing.hub import made


@pytest.fixture
def hub(tmp_path: Path) -> HubPlace:
    return made(tmp_path / "hub")


def process(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(words, stdin=subprocess.PIPE)


def test_some_run_side_by_side_and_the_others_wait(hub: HubPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Work, "_started", lambda self, execution: process("cat"))
    executions = [f"{number:08x}" for number in range(AT_ONCE + 2)]
    for execution in executions:
        hub.queue.add(execution, "study")
    work = _Work(hub)
    work.look()
    assert list(work.going) == executions[:AT_ONCE]
    hub.queue.done(executions[0])
    done = work.going[executions[0]]
    done.terminate()
    done.wait()
    work.look()
    assert list(work.going) == executions[1 : AT_ONCE + 1]
    left = list(work.going.values())
    work.end()
    assert all(one.poll() is not None for one in left)
    assert hub.queue.waiting() == executions[1:], "they go on when the hub is started again"


def test_what_fails_is_tried_again_more_slowly_and_not_for_ever(hub: HubPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    now, started = [0.0], []

    def start(self: _Work, execution: str) -> subprocess.Popen[bytes]:
        started.append(now[0])
        failing = process(sys.executable, "-c", "raise SystemExit(1)")
        failing.wait()
        return failing

    monkeypatch.setattr(_Work, "_started", start)
    monkeypatch.setattr(hosting, "monotonic", lambda: now[0])
    monkeypatch.setattr(hosting, "TRIES", 4)
    hub.queue.add("aa", "study")
    work = _Work(hub)
    for now[0] in range(100):
        work.look()
    pauses = [later - before for before, later in pairwise(started)]
    assert len(started) == 4
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1]
    assert hub.queue.waiting() == []


def test_who_finishes_a_round_between_is_not_given_up(hub: HubPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    now, started = [0.0], []

    def start(self: _Work, execution: str) -> subprocess.Popen[bytes]:
        started.append(now[0])
        if len(started) <= 6:
            hub.queue.went_on(execution)
        failing = process(sys.executable, "-c", "raise SystemExit(1)")
        failing.wait()
        return failing

    monkeypatch.setattr(_Work, "_started", start)
    monkeypatch.setattr(hosting, "monotonic", lambda: now[0])
    monkeypatch.setattr(hosting, "TRIES", 3)
    hub.queue.add("aa", "study")
    work = _Work(hub)
    for now[0] in range(60):
        work.look()
    assert len(started) == 6 + 2, "six that made progress, and two more: the sixth was the first of three failures"
    assert [later - before for before, later in pairwise(started)][:5] == [2] * 5
    assert hub.queue.waiting() == []


def test_nothing_is_begun_on_a_full_disk_and_it_is_told_once(
    hub: HubPlace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    free = [hosting.ROOM - 1]
    monkeypatch.setattr("medfl.hosting.shutil.disk_usage", lambda folder: SimpleNamespace(free=free[0]))
    monkeypatch.setattr(_Work, "_started", lambda self, execution: process("cat"))
    monkeypatch.setattr(logging.getLogger("medfl.hub"), "propagate", True)
    hub.queue.add("aa", "study")
    work = _Work(hub)
    for _ in range(3):
        work.look()
    assert not work.going
    assert work.tries == {}, "waiting for room is no failure"
    assert [record.getMessage().count("studies wait until there is room") for record in caplog.records] == [1]
    free[0] = hosting.ROOM
    work.look()
    assert list(work.going) == ["aa"]
    assert "there is room on the disk" in caplog.text
    work.end()
