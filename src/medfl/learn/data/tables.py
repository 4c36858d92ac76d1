"""Reading tables: a file, a bundled data set, or what the user already holds in memory."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from medfl.errors import DataError, MissingExtraError, did_you_mean, listed
from medfl.learn.data.cells import MISSING, is_number
from medfl.learn.data.workbook import read_workbook

BUNDLED = ("breast-cancer", "digits")
"""Data sets that ship inside scikit-learn."""
_DELIMITERS = MappingProxyType({",": "commas", ";": "semicolons", "\t": "tabs"})
_EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


def read_table(
    path: Path, *, columns: Sequence[str] | None = None, missing: Sequence[str] = (), sheet: str | None = None
) -> pd.DataFrame:
    """Read a CSV (comma, semicolon or tab; UTF-8), Parquet or Excel file.

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

    Raises
    ------
    DataError
        If there is no such file, or it is not a well-formed table with at least one row.
    MissingExtraError
        If a Parquet file is to be read and pyarrow is not installed, or a workbook and openpyxl is not.
    """
    _require_file(path)
    match path.suffix.lower():
        case ".parquet":
            frame = _parquet(path)
        case ".xlsx" | ".xlsm":
            frame = read_workbook(path, sheet=sheet, columns=columns)
        case _:
            frame = _csv(path, columns, [*MISSING, *missing])
    if frame.empty:
        raise DataError(
            "the table has a header but no rows", where=str(path), remedy="give a file with at least one row"
        )
    return _with_unique_text_names(frame, str(path))


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


def _csv(path: Path, columns: Sequence[str] | None, missing: Sequence[str]) -> pd.DataFrame:
    body = _utf8(path)
    if not body.strip():
        raise DataError("the file is empty", where=str(path), remedy="give a CSV file with a header line and rows")
    delimiter = _delimiter(body)
    first = [name.strip() for name in next(_records(path, body, delimiter))[1]]
    names = _checked_names(path, first) if columns is None else _fitting_names(path, first, columns)
    _require_unique(names, str(path), quoted=columns is not None)
    ragged = _first_ragged(path, body, delimiter=delimiter, width=len(names))
    if ragged is not None:
        line, found = ragged
        raise DataError(
            f"a row has {found} cells where the table has {len(names)} columns",
            where=f"{path}, line {line}",
            remedy=f"mend that line: cells are separated by {_DELIMITERS[delimiter]}; quote a text that contains one",
        )
    return pd.read_csv(
        io.BytesIO(body),
        sep=delimiter,
        header=None if columns is not None else 0,
        names=list(names),
        index_col=False,
        na_values=list(missing),
        keep_default_na=False,
        skipinitialspace=True,
        low_memory=False,
    )


def _utf8(path: Path) -> bytes:
    """Return a text file's bytes, checked to be UTF-8, with plain newlines and without a byte order mark."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or ""
        raise DataError(
            "the file cannot be read", where=str(path), received=reason, remedy="check its permissions"
        ) from None
    if raw.startswith(_EXCEL) or b"\0" in raw:
        raise DataError(
            "a workbook, an archive or another binary file, not text",
            where=str(path),
            remedy="save the table as CSV (UTF-8), or a workbook as .xlsx",
        )
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            "the file is not UTF-8 text",
            where=f"{path}, line {line}",
            remedy="save it as UTF-8; if it is latin-1, as older Windows programs write: "
            f"iconv -f latin1 -t utf-8 {path.name} > utf8.csv",
        ) from None
    return raw.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _delimiter(body: bytes) -> str:
    """Return the separator that occurs most often, outside quotes, in the first line with something in it."""
    line = re.sub(rb'"[^"]*"', b"", body.lstrip(b"\n").partition(b"\n")[0])
    return max(_DELIMITERS, key=lambda delimiter: line.count(delimiter.encode()))


def _records(path: Path, body: bytes, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of its last line, cells) for each record that is not blank."""
    lines = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8", newline="\n")
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for cells in reader:
            if len(cells) > 1 or any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error:
        raise DataError(
            "a quote is opened and not closed, or stands inside a quoted text",
            where=f"{path}, up to line {reader.line_num}",
            remedy='close it; write a quote inside a quoted text twice: ""',
        ) from None


def _checked_names(path: Path, names: Sequence[str]) -> Sequence[str]:
    """Check a header line. One that is a row of data must not be quoted in an error: it is a patient."""
    numbers = [name for name in names if is_number(name)]
    counted = [str(index) for index in range(len(names))], [str(index + 1) for index in range(len(names))]
    if len(numbers) > len(names) / 2 and list(names) not in counted:
        raise DataError(
            "the first line looks like a row, not like column names: most of it is numbers",
            where=str(path),
            remedy="if the file has no header line, name its columns in data.columns",
        )
    unnamed = [str(index) for index, name in enumerate(names, start=1) if not name]
    if unnamed:
        raise DataError(
            f"column {listed(unnamed)} has no name in the header",
            where=str(path),
            remedy="name it or remove it (pandas writes such a column unless to_csv is told index=False)",
        )
    return names


def _fitting_names(path: Path, first: Sequence[str], columns: Sequence[str]) -> Sequence[str]:
    if len(first) != len(columns):
        raise DataError(
            f"data.columns has {len(columns)} names, the file has {len(first)} columns",
            where=str(path),
            remedy="name every column of the file, in its order",
        )
    if list(first) == list(columns):
        raise DataError(
            "the file has a header line, and data.columns repeats it", where=str(path), remedy="remove data.columns"
        )
    return columns


def _first_ragged(path: Path, body: bytes, *, delimiter: str, width: int) -> tuple[int, int] | None:
    """Return (line, cells) of the first record without `width` cells; pandas would fill or shift it silently."""
    if b'"' in body:
        records = _records(path, body, delimiter)
        return next(((line, len(cells)) for line, cells in records if len(cells) != width), None)
    buffer = np.frombuffer(body, np.uint8)
    ends = np.append(np.flatnonzero(buffer == ord("\n")), len(body))
    separators = np.searchsorted(np.flatnonzero(buffer == ord(delimiter)), ends)
    counts = np.diff(separators, prepend=0)
    for index in np.flatnonzero(counts != width - 1):
        start = ends[index - 1] + 1 if index else 0
        if body[start : ends[index]].strip():
            return int(index) + 1, int(counts[index]) + 1
    return None


def _with_unique_text_names(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    if isinstance(frame.columns, pd.MultiIndex):
        raise DataError("column names have several levels", where=where, remedy="give each column one name")
    names = [str(name) for name in frame.columns]
    _require_unique(names, where)
    return frame if names == list(frame.columns) else frame.set_axis(names, axis=1)


def _require_unique(names: Sequence[str], where: str, *, quoted: bool = True) -> None:
    """Refuse names that stand twice. Those of a file are told by their places: its first line may be a patient."""
    times = Counter(names)
    twice = [repr(name) for name in times if times[name] > 1]
    if twice:
        places = [str(place) for place, name in enumerate(names, start=1) if times[name] > 1]
        told = listed(twice) if quoted else f"those of columns {listed(places)}"
        raise DataError(f"duplicate column names: {told}", where=where, remedy="give each column a name of its own")


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
