# ruff: noqa: D102 - a test's name says what it holds
"""What every journal must hold to, as tests: subclass it, say how to open yours, and let pytest collect the class."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby

from medfl.events import Event, Noticed, RoundStarted, SiteAnswered, to_json
from medfl.store.journal import Journal
from medfl.testing import story


class JournalContract:
    """Tests of one journal; each test starts with an empty one."""

    @abstractmethod
    def journal(self) -> Journal:
        """Return the journal under test; each call opens it anew, as another process would."""

    def test_an_empty_journal_has_nothing(self) -> None:
        journal = self.journal()
        journal.append([])
        assert list(journal.read()) == []
        assert list(journal.runs()) == []

    def test_a_whole_execution_comes_back_in_order(self) -> None:
        events = story.execution()
        journal = self.journal()
        journal.append(events[:100])
        journal.append(events[100:])
        recorded = list(self.journal().read())
        assert plain(entry.event for entry in recorded) == plain(events)
        places = [entry.seq for entry in recorded]
        assert places == sorted(set(places))
        assert places[0] >= 1

    def test_events_are_dated_in_utc(self) -> None:
        journal = self.journal()
        before = datetime.now(UTC).replace(microsecond=0)
        journal.append(notices("a", 1))
        at = datetime.fromisoformat(next(journal.read()).at)
        assert at.utcoffset() is not None
        assert before <= at <= datetime.now(UTC)

    def test_a_cursor_gives_only_what_is_new(self) -> None:
        journal = self.journal()
        journal.append(notices("a", 3))
        last = [entry.seq for entry in journal.read()][-1]
        assert list(journal.read(last + 1)) == []
        journal.append(notices("b", 2))
        assert [entry.event.run for entry in journal.read(last + 1)] == ["b", "b"]

    def test_more_events_than_anyone_reads_at_once(self) -> None:
        journal = self.journal()
        events = notices("a", 2_345)
        journal.append(events)
        assert plain(entry.event for entry in journal.read()) == plain(events)

    def test_one_run_and_some_kinds(self) -> None:
        journal = self.journal()
        started = [RoundStarted(run=run, round=1, sites=("north",)) for run in ("a", "b")]
        journal.append([*notices("a", 2), *started, *notices("b", 1)])
        assert [type(entry.event) for entry in journal.read(run="a")] == [Noticed, Noticed, RoundStarted]
        assert [entry.event.run for entry in journal.read(kinds=["RoundStarted"])] == ["a", "b"]
        assert [entry.event for entry in journal.read(0, "b", kinds=["RoundStarted"])] == [started[1]]
        assert list(journal.read(run="none")) == []

    def test_runs_are_listed_the_one_planned_last_first(self) -> None:
        journal = self.journal()
        plans = list(story.plans(story.study(), name="x"))
        journal.append([*plans[:2], *notices(plans[0].run, 2)])
        journal.append(plans[2:3])
        assert list(journal.runs()) == [plans[2].run, plans[1].run, plans[0].run]

    def test_an_append_is_all_or_nothing(self) -> None:
        journal = self.journal()

        def failing() -> Iterator[Event]:
            yield from notices("a", 2)
            raise Stopped

        with suppress(Stopped):
            journal.append(failing())
        assert list(journal.read()) == []

    def test_what_one_writes_another_reads_at_once(self) -> None:
        writer, reader = self.journal(), self.journal()
        for number in range(1, 4):
            writer.append(notices("a", 1))
            assert len(list(reader.read())) == number

    def test_reading_holds_up_no_writer(self) -> None:
        journal = self.journal()
        journal.append(notices("a", 3))
        reading = journal.read()
        next(reading)
        self.journal().append(notices("b", 1))
        assert [entry.event.run for entry in reading][:2] == ["a", "a"]

    def test_a_number_that_is_not_finite_comes_back_as_none(self) -> None:
        journal = self.journal()
        journal.append(
            [SiteAnswered(run="a", round=1, site="north", seconds=1.0, received=1, sent=1, loss=float("nan"))]
        )
        event = next(journal.read()).event
        assert isinstance(event, SiteAnswered)
        assert event.loss is None

    def test_any_text_comes_back(self) -> None:
        journal = self.journal()
        text = "ε ≤ 1 'quoted' \"twice\" \\ \n \x00 \N{HOSPITAL} %s :name ?"
        journal.append([Noticed(run="ünï-1", text=text, site="Łódź")])
        assert [entry.event for entry in journal.read(run="ünï-1")] == [Noticed(run="ünï-1", text=text, site="Łódź")]

    def test_writers_at_once_lose_nothing_and_a_reader_skips_nothing(self) -> None:
        writers, batches, size = 4, 15, 3

        def write(name: str) -> None:
            journal = self.journal()
            for _ in range(batches):
                journal.append(notices(name, size))

        names = [f"writer-{number}" for number in range(writers)]
        with ThreadPoolExecutor(writers) as pool:
            pending = [pool.submit(write, name) for name in names]
            seen = list(followed(self.journal(), until=lambda: all(future.done() for future in pending)))
            for future in pending:
                future.result()
        assert {name: seen.count(name) for name in names} == dict.fromkeys(names, batches * size)
        together = [(name, len(list(group))) for name, group in groupby(seen)]
        assert all(length % size == 0 for _, length in together)


class Stopped(Exception):  # noqa: N818 - a signal, not an error
    """Stops an append from inside."""


def notices(run: str, count: int) -> list[Event]:
    """Return small events of one run."""
    return [Noticed(run=run, text=f"number {number}") for number in range(count)]


def plain(events: Iterable[Event]) -> Sequence[str]:
    """Return events as text to compare: JSON does not tell a tuple from a list."""
    return [f"{type(event).__name__} {event.run} {json.dumps(to_json(event), sort_keys=True)}" for event in events]


def followed(journal: Journal, *, until: Callable[[], bool]) -> Iterator[str]:
    """Yield the run of each event as a reader sees it who follows a journal while others write."""
    start, done = 0, False
    while not done:
        done = until()
        for entry in journal.read(start):
            yield entry.event.run
            start = entry.seq + 1
