"""Reading tables: every dialect that is promised gives the same frame, and nothing is guessed silently."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from medfl.errors import DataError, MissingExtraError
from medfl.learn.data.tables import as_frame, bundled, read_table

PLAIN = "age,sex,note\n63,1.5,müde\n41,,wach\n"


@pytest.fixture
def plain(tmp_path: Path) -> pd.DataFrame:
    return read_table(written(tmp_path, PLAIN))


def written(folder: Path, text: str, *, encoding: str = "utf-8", name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (PLAIN, "utf-8-sig"),
        (PLAIN.replace(",", ";"), "utf-8"),
        (PLAIN.replace(",", "\t"), "utf-8"),
        (PLAIN.replace("\n", "\r\n"), "utf-8"),
        (PLAIN.replace("\n", "\r"), "utf-8"),
        (PLAIN.replace(",", " , "), "utf-8"),
        (PLAIN.rstrip("\n"), "utf-8"),
        ("\n" + PLAIN.replace("\n", "\n\n") + "  \n", "utf-8"),
        (PLAIN.replace("wach", '"wach"'), "utf-8"),
    ],
    ids=["bom", "semicolon", "tab", "windows", "old mac", "spaces", "no last newline", "blank lines", "quotes"],
)
def test_every_dialect_gives_the_same_table(tmp_path: Path, plain: pd.DataFrame, text: str, encoding: str) -> None:
    frame = read_table(written(tmp_path, text, encoding=encoding))
    frame["note"] = frame["note"].str.strip()
    assert_frame_equal(frame, plain)


def test_quotes_protect_separators_and_newlines(tmp_path: Path) -> None:
    frame = read_table(written(tmp_path, '"a,b",c\n"x\ny","say ""no"""\n'))
    assert list(frame.columns) == ["a,b", "c"]
    assert frame.iloc[0].tolist() == ["x\ny", 'say "no"']


def test_a_file_without_a_header(tmp_path: Path) -> None:
    frame = read_table(written(tmp_path, "63,?\n41,2\n"), columns=["age", "ca"], missing=["?"])
    assert frame["age"].tolist() == [63, 41]
    assert np.isnan(frame["ca"][0])


def test_only_documented_spellings_are_missing(tmp_path: Path) -> None:
    body = "".join(f"{cell},1\n" for cell in ["", "NA", "N/A", "NaN", "nan", "null", "None", "-", "n/a", "#N/A", "-9"])
    frame = read_table(written(tmp_path, "a,b\n" + body), missing=["-"])
    assert frame["a"].isna().tolist() == [True] * 8 + [False] * 3


def test_numbers_are_read_exactly(tmp_path: Path) -> None:
    numbers = [0.1, 1 / 3, 1e-300, 123456.789012345678, 5e-324]
    frame = read_table(written(tmp_path, "a\n" + "\n".join(map(repr, numbers)) + "\n"))
    assert frame["a"].tolist() == numbers


def test_bundled_breast_cancer() -> None:
    frame = bundled("breast-cancer")
    assert frame.shape == (569, 31)
    assert frame["diagnosis"].value_counts().to_dict() == {"benign": 357, "malignant": 212}
    assert "mean radius" in frame.columns


def test_bundled_digits_are_images_row_by_row() -> None:
    frame = bundled("digits")
    assert frame.shape == (1797, 65)
    assert frame["digit"].value_counts().to_dict()["digit 3"] == 183
    points = frame.drop(columns="digit").to_numpy()
    assert (points.min(), points.max()) == (0, 16)
    assert frame.columns[9] == "row 2 point 2"


def test_a_bundled_table_that_there_is_not_is_said() -> None:
    with pytest.raises(DataError, match="no such bundled data set") as error:
        bundled("iris")
    assert error.value.complaints[0].remedy == "write breast-cancer or digits"


def test_parquet_is_read_or_the_missing_package_is_named(tmp_path: Path, plain: pd.DataFrame) -> None:
    path = tmp_path / "table.parquet"
    try:
        plain.to_parquet(path)
    except ImportError:
        path.write_bytes(b"PAR1")
        with pytest.raises(MissingExtraError, match=r"pip install 'medfl\[parquet\]'"):
            read_table(path)
    else:
        assert_frame_equal(read_table(path), plain)


def test_as_frame_takes_what_users_hold(plain: pd.DataFrame) -> None:
    assert as_frame(plain) is plain
    assert_frame_equal(as_frame({"a": [1, 2], "b": ["x", "y"]}), pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
    assert_frame_equal(as_frame(SimpleNamespace(to_pandas=lambda: plain)), plain)


def test_as_frame_names_columns_by_text_without_touching_the_original() -> None:
    original = pd.DataFrame({0: [1.0], 1: [2.0]})
    assert list(as_frame(original).columns) == ["0", "1"]
    assert original.columns.equals(pd.Index([0, 1]))


def test_a_foreign_frame_that_needs_pyarrow_says_so() -> None:
    def to_pandas() -> pd.DataFrame:
        raise ModuleNotFoundError("pyarrow")

    try:
        import pyarrow  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(MissingExtraError, match=r"pip install 'medfl\[parquet\]'"):
            as_frame(SimpleNamespace(to_pandas=to_pandas))


@pytest.mark.parametrize("thing", [None, 3, "table.csv", [1, 2]])
def test_as_frame_refuses_the_rest(thing: object) -> None:
    with pytest.raises(DataError, match="not a table"):
        as_frame(thing)
