"""Reading tables: a file, a bundled data set, or what the user already holds in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from medfl.errors import DataError, MissingExtraError, did_you_mean
from medfl.learn.data.cells import MISSING
from medfl.learn.data.delimited import Decimal, Writing, read_delimited, require_unique
from medfl.learn.data.workbook import read_workbook

BUNDLED = ("breast-cancer", "digits")
"""Data sets that ship inside scikit-learn."""


def read_table(
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    missing: Sequence[str] = (),
    sheet: str | None = None,
    decimal: Decimal | None = None,
) -> pd.DataFrame:
    """Read a CSV (comma, semicolon or tab; UTF-8 or Windows-1252), Parquet or Excel file.

    Parameters
    ----------
    path
        The file.
    columns
        Column names, for a CSV file or a sheet without a header line.
    missing
        Spellings of a missing value besides :data:`~medfl.learn.data.cells.MISSING`.
    sheet
        Name of a workbook's sheet; not needed where only one has something in it.
    decimal
        What stands before decimals in a CSV file; found where None and sure.

    Raises
    ------
    DataError
        If there is no such file, or it is not a well-formed table with at least one row.
    MissingExtraError
        If a Parquet file is to be read and pyarrow is not installed, or a workbook and openpyxl is not.
    """
    return read_and_tell(path, columns=columns, missing=missing, sheet=sheet, decimal=decimal)[0]


def read_and_tell(
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    missing: Sequence[str] = (),
    sheet: str | None = None,
    decimal: Decimal | None = None,
) -> tuple[pd.DataFrame, Writing]:
    """Read a file as :func:`read_table` does, and say how it is written; of a file that is not text nothing."""
    _require_file(path)
    writing = Writing()
    match path.suffix.lower():
        case ".parquet":
            frame = _parquet(path)
        case ".xlsx" | ".xlsm":
            frame = read_workbook(path, sheet=sheet, columns=columns)
        case _:
            frame, writing = read_delimited(path, columns, [*MISSING, *missing], decimal=decimal)
    if frame.empty:
        raise DataError(
            "the table has a header but no rows", where=str(path), remedy="give a file with at least one row"
        )
    return _with_unique_text_names(frame, str(path)), writing


def bundled(name: str) -> pd.DataFrame:
    """Return a data set that ships inside a dependency: "breast-cancer", or "digits", images of 8 by 8 points.

    Raises
    ------
    DataError
        If there is none of this name.
    MissingExtraError
        If the dependency is not installed.
    """
    if name not in BUNDLED:
        raise DataError(
            "no such bundled data set",
            where="data.simulate.bundled",
            received=repr(name),
            remedy=f"write {' or '.join(BUNDLED)}",
        )
    try:
        from sklearn import datasets
    except ModuleNotFoundError:
        raise MissingExtraError(
            f"the data set {name} comes with scikit-learn, which is not installed",
            remedy="pip install 'medfl[demo]'",
        ) from None
    if name == "digits":
        source = datasets.load_digits()
        points = [f"row {row} point {point}" for row in range(1, 9) for point in range(1, 9)]
        frame = pd.DataFrame(source.data, columns=points)
        frame["digit"] = [f"digit {number}" for number in source.target]
        return frame
    source = datasets.load_breast_cancer()
    frame = pd.DataFrame(source.data, columns=[str(feature) for feature in source.feature_names])
    frame["diagnosis"] = source.target_names[source.target]
    return frame


def as_frame(table: object) -> pd.DataFrame:
    """Return a pandas frame of what the user holds (pandas, polars, Arrow, or a mapping of columns), never changed.

    Raises
    ------
    DataError
        If it is not a table, or names a column twice.
    """
    if isinstance(table, pd.DataFrame):
        frame = table
    elif hasattr(table, "to_pandas"):
        frame = _foreign(table)
    elif isinstance(table, Mapping):
        frame = _from_columns(table)
    elif hasattr(table, "__arrow_c_stream__"):
        frame = _from_arrow(table)
    else:
        raise DataError(
            "not a table",
            received=type(table).__name__,
            remedy="pass a pandas or polars data frame, an Arrow table, or a mapping of column names to values",
        )
    return _with_unique_text_names(frame, "the data frame")


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise DataError("a folder, not a file", where=str(path), remedy="name the CSV or Parquet file inside it")
    if path.is_file():
        return
    neighbours = [entry.name for entry in path.parent.iterdir() if entry.is_file()] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, neighbours) or "check the path; in a study it is relative to the study's file"
    raise DataError("no such file", where=str(path), remedy=hint)


def _parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except ImportError:
        raise MissingExtraError(
            "reading Parquet needs pyarrow, which is not installed",
            where=str(path),
            remedy="pip install 'medfl[parquet]', or save the table as CSV",
        ) from None
    except (ValueError, OSError):
        raise DataError(
            "not a readable Parquet file", where=str(path), remedy="write the file again, or save it as CSV"
        ) from None


def _with_unique_text_names(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    if isinstance(frame.columns, pd.MultiIndex):
        raise DataError("column names have several levels", where=where, remedy="give each column one name")
    names = [str(name) for name in frame.columns]
    require_unique(names, where)
    return frame if names == list(frame.columns) else frame.set_axis(names, axis=1)


def _foreign(table: Any) -> pd.DataFrame:
    try:
        frame = table.to_pandas()
    except ImportError:
        return _from_arrow(table)
    return frame if isinstance(frame, pd.DataFrame) else frame.to_frame()


def _from_arrow(table: Any) -> pd.DataFrame:
    try:
        pyarrow = import_module("pyarrow")
    except ModuleNotFoundError:
        raise MissingExtraError(
            f"turning a {type(table).__name__} into a pandas frame needs pyarrow, which is not installed",
            remedy="pip install 'medfl[parquet]'",
        ) from None
    frame: pd.DataFrame = pyarrow.table(table).to_pandas()
    return frame


def _from_columns(table: Mapping[Any, Any]) -> pd.DataFrame:
    try:
        return pd.DataFrame(dict(table))
    except ValueError:
        raise DataError(
            "the columns of the mapping are not of one length",
            received="a mapping",
            remedy="give every column one value for each row",
        ) from None
