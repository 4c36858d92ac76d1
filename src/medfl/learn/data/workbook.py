"""Reading one sheet of an Excel workbook (.xlsx)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import pandas as pd

from medfl.errors import DataError, MissingExtraError, did_you_mean, listed

_Rows = list[tuple[Any, ...]]
CELLS = 50_000_000
"""Cells that are read at most: far behind in an empty row, a few letters in a file stand for thousands of them."""
PLAIN, RATIO = 100_000_000, 100
"""Bytes that any workbook may unfold to; above that, how many times its own size (real ones: five to thirty times)."""


def read_workbook(path: Path, *, sheet: str | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a sheet whose first row names its columns, unless `columns` does.

    Parameters
    ----------
    path
        The workbook.
    sheet
        Name of the sheet; where None the workbook must have only one with something in it.
    columns
        Column names, for a sheet without a row of names.

    Raises
    ------
    DataError
        If it is no workbook, or the sheet is no table; cells are named by their place, never quoted.
    MissingExtraError
        If openpyxl is not installed.
    """
    name, rows = _chosen(path, _sheets(path, computed=False), sheet)
    if any(_is_formula(cell) for row in rows for cell in row):
        rows = _computed(path, name, rows)
    place = f"{path}, sheet {name!r}"
    width = max((at for row in rows for at, cell in enumerate(row, start=1) if _is_there(cell)), default=0)
    if width * len(rows) > CELLS:
        raise _unfolding(path, f"{len(rows)} rows of {width} cells")
    kept = [(*row[:width], *[None] * (width - len(row))) for row in rows]
    names = list(kept.pop(0)) if columns is None else list(columns)
    if len(names) != width:
        raise DataError(
            f"columns has {len(names)} names, the sheet has {width} columns",
            where=place,
            remedy="name every column of the sheet, in its order",
        )
    return pd.DataFrame(kept, columns=_texts(names, place)).infer_objects()


def _sheets(path: Path, *, computed: bool) -> dict[str, _Rows]:
    """Return the rows with something in them of each sheet, formulas as such or what Excel computed from them."""
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ModuleNotFoundError:
        raise MissingExtraError(
            "reading Excel workbooks needs openpyxl, which is not installed",
            where=str(path),
            remedy="pip install 'medfl[excel]', or save the table as CSV",
        ) from None
    try:
        _require_sober(path)
        book = load_workbook(path, read_only=True, data_only=computed)
    except (BadZipFile, KeyError, ValueError, OSError, InvalidFileException):
        raise DataError(
            "not a readable workbook",
            where=str(path),
            remedy="save it again as .xlsx, without a password, or save the table as CSV",
        ) from None
    try:
        return {sheet.title: _filled(path, sheet.iter_rows(values_only=True)) for sheet in book.worksheets}
    finally:
        book.close()


def _require_sober(path: Path) -> None:
    """Refuse a workbook, which is a zip archive, that unfolds to far more than it is.

    Raises
    ------
    DataError
        If it does.
    """
    with ZipFile(path) as archive:
        # More than is said here is never read of an entry.
        whole = sum(entry.file_size for entry in archive.infolist())
    if whole > max(PLAIN, RATIO * path.stat().st_size):
        raise _unfolding(path, f"{whole // 1_000_000} MB")


def _filled(path: Path, rows: Any) -> _Rows:
    found, cells = [], 0
    for row in rows:
        if any(map(_is_there, row)):
            found.append(tuple(row))
            cells += len(row)
            if cells > CELLS:
                raise _unfolding(path, f"more than {CELLS} cells")
    return found


def _unfolding(path: Path, received: str) -> DataError:
    return DataError(
        "the workbook unfolds to far more than a table has",
        where=str(path),
        received=received,
        remedy="save the table as CSV; a sheet with something far to the right or below is cut to the table first",
    )


def _is_there(cell: object) -> bool:
    return cell is not None and cell != ""


def _is_formula(cell: object) -> bool:
    return isinstance(cell, str) and cell.startswith("=")


def _chosen(path: Path, sheets: dict[str, _Rows], sheet: str | None) -> tuple[str, _Rows]:
    filled = [name for name, rows in sheets.items() if rows]
    if sheet is not None and sheet not in sheets:
        raise DataError(
            "the workbook has no such sheet",
            where=str(path),
            received=repr(sheet),
            remedy=did_you_mean(sheet, sheets) or f"its sheets are {listed(map(repr, sheets), 12)}",
        )
    if sheet is None and len(filled) > 1:
        raise DataError(
            f"the workbook has several sheets: {listed(map(repr, filled), 12)}",
            where=str(path),
            remedy="name one with --sheet; only the data set of a site can do that",
        )
    name = sheet or next(iter(filled), "")
    if not sheets.get(name):
        raise DataError("the sheet is empty", where=str(path), remedy="give a sheet with column names and rows")
    return name, sheets[name]


def _computed(path: Path, name: str, formulas: _Rows) -> _Rows:
    """Return what the formulas gave when the workbook was last saved by a program that computes them."""
    values = _sheets(path, computed=True)[name]
    never = [
        f"row {at}"
        for at, (row, before) in enumerate(zip(values, formulas, strict=False), start=1)
        if any(
            cell is None and isinstance(one, str) and one.startswith("=") for cell, one in zip(row, before, strict=True)
        )
    ]
    if never or len(values) != len(formulas):
        raise DataError(
            "the sheet has formulas of which no program has stored the results",
            where=f"{path}, sheet {name!r}, {listed(never)}" if never else f"{path}, sheet {name!r}",
            remedy="open the workbook in Excel or LibreOffice and save it again, or save the table as CSV",
        )
    return values


def _texts(names: Sequence[Any], place: str) -> list[str]:
    """Return the names of columns; a cell that is no text is not quoted, as it may be a patient's."""
    unnamed = [str(at) for at, name in enumerate(names, start=1) if not (isinstance(name, str) and name.strip())]
    if unnamed:
        raise DataError(
            f"the first row must name the columns, and column {listed(unnamed)} has no text there",
            where=place,
            remedy="name the columns in the first row, or give their names with --columns",
        )
    return [str(name).strip() for name in names]
