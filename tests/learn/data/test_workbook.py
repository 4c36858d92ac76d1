"""An Excel sheet as a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pandas as pd
import pytest

from medfl.errors import DataError, MissingExtraError
from medfl.learn.data import workbook
from medfl.learn.data.tables import read_table

Sheets = Mapping[str, list[list[Any]]]


def book(path: Path, sheets: Sheets) -> Path:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    made = openpyxl.Workbook()
    made.remove(made.active)
    for title, rows in sheets.items():
        sheet = made.create_sheet(title)
        for row in rows:
            sheet.append(row)
    made.save(path)
    return path


STAYS: list[list[Any]] = [["age", " sick "], [61.5, 1], [None, None], [None, 0], [70, "?"]]


def test_a_sheet_is_read_like_a_file(tmp_path: Path) -> None:
    frame = read_table(book(tmp_path / "ward.xlsx", {"stays": STAYS, "empty": []}))
    pd.testing.assert_frame_equal(
        frame, pd.DataFrame({"age": [61.5, None, 70.0], "sick": [1, 0, "?"]}), check_dtype=False
    )


def test_one_of_several_sheets(tmp_path: Path) -> None:
    path = book(tmp_path / "ward.xlsx", {"notes": [["text"], ["hello"]], "stays": STAYS})
    assert list(read_table(path, sheet="stays").columns) == ["age", "sick"]
    with pytest.raises(DataError, match="several sheets: 'notes' and 'stays'"):
        read_table(path)
    with pytest.raises(DataError, match=r"(?s)no such sheet .*did you mean 'stays'"):
        read_table(path, sheet="stay")


def test_a_sheet_without_names(tmp_path: Path) -> None:
    path = book(tmp_path / "ward.xlsx", {"stays": STAYS[1:]})
    with pytest.raises(DataError, match="column 1 and 2 has no text there") as error:
        read_table(path)
    assert "61.5" not in str(error.value)
    assert list(read_table(path, columns=("age", "sick")).columns) == ["age", "sick"]
    with pytest.raises(DataError, match="has 1 names, the sheet has 2 columns"):
        read_table(path, columns=("age",))


def test_formulas_that_nobody_computed_are_refused_by_their_place(tmp_path: Path) -> None:
    """Read as empty cells they would pass for missing values."""
    path = book(tmp_path / "ward.xlsx", {"stays": [["age", "double"], [60, "=A2*2"], [61, 122]]})
    with pytest.raises(DataError, match="formulas of which no program has stored the results"):
        read_table(path)


@pytest.mark.parametrize("sheets", [{"a": []}, {"a": [["age", "sick"]]}])
def test_nothing_in_it(tmp_path: Path, sheets: Sheets) -> None:
    with pytest.raises(DataError, match=r"empty|no rows"):
        read_table(book(tmp_path / "ward.xlsx", sheets))


def test_no_workbook(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    (tmp_path / "ward.xlsx").write_bytes(b"age,sick\n1,2\n")
    with pytest.raises(DataError, match="not a readable workbook"):
        read_table(tmp_path / "ward.xlsx")


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    (tmp_path / "ward.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(MissingExtraError, match=r"pip install 'medfl\[excel\]', or save the table as CSV"):
        read_table(tmp_path / "ward.xlsx")


def test_a_workbook_that_unfolds_to_far_more_than_a_table_is_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "bomb.xlsx", {"stays": STAYS})
    with ZipFile(path, "a", ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("xl/media/nothing.bin", b"\0" * (workbook.PLAIN + 1))
    assert path.stat().st_size < 200_000
    with pytest.raises(DataError, match="unfolds to far more") as error:
        read_table(path)
    assert "save the table as CSV" in str(error.value)


def test_a_cell_far_to_the_right_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "CELLS", 40)
    wide = book(tmp_path / "wide.xlsx", {"stays": [["age", "sick"], [1, 0], [2, 1], [*[None] * 19, "x"]]})
    with pytest.raises(DataError, match="unfolds to far more"):
        read_table(wide)
    each = book(tmp_path / "each.xlsx", {"stays": [[*[None] * 19, "x"] for _ in range(3)]})
    with pytest.raises(DataError, match="more than 40 cells"):
        read_table(each)
