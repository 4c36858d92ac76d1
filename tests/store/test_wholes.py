"""What is remembered of an execution is what reading it from its beginning says, and each entry is read once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from medfl.errors import NotFoundError
from medfl.events import Event, RunPlanned
from medfl.store.home import Home
from medfl.store.journal import Journal, Recorded
from medfl.store.shelf import whole_execution
from medfl.store.wholes import Wholes
from medfl.testing import story


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path) as opened:
        yield opened


def events(execution: str) -> list[Event]:
    """Return two runs of an execution, the second of which has begun."""
    plans = list(story.plans(story.study(repeats=1), name="x"))[:2]
    told = [*plans, *story.run(plans[0]), *story.beginning(plans[1]), *story.one_round(plans[1], 1)]
    names = {plan.run: f"{execution}-{number}" for number, plan in enumerate(plans, 1)}
    renamed = [replace(one, run=names[one.run]) for one in told]
    return [replace(one, execution=execution) if isinstance(one, RunPlanned) else one for one in renamed]


def test_each_time_it_says_what_reading_all_would(home: Home) -> None:
    whole = Wholes(home)
    first, *more = events("aaaaaaaa")
    home.journal.append([first])
    before = whole("aaaaaaaa")
    for event in more:
        home.journal.append([event])
        assert whole("aaaaaaaa") == whole_execution(home, "aaaaaaaa")
        assert [one.event for one in whole.events("aaaaaaaa")] == [one.event for one in home.journal.read()]
    assert before.every[0].status == "planned", "what somebody has does not change under their hands"
    assert len(before.every) == 1


def test_a_run_that_is_worked_on_is_seen_to_be(home: Home) -> None:
    home.journal.append(events("aaaaaaaa"))
    whole = Wholes(home)
    run = whole("aaaaaaaa").every[1].run
    assert whole("aaaaaaaa").every[1].status == "interrupted"
    with home.lock(run):
        assert whole("aaaaaaaa").every[1].status == "running"


def test_what_is_not_there_is_not_remembered(home: Home) -> None:
    whole = Wholes(home)
    for ask in (whole, whole.events):
        with pytest.raises(NotFoundError, match="no such execution"):
            ask("aaaaaaaa")


class Counting:
    """A journal that counts what is read of whole runs."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.count = journal, 0

    def append(self, events: Sequence[Event]) -> None:
        self.journal.append(events)

    def read(self, start: int = 0, run: str | None = None, *, kinds: Collection[str] = ()) -> Iterator[Recorded]:
        for recorded in self.journal.read(start, run, kinds=kinds):
            self.count += not kinds
            yield recorded

    def runs(self) -> Sequence[str]:
        return self.journal.runs()


def test_each_entry_is_read_once_as_long_as_it_is_remembered(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = events("aaaaaaaa"), events("bbbbbbbb")
    home.journal.append([*a, *b])
    counting = Counting(home.journal)
    monkeypatch.setattr(home, "journal", counting)
    whole = Wholes(home, most=len(a) + len(b) - 1)
    for expected in (len(a), len(a), len(a)):
        whole("aaaaaaaa")
        assert counting.count == expected
    whole("bbbbbbbb")
    whole("bbbbbbbb")
    assert counting.count == len(a) + len(b)
    whole("aaaaaaaa")
    assert counting.count == 2 * len(a) + len(b), "the one asked for longest ago was forgotten"
    tiny = Wholes(home, most=1)
    counting.count = 0
    tiny("aaaaaaaa")
    tiny("aaaaaaaa")
    assert counting.count == len(a), "what is asked for just now is remembered, however large it is"
