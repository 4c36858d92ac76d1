"""Every journal holds to the contract: SQLite and a real PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medfl.events import KINDS, Event, Noticed
from medfl.store.journal import Journal
from medfl.store.sql import SqlJournal
from medfl.testing.journal_contract import JournalContract, plain

WRITER = """
import sys
from itertools import count
from medfl.events import Noticed
from medfl.store.sql import SqlJournal

place, name, size, batches = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
journal = SqlJournal.open(place)
for number in count() if batches == 0 else range(batches):
    journal.append([Noticed(run=name, text=f"{number} {part}") for part in range(size)])
    print(number, flush=True)
"""


TWICE = """
import sys
from medfl.events import Noticed
from medfl.store.sql import SqlJournal

place = sys.argv[1]
journal = SqlJournal.open(place)
journal.append([Noticed(run="a", text="before")])
list(SqlJournal.open(place).read())
for _ in sys.stdin:
    journal.append([Noticed(run="a", text="after")])
    print("appended", flush=True)
"""


class SqlContract(JournalContract):
    """What holds for any database: more than one process, and one that is killed."""

    place: str

    @pytest.fixture(autouse=True)
    def _closed_in_the_end(self) -> Iterator[None]:
        with ExitStack() as self.stack:
            yield

    def journal(self) -> Journal:
        return self.stack.enter_context(SqlJournal.open(self.place))

    def test_two_processes_append_at_once(self) -> None:
        names, batches, size = ("first", "second"), 25, 4
        writers = [self.writer(name, size, batches) for name in names]
        for writer in writers:
            _, said = writer.communicate(timeout=60)
            assert writer.returncode == 0, said
        texts = [f"{number} {part}" for number in range(batches) for part in range(size)]
        for name in names:
            events = [entry.event for entry in self.journal().read(run=name)]
            assert [event.text for event in events if isinstance(event, Noticed)] == texts

    def test_who_opens_it_twice_loses_nothing_to_who_looks_at_it_meanwhile(self) -> None:
        """SQLite's log must not be taken for one that nobody uses any more."""
        command = [sys.executable, "-c", TWICE, self.place]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as twice:
            try:
                assert twice.stdin is not None
                assert twice.stdout is not None
                for _ in range(3):
                    twice.stdin.write("\n")
                    twice.stdin.flush()
                    assert twice.stdout.readline() == "appended\n"
                    with SqlJournal.open(self.place) as looking:
                        list(looking.read())
            finally:
                os.kill(twice.pid, signal.SIGKILL)
        events = [entry.event for entry in self.journal().read()]
        assert [event.text for event in events if isinstance(event, Noticed)] == ["before", *["after"] * 3]

    def test_what_was_acknowledged_survives_a_kill(self) -> None:
        acknowledged = -1
        for attempt, lines in enumerate((1, 20, 3), start=1):
            writer = self.writer(f"killed-{attempt}", 5, 0)
            assert writer.stdout is not None
            for _ in range(lines):
                acknowledged = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
            acknowledged = max([acknowledged, *(int(line) for line in writer.stdout.read().splitlines() if line)])
            writer.communicate()
            events = [entry.event for entry in self.journal().read(run=f"killed-{attempt}")]
            assert len(events) % 5 == 0, "an append is all or nothing"
            assert len(events) >= 5 * (acknowledged + 1)
            self.journal().append([Noticed(run="after", text="the journal goes on")])

    def writer(self, name: str, size: int, batches: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WRITER, self.place, name, str(size), str(batches)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class TestSqlite(SqlContract):
    @pytest.fixture(autouse=True)
    def _in_a_file(self, tmp_path: Path) -> None:
        self.place = str(tmp_path / "journal.db")


class TestSqliteByUrl(SqlContract):
    @pytest.fixture(autouse=True)
    def _in_a_file(self, tmp_path: Path) -> None:
        self.place = f"sqlite:///{tmp_path / 'journal.db'}"


class TestPostgres(SqlContract):
    @pytest.fixture(autouse=True)
    def _on_a_server(self, postgres: str) -> None:
        self.place = postgres


finite = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | finite | text
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3))
objects = st.dictionaries(text, values, max_size=3)
metrics = st.dictionaries(text, st.none() | finite, max_size=3)
FIELDS: dict[str, st.SearchStrategy[object]] = {
    "run": st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20),
    "role": st.sampled_from(["arm", "centralised", "local-only"]),
    "versions": st.dictionaries(text, text, max_size=3),
    "sites": st.lists(text, max_size=3).map(tuple),
    "agreement": objects,
    "recipe": objects,
    "explained": st.lists(text, max_size=3).map(tuple),
    "pooled": metrics,
    "final": st.booleans(),
    "pooled_intervals": st.none() | st.dictionaries(text, st.tuples(finite, finite), max_size=2),
    "site_intervals": st.none() | st.dictionaries(text, st.dictionaries(text, st.tuples(finite, finite)), max_size=2),
    "curves": st.none() | objects,
    "seconds": finite,
    "loss": st.none() | finite,
}
NUMBERS = ("seed", "round", "rounds", "after_round", "received", "sent")
MAPPED = ("DataDescribed", "DataPrepared", "Evaluated")


def events_of(kind: type[Event]) -> st.SearchStrategy[Event]:
    fields = {name: _field(kind, name) for name in kind.__dataclass_fields__}
    return st.builds(kind, **fields)


def _field(kind: type[Event], name: str) -> st.SearchStrategy[object]:
    if name == "sites" and kind.__name__ in MAPPED:
        return st.dictionaries(text, metrics if kind.__name__ == "Evaluated" else objects, max_size=3)
    return FIELDS.get(name, st.integers(-(2**62), 2**62) if name in NUMBERS else text)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlJournal]:
    with SqlJournal.open(tmp_path_factory.mktemp("any") / "journal.db") as opened:
        yield opened


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_kind_of_event_comes_back(journal: SqlJournal, kind: type[Event], data: st.DataObject) -> None:
    events = data.draw(st.lists(events_of(kind), min_size=1, max_size=3))
    last = max((entry.seq for entry in journal.read(kinds=[kind.__name__])), default=0)
    journal.append(events)
    assert plain(entry.event for entry in journal.read(last + 1, kinds=[kind.__name__])) == plain(events)
