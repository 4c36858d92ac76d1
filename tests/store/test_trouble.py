"""What a broken, full, locked or foreign store says: what, where, and what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from filelock import FileLock

from medfl.errors import MissingExtraError, NotFoundError, StoreError
from medfl.events import Noticed
from medfl.store import sql
from medfl.store.sql import SqlJournal
from medfl.store.trouble import no_access
from medfl.testing.journal_contract import notices


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[SqlJournal]:
    with SqlJournal.open(path, patience=0.2) as opened:
        opened.append(notices("a", 3))
        yield opened


def refused(
    error: pytest.ExceptionInfo[StoreError] | pytest.ExceptionInfo[NotFoundError], what: str, remedy: str
) -> None:
    complaint = error.value.complaints[0]
    assert what in complaint.what
    assert remedy in complaint.remedy
    assert complaint.where


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_text("age,sex\n63,1\n" * 1000)
    with pytest.raises(StoreError) as error:
        SqlJournal.open(path)
    refused(error, "corrupted", "backup")
    assert str(path) in str(error.value)
    assert "63" not in str(error.value)


def test_a_journal_damaged_in_its_middle(path: Path) -> None:
    with SqlJournal.open(path) as journal:
        journal.append(notices("a", 2000))
    body = bytearray(path.read_bytes())
    body[len(body) // 2 :] = b"\xa5" * (len(body) - len(body) // 2)
    path.write_bytes(body)
    with SqlJournal.open(path) as journal, pytest.raises(StoreError) as error:
        list(journal.read())
    refused(error, "corrupted", ".recover")


def test_an_event_that_something_else_wrote(path: Path, journal: SqlJournal) -> None:
    changed(path, "update events set body = '{\"text\": ' where seq = 2")
    with pytest.raises(StoreError, match="cannot be read") as error:
        list(journal.read())
    refused(error, "cannot be read", "backup")
    assert "event 2" in error.value.complaints[0].where


@pytest.mark.parametrize("body", ["[]", "3", "{}"])
def test_an_event_without_its_fields(path: Path, journal: SqlJournal, body: str) -> None:
    changed(path, f"update events set body = '{body}'")
    with pytest.raises(StoreError, match="cannot be read"):
        list(journal.read())


def test_kinds_and_fields_of_a_newer_version_are_passed_over(path: Path, journal: SqlJournal) -> None:
    changed(path, "insert into events (run, at, kind, body) values ('a', 'now', 'SiteSang', '{\"song\": 1}')")
    changed(path, 'update events set body = \'{"text": "x", "mood": 3}\' where seq = 3')
    assert [entry.event for entry in journal.read(3)] == [Noticed(run="a", text="x")]


def test_a_page_of_unknown_kinds_does_not_end_the_reading(path: Path, journal: SqlJournal) -> None:
    row = "('a', 'now', 'SiteSang', '{}')"
    changed(path, f"insert into events (run, at, kind, body) values {', '.join([row] * (sql.PAGE + 5))}")
    journal.append(notices("b", 1))
    assert [entry.event.run for entry in journal.read()] == ["a", "a", "a", "b"]


def test_a_journal_of_a_newer_version(path: Path, journal: SqlJournal) -> None:
    journal.close()
    changed(path, "update meta set schema = 99")
    with pytest.raises(StoreError) as error:
        SqlJournal.open(path)
    refused(error, "newer version", "pip install --upgrade medfl")
    assert "99" in str(error.value)


def test_a_locked_journal(path: Path, journal: SqlJournal) -> None:
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreError) as error:
            journal.append(notices("b", 1))
        refused(error, "locked", "fuser")
        assert len(list(journal.read())) == 3, "reading goes on"
    finally:
        holder.close()
    journal.append(notices("b", 1))


def test_a_locked_table_in_postgres(postgres: str) -> None:
    import psycopg

    with SqlJournal.open(postgres, patience=0.2) as journal, psycopg.connect(postgres) as holder:
        holder.execute("LOCK TABLE events IN EXCLUSIVE MODE")
        with pytest.raises(StoreError, match="locked"):
            journal.append(notices("b", 1))
        holder.rollback()
        journal.append(notices("b", 1))


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError) as error:
        SqlJournal.open(f"postgresql://someone:secret@/nowhere?host={tmp_path}", patience=0.2)
    refused(error, "cannot be reached", "MEDFL_JOURNAL")
    assert "secret" not in str(error.value)


def test_postgres_without_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError) as error:
        SqlJournal.open("postgresql://someone@localhost/journal")
    assert "pip install 'medfl[postgres]'" in str(error.value)


@pytest.mark.parametrize(
    "place", ["mysql://x/y", "nonsense://", "://", "sqlite://", "sqlite:///:memory:", "http://a b"]
)
def test_an_address_that_is_none(place: str) -> None:
    with pytest.raises(NotFoundError) as error:
        SqlJournal.open(place)
    refused(error, "address", "postgresql://")


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as error:
        SqlJournal.open(tmp_path)
    refused(error, "cannot be written to", "permissions")


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as error:
        SqlJournal.open(tmp_path / "file" / "journal.db")
    refused(error, "cannot be written to", "--home")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError) as error:
        SqlJournal.open(tmp_path / "journal.db")
    refused(error, "cannot be written to", "permissions")


@pytest.mark.parametrize(
    ("number", "what"),
    [(errno.ENOSPC, "no room"), (errno.EDQUOT, "no room"), (errno.EROFS, "cannot be written"), (errno.EIO, "failed")],
)
def test_what_the_system_says(number: int, what: str) -> None:
    error = no_access(OSError(number, os.strerror(number)), Path("/somewhere"))
    assert what in error.complaints[0].what
    assert error.complaints[0].received == os.strerror(number)


FULL_JOURNAL = """
import resource, sys
from medfl.errors import StoreError
from medfl.store.sql import SqlJournal
from medfl.testing.journal_contract import notices

resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
journal = SqlJournal.open(sys.argv[1])
for number in range(10_000):
    try:
        journal.append(notices("full", 10))
    except StoreError as error:
        print(number, error)
        break
"""


def test_a_full_disk_keeps_what_was_acknowledged(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_JOURNAL, str(path)], capture_output=True, text=True, check=True)
    number, _, said = done.stdout.partition(" ")
    assert "no room left" in said
    assert str(path) in said
    assert "medfl resume" in said
    with SqlJournal.open(path) as journal:
        assert len(list(journal.read(run="full"))) == 10 * int(number)
        journal.append(notices("after", 1))


def test_only_the_owner_reads_it(path: Path, journal: SqlJournal) -> None:
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()} == {
        "journal.db": "0o600",
        "journal.db-wal": "0o600",
        "journal.db-shm": "0o600",
        "journal.db.lock": "0o600",
    }


def test_what_is_acknowledged_is_on_the_disk(journal: SqlJournal) -> None:
    with journal._engine.connect() as connection:
        settings = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert settings == ["wal", 2]


def test_eight_processes_make_one_journal(path: Path) -> None:
    command = "import sys; from medfl.store.sql import SqlJournal; SqlJournal.open(sys.argv[1]).close()"
    makers = [subprocess.Popen([sys.executable, "-c", command, str(path)]) for _ in range(8)]
    assert [maker.wait(60) for maker in makers] == [0] * 8


def test_opening_waits_for_whoever_sets_the_file_up(path: Path) -> None:
    """SQLite does not wait to change a file to WAL that another has just begun to read: it fails at once."""
    other = sqlite3.connect(path, isolation_level=None)
    with ThreadPoolExecutor(1) as pool:
        with FileLock(f"{path}.lock"):
            other.execute("CREATE TABLE any (thing)")
            other.execute("BEGIN")
            other.execute("SELECT * FROM any").fetchall()
            opening = pool.submit(SqlJournal.open, path)
            assert wait([opening], timeout=0.3).not_done, opening.exception()
            other.close()
        opening.result(timeout=30).close()


def test_a_file_that_is_set_up_for_ever(path: Path) -> None:
    with FileLock(f"{path}.lock"), pytest.raises(StoreError) as error:
        SqlJournal.open(path, patience=0.1)
    refused(error, "locked", "fuser")


def changed(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()
