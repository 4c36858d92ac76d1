"""Text tables as French and German programs write them: read like any other where that is sure, and never guessed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from medfl.errors import DataError
from medfl.learn.data.cells import is_number
from medfl.learn.data.delimited import Decimal, Writing
from medfl.learn.data.prints import prints_of
from medfl.learn.data.schema import described, infer
from medfl.learn.data.tables import read_and_tell, read_table
from medfl.spec.data import Data

PLAIN = "Größe,Gewicht,Fälle,Ort\n171.5,1.234,12,Köln\n168.25,0.5,,Nîmes\n,81.0,7,\n"
GERMAN = PLAIN.replace(",", ";").replace(".", ",")


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "table.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "windows-1252"])
def test_the_same_table_in_german_has_the_same_rows(tmp_path: Path, separator: str, encoding: str) -> None:
    plain = read_table(written(tmp_path, PLAIN))
    frame, how = read_and_tell(written(tmp_path, GERMAN.replace(";", separator).replace("\n", "\r\n"), encoding))
    assert_frame_equal(frame, plain, check_exact=True)
    assert (prints_of(frame) == prints_of(plain)).all()
    assert (how.separator, how.decimal) == (separator, ",")
    assert how.encoding == ("windows-1252" if encoding == "windows-1252" else "utf-8")


def test_what_was_found_is_told(tmp_path: Path) -> None:
    told = read_and_tell(written(tmp_path, GERMAN, "windows-1252"))[1].sentences
    assert told == (
        "Decimals have a comma, and semicolons separate cells: 12,5 is read as twelve and a half.",
        "Letters are coded as Windows-1252 (Latin-1), not as UTF-8: check names with accents.",
    )
    assert Writing().sentences == Writing(separator=";").sentences == ()


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("a;b\n1,234;x\n2,500;y\n", "a"),
        ("a\tb\n1,234\tx\n2,500\ty\n", "a"),
        ("a;b\n12,5;1.75\n3,25;1.5\n", "a"),
        ('a,b\n"12,5",x\n"3,25",y\n', "a"),
        ("a;b\n1.234,5;x\n2.500,25;y\n", "a"),
        ('a,b\n"1,234.5",x\n"2,500",y\n', "a"),
        ("a;b\n1 234;x\n12 500;y\n", "a"),
        ("a;b\n1\u202f234,5;x\n12\u00a0500;y\n", "a"),
        ("a;b\n1'234.5;x\n12'500;y\n", "a"),
        ("a;b\n12,5;x\nunter 3;y\n7,5;y\n", "a"),
    ],
    ids=[
        "thousands or decimals",
        "thousands or decimals, tabs",
        "commas and points in one file",
        "commas separate",
        "German thousands",
        "English thousands",
        "French thousands",
        "narrow spaces",
        "Swiss thousands",
        "text among them",
    ],
)
def test_what_could_be_read_otherwise_is_no_number_and_no_category(tmp_path: Path, text: str, column: str) -> None:
    frame = read_table(written(tmp_path, text))
    _, wrong = described(frame, Data(target="b"))
    assert [*wrong] == [column]
    codes = infer(frame, Data(target="b", categorical=("a",)))
    assert {one.name: one.kind for one in codes.columns}["a"] == "categorical"  # The way out where they are codes.


def test_the_complaints_say_how_to_write_them(tmp_path: Path) -> None:
    def said(text: str) -> str:
        return str(described(read_table(written(tmp_path, text)), Data(target="b"))[1]["a"])

    commas = said("a;b\n1,234;x\n2,500;y\n")
    assert "decimal commas: 2 of 2 values are not plain numbers" in commas
    assert 'decimal = "," in [data]' in commas
    thousands = said("a;b\n1.234,5;x\n2.500,25;y\n")
    assert "numbers with something between their thousands: 2 of 2 values are not plain numbers" in thousands
    assert "nothing between thousands" in thousands
    assert "text in a numeric column: 1 of 3 values are not numbers" in said("a;b\n12,5;x\nunter 3;y\n7,5;y\n")


@pytest.mark.parametrize(("decimal", "value"), [(",", 1.234), (".", None)])
def test_what_is_said_counts(tmp_path: Path, decimal: Decimal, value: float | None) -> None:
    frame, how = read_and_tell(written(tmp_path, "a;b\n1,234;x\n2,500;y\n"), decimal=decimal)
    assert how.decimal == decimal
    assert (frame["a"].dtype == np.float64) is (value is not None)
    if value is not None:
        assert frame["a"].tolist() == [value, 2.5]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("income\tlab\tage\n1,234\t13,5\t50\n999\t2,4\t60\n12,500\t1,2\t70\n", "'income'"),
        ("income;codes;lab\n1,234;1,3;12,5\n999;2,4;8,25\n12,500;1;9,75\n", "'income' and 'codes'"),
        ("platelets;crp\n250,000;1,05\n90,000;2\n", "'platelets'"),
        ("income;b\n1,234;1.234,5\n-12,500;2.345,25\n", "'income'"),
        ("lab;codes\n12,5;1,3\n8,25;1,12\n", "'codes'"),
    ],
    ids=["thousands", "thousands and codes", "only groups", "told by both signs", "codes of two digits"],
)
def test_thousands_and_codes_are_not_divided_because_another_column_has_decimals(
    tmp_path: Path, text: str, columns: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DataError, match="some columns have decimal commas") as found:
        read_table(path)
    (complaint,) = found.value.complaints
    assert f"column {columns};" in complaint.what
    assert 'say decimal = "," in [data]' in complaint.remedy
    assert 'decimal = "."' in complaint.remedy
    name = columns.partition("'")[2].partition("'")[0]
    assert read_table(path, decimal=",")[name].dtype == np.float64
    plain = pd.read_csv(path, sep=None, engine="python", dtype=str)
    assert read_table(path, decimal=".")[name].tolist() == plain[name].tolist(), "as they stand"


def test_lists_of_codes_alone_are_no_decimals_and_can_be_called_categories(tmp_path: Path) -> None:
    frame, how = read_and_tell(written(tmp_path, "age;symptoms\n50;1,3\n60;2,4\n70;1\n80;1,2\n"))
    assert how.decimal == "."
    assert frame["symptoms"].tolist() == ["1,3", "2,4", "1", "1,2"]
    _, wrong = described(frame, Data(target="age"))
    assert "list the column in data.categorical" in wrong["symptoms"].remedy


@pytest.mark.parametrize("values", [("7,35", "7,41"), ("1,3", "3,1"), ("1,3", "2,0"), ("0,9", "1,3"), ("-1,3", "2,5")])
def test_decimals_that_no_list_of_codes_has_are_read(tmp_path: Path, values: tuple[str, ...]) -> None:
    frame, how = read_and_tell(written(tmp_path, "a;b\n" + "".join(f"{value};x\n" for value in values)))
    assert how.decimal == ","
    assert frame["a"].tolist() == [float(value.replace(",", ".")) for value in values]


def test_a_cell_of_many_digits_takes_no_longer_than_another_of_its_length() -> None:
    # A pattern that tries each way to part digits would be at it for hours.
    digits = "1" * 1_000_000
    assert not is_number(f"{digits},5x")
    assert is_number(digits)
    assert is_number(f"{digits}.{digits}e{digits}")
    assert not is_number(f"{digits}.{digits}e{digits}x")


@pytest.mark.parametrize("text", ["1", "+1.", "-.5", "1.5e-3", "1e5", "00.10", "٣", ".", "", "1.2.3", "e5", "1e", "1 "])
def test_what_is_a_number_is_as_ever(text: str) -> None:
    assert is_number(text) is bool(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text))


@pytest.mark.parametrize("body", ['a;b\n"{};1\ny;2\n', 'a;b\n"{}";1\ny;2\n', 'a;b\n1;"2"\n{};2\n'])
def test_a_cell_that_is_too_long_is_called_so(tmp_path: Path, body: str) -> None:
    with pytest.raises(DataError, match="a cell has more than 131072 letters") as found:
        read_table(written(tmp_path, body.format("x" * 131_073)))
    assert "quote that is never closed" in str(found.value)
    assert "stands inside" not in str(found.value)


def test_quoted_decimal_commas_between_commas_can_be_said(tmp_path: Path) -> None:
    frame = read_table(written(tmp_path, 'a,b\n"12,5",1\n"3,25",2\n'), decimal=",")
    assert frame["a"].tolist() == [12.5, 3.25]


def test_points_that_are_decimals_stay_numbers_beside_a_column_of_codes(tmp_path: Path) -> None:
    frame, how = read_and_tell(written(tmp_path, "codes;b\n1,2;1.75\n3;1.5\n"))
    assert how.decimal == "."
    assert frame["b"].tolist() == [1.75, 1.5]
    assert frame["codes"].tolist() == ["1,2", "3"]


def test_a_first_line_of_decimal_commas_is_no_header(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="looks like a row"):
        read_table(written(tmp_path, "12,5;3,5\n1,5;2,5\n"))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=1, max_size=30))
def test_a_decimal_comma_changes_no_bit(tmp_path_factory: pytest.TempPathFactory, numbers: list[float]) -> None:
    folder = tmp_path_factory.mktemp("commas")
    text = "a;b\n" + "".join(f"{number!r};0.5\n" for number in numbers)
    plain: pd.DataFrame = read_table(written(folder, text))
    german, how = read_and_tell(written(folder, text.replace(".", ",")))
    assert how.decimal == ","
    assert_frame_equal(german, plain, check_exact=True)
