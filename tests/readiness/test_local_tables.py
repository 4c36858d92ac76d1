"""Tables of this machine are looked at once until they change; what does not fit is said by the command line too."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from medfl import local_tables
from medfl.learn.data.delimited import Writing
from medfl.learn.data.tables import read_and_tell
from medfl.local_tables import LocalTables
from medfl.spec.data import Data
from medfl.testing.command import typed

FILES = Data(target="sick", sites={"east": "east.csv", "north": "north.csv", "west": "west.csv"})


def test_columns_ranges_codes_and_counts_are_seen(tiny: Path) -> None:
    known = LocalTables(tiny.parent)(FILES)
    east = known.tables["east"]
    assert (east.every, east.rows) == (("age", "dose", "colour", "sick"), 60)
    assert east.columns["colour"].categories == ("amber", "blue", "clear")
    assert sum(east.columns["sick"].counts.values()) == 60
    assert east.columns["age"].minimum == pd.read_csv(tiny.parent / "east.csv")["age"].min()
    assert known.unread == {}
    assert not known.dealt


def test_few_rows_of_a_category_are_not_counted(tiny: Path) -> None:
    frame = pd.read_csv(tiny.parent / "east.csv")
    frame.loc[:2, "colour"] = "violet"
    frame.to_csv(tiny.parent / "east.csv", index=False)
    colour = LocalTables(tiny.parent)(FILES).tables["east"].columns["colour"]
    assert "violet" in colour.categories
    assert "violet" not in colour.counts


def test_a_table_is_read_again_only_once_it_has_changed(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(path: Path, **how: object) -> tuple[pd.DataFrame, Writing]:
        read.append(path.name)
        return read_and_tell(path, **how)  # type: ignore[arg-type]

    monkeypatch.setattr("medfl.local_tables.read_and_tell", counted)
    looks = LocalTables(tiny.parent)
    assert looks(FILES) == looks(FILES)
    assert sorted(read) == ["east.csv", "north.csv", "west.csv"]
    changed = tiny.parent / "west.csv"
    pd.read_csv(changed).drop(columns="dose").to_csv(changed, index=False)
    os.utime(changed, ns=(1, 1))
    assert "dose" not in looks(FILES).tables["west"].columns
    assert read[3:] == ["west.csv"]


def test_a_file_that_is_not_there_or_too_large_is_said_and_the_others_are_seen(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tiny.parent / "west.csv").unlink()
    known = LocalTables(tiny.parent)(FILES)
    assert sorted(known.tables) == ["east", "north"]
    assert "no such file" in known.unread["west"].what
    monkeypatch.setattr(local_tables, "LARGEST", 10)
    assert "too large" in LocalTables(tiny.parent)(FILES).unread["east"].what


def test_a_table_that_is_dealt_out_is_one(tiny: Path) -> None:
    looks = LocalTables(tiny.parent)
    known = looks(Data.model_validate({"target": "sick", "simulate": {"table": "east.csv", "sites": 3}}))
    assert known.dealt
    assert [*known.tables] == ["east.csv"]


def test_what_no_study_can_use_says_why(tiny: Path) -> None:
    frame = pd.read_csv(tiny.parent / "east.csv").assign(name=[f"patient {row}" for row in range(60)])
    frame.to_csv(tiny.parent / "east.csv", index=False)
    seen = LocalTables(tiny.parent)(FILES).tables["east"].columns["name"]
    assert "identifier or free text" in seen.wrong
    assert "patient 1" not in seen.wrong


def renamed(tiny: Path) -> None:
    frame = pd.read_csv(tiny.parent / "west.csv").rename(columns={"colour": "COLOUR"})
    frame.to_csv(tiny.parent / "west.csv", index=False)


def test_check_says_what_would_repair_it_and_then_that_it_is_repaired(tiny: Path) -> None:
    renamed(tiny)
    said = typed("check", tiny)
    assert said.code == 2
    line = 'colour = { called = "COLOUR" }'
    assert f"write in [data.harmonise.west.columns]: {line}" in said.err
    with tiny.open("a", encoding="utf-8") as text:
        text.write(f"\n[data.harmonise.west.columns]\n{line}\n")
    said = typed("check", tiny)
    assert said.code == 0, said.err
    assert "At west, colour is read from COLOUR" in said.out


def test_check_says_what_is_doubtful_and_lets_the_study_run(edited: Callable[..., Path]) -> None:
    tiny = edited()
    frame = pd.read_csv(tiny.parent / "west.csv")
    frame.assign(age=frame["age"] * 12).to_csv(tiny.parent / "west.csv", index=False)
    said = typed("check", tiny)
    assert said.code == 0
    assert "What may not fit together" in said.out
    assert "as months is to years" in " ".join(said.out.split())
