"""What a watch knows of a journal that grows is what reading it from its beginning says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medfl.events import RunStopped
from medfl.store.home import Home
from medfl.store.shelf import whole_run
from medfl.store.watching import Watch
from medfl.testing import story


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path) as opened:
        yield opened


def test_each_look_says_what_reading_all_would(home: Home) -> None:
    plans = list(story.plans(story.study(repeats=1), name="x"))[:2]
    events = [*plans, *story.run(plans[0]), *story.beginning(plans[1]), *story.one_round(plans[1], 1)]
    watch = Watch(home)
    assert watch.look() == []
    for event in events:
        home.journal.append([event])
        for view in watch.look():
            assert view == whole_run(home, view.run)
    assert [view.run for view in watch.look()] == [plans[1].run, plans[0].run]


def test_one_that_begins_late_knows_as_much(home: Home) -> None:
    first, second = list(story.plans(story.study(repeats=1), name="x"))[:2]
    home.journal.append([first, second, *story.run(first), *story.beginning(second), *story.one_round(second, 1)])
    watch = Watch(home)
    home.journal.append([*story.one_round(second, 2), RunStopped(run=second.run)])
    later, earlier = watch.look()
    assert later == whole_run(home, second.run)
    assert (later.status, later.rounds) == ("stopped", 2)
    assert (earlier.run, earlier.status, earlier.rounds) == (first.run, "finished", 5)


def test_nothing_is_read_twice(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    (plan, *_) = story.plans(story.study(repeats=1), name="x")
    home.journal.append([plan, *story.beginning(plan)])
    watch = Watch(home)
    watch.look()
    home.journal.append(story.one_round(plan, 1))
    read, seen = home.journal.read, list[int]()

    def counted(start: int = 0) -> Iterator[object]:
        for recorded in read(start):
            seen.append(recorded.seq)
            yield recorded

    monkeypatch.setattr(home.journal, "read", counted)
    watch.look()
    watch.look()
    assert len(seen) == len(story.one_round(plan, 1))
