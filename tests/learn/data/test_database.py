"""A query over a database as a table: what is read, what is never changed, what is never shown."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from medfl.errors import DataError, MissingExtraError
from medfl.learn.data.cells import Numbers, read
from medfl.learn.data.database import is_url, read_query, with_password, without_password


@pytest.fixture
def ward(tmp_path: Path) -> str:
    """Return the URL of a database with one table."""
    with closing(sqlite3.connect(tmp_path / "ward.db")) as file:
        file.execute("CREATE TABLE stays (age REAL, sex TEXT, taken TEXT, sick INTEGER)")
        file.executemany("INSERT INTO stays VALUES (?, ?, '12:30', ?)", [(61.5, "f", 1), (None, "m", 0), (70, None, 1)])
        file.commit()
    return f"sqlite:///{tmp_path}/ward.db"


def test_rows_come_with_names_types_and_empty_cells(ward: str) -> None:
    frame = read_query(ward, "SELECT age, sex, sick FROM stays ORDER BY rowid")
    expected = pd.DataFrame({"age": [61.5, None, 70.0], "sex": ["f", "m", None], "sick": [1, 0, 1]})
    pd.testing.assert_frame_equal(frame, expected, check_dtype=False)
    assert isinstance(read(frame["age"]), Numbers)


def test_a_query_is_taken_as_it_stands(ward: str) -> None:
    """Colons and per cent signs are no parameters."""
    frame = read_query(
        ward, "WITH old AS (SELECT * FROM stays) SELECT sick FROM old WHERE taken = '12:30' OR sex LIKE 'f%'"
    )
    assert len(frame) == 3


@pytest.mark.parametrize("query", ["DELETE FROM stays", "  update stays set sick = 0", "", "DROP TABLE stays"])
def test_a_query_must_read(ward: str, query: str) -> None:
    with pytest.raises(DataError, match=r"must read\n  → begin it with SELECT or WITH"):
        read_query(ward, query)


def test_what_writes_all_the_same_changes_nothing(ward: str) -> None:
    with pytest.raises(DataError, match="the query does not work"):
        read_query(ward, "WITH old AS (SELECT 1) DELETE FROM stays")
    assert len(read_query(ward, "SELECT * FROM stays")) == 3


def test_what_the_database_says_is_a_note_and_no_part_of_the_error(ward: str) -> None:
    with pytest.raises(DataError) as error:
        read_query(ward, "SELECT Zebediah FROM stays")
    assert "Zebediah" not in str(error.value)
    assert error.value.__notes__ == ["The database says: no such column: Zebediah"]


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such database file"):
        read_query(f"sqlite:///{tmp_path}/wart.db", "SELECT 1")
    assert not (tmp_path / "wart.db").exists()


@pytest.mark.parametrize(
    ("url", "kind", "what"),
    [
        ("nothing://reader:geheim@host/x", DataError, "no such kind of database"),
        ("postgresql+psycopg://reader:geheim@127.0.0.1:1/x", DataError, "cannot be reached"),
        ("mysql+nodriver://reader:geheim@127.0.0.1:1/x", DataError, "no such kind of database"),
        ("postgresql://reader:geheim@host:port/x", DataError, "not a database's URL"),
    ],
)
def test_errors_show_no_password(url: str, kind: type[Exception], what: str) -> None:
    if "psycopg" in url:
        pytest.importorskip("psycopg")
    with pytest.raises(kind, match=what) as error:
        read_query(url, "SELECT 1")
    assert "geheim" not in str(error.value) + "".join(getattr(error.value, "__notes__", ()))


def test_a_driver_that_is_missing_is_named_with_the_line_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"needs psycopg, .*\n  → pip install 'medfl\[postgres\]'"):
        read_query("postgresql+psycopg://reader@127.0.0.1:1/x", "SELECT 1")


def test_passwords_are_put_in_and_taken_out() -> None:
    url = with_password("postgresql://reader@host/x", "p@ss/wo:rd")
    assert url == "postgresql://reader:p%40ss%2Fwo%3Ard@host/x"
    assert without_password(url) == "postgresql://reader:***@host/x"
    assert without_password("postgresql://reader:geheim@host:port/x") == "postgresql://***@host:port/x"


@pytest.mark.parametrize(("source", "is_one"), [("sqlite:///a.db", True), ("a.csv", False), ("C:\\a.csv", False)])
def test_urls_are_told_from_paths(source: str, is_one: bool) -> None:
    assert is_url(source) == is_one
