"""Reading text tables: what separates cells, how decimals are written and how letters are coded is found, and told.

Where two readings of a number would both do, none is chosen: the column stays text, or the file is refused.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import pandas as pd

from medfl.errors import DataError, listed
from medfl.learn.data.cells import is_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

Decimal: TypeAlias = Literal[".", ","]

DECIMAL_COMMA = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?")
"""A number with a comma before its decimals; "1,234" is one, too, and may be meant otherwise."""
GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(([.,'’ \u00a0\u202f])\d{3})(\2\d{3})*([.,]\d*)?")
"""A number with something between its thousands; "1.234" is one, too, and may be meant otherwise."""

_SEPARATORS = MappingProxyType({",": "commas", ";": "semicolons", "\t": "tabs"})
_EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_LOOKS_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}([.,])\d{3}(\1\d{3})*")
_TWO_CODES = re.compile(r"([1-9]\d?),([1-9]\d?)")
_WESTERN = frozenset("€’–§«»°±²³µ·\u00a0" + "".join(map(chr, range(0xC0, 0x100))))
"""What else than ASCII occurs in Western European texts; other codings put other signs in these places."""
_FOREIGN = 0.3
"""A text with more letters beyond ASCII than this, of all its letters, is in another script."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """How a text table is written.

    Parameters
    ----------
    separator
        What stands between cells.
    decimal
        What stands before decimals.
    encoding
        How letters are coded.
    """

    separator: str = ","
    decimal: Decimal = "."
    encoding: str = "utf-8"

    @property
    def sentences(self) -> tuple[str, ...]:
        """What of it a reader should know, in words; nothing of a file whose numbers and letters are read as ever."""
        told = []
        if self.decimal != ".":
            between = _SEPARATORS[self.separator]
            told.append(f"Decimals have a comma, and {between} separate cells: 12,5 is read as twelve and a half.")
        if self.encoding != "utf-8":
            told.append("Letters are coded as Windows-1252 (Latin-1), not as UTF-8: check names with accents.")
        return tuple(told)


def read_delimited(
    path: Path, columns: Sequence[str] | None, missing: Sequence[str], *, decimal: Decimal | None
) -> tuple[pd.DataFrame, Writing]:
    """Return a text table and how it is written.

    Parameters
    ----------
    path
        The file.
    columns
        Column names, for a file without a header line.
    missing
        All spellings of a missing value.
    decimal
        What stands before decimals, where the study says so; found where None.

    Raises
    ------
    DataError
        If it is not a well-formed table, or its numbers can be read in two ways.
    """
    body, encoding = _text(path)
    if not body.strip():
        raise DataError("the file is empty", where=str(path), remedy="give a CSV file with a header line and rows")
    separator = _separator(body)
    first = [name.strip() for name in next(_records(path, body, separator))[1]]
    names = _checked_names(path, first) if columns is None else _fitting_names(path, first, columns)
    require_unique(names, str(path), quoted=columns is not None)
    _require_even(path, body, separator=separator, width=len(names))
    file = _File(path, body, separator, tuple(names), tuple(missing), header=columns is None)
    frame, found = file.read(decimal)
    return frame, Writing(separator=separator, decimal=found, encoding=encoding)


def require_unique(names: Sequence[str], where: str, *, quoted: bool = True) -> None:
    """Refuse names that stand twice. Those of a file are told by their places: its first line may be a patient.

    Raises
    ------
    DataError
        With the names, or their places.
    """
    times = Counter(names)
    twice = [repr(name) for name in times if times[name] > 1]
    if twice:
        places = [str(place) for place, name in enumerate(names, start=1) if times[name] > 1]
        told = listed(twice) if quoted else f"those of columns {listed(places)}"
        raise DataError(f"duplicate column names: {told}", where=where, remedy="give each column a name of its own")


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    body: bytes
    separator: str
    names: tuple[str, ...]
    missing: tuple[str, ...]
    header: bool

    def read(self, said: Decimal | None) -> tuple[pd.DataFrame, Decimal]:
        """Return the table, and what stands before decimals: what is said or, where that is sure, what is found."""
        if said == ",":
            frame = self._parsed(",")
            self._require_one_way(_with_points(frame))
            return frame, ","
        frame = self._parsed(".")
        # Only where commas can be decimals is the file looked at twice.
        if said is None and self.separator != "," and b"," in self.body and self._has_commas():
            return self._parsed(","), ","
        return frame, "."

    def _has_commas(self) -> bool:
        """Whether commas stand before decimals for sure.

        One column tells: "12,5" in all of it can be nothing else, while "1,234" may be a thousand, and "1,3" two codes.
        A column of "12.5" tells the contrary.

        Raises
        ------
        DataError
            If commas do, and a column has numbers such as "1.234", or commas that may be others.
        """
        cells = self._parsed(".", as_text=True)
        texts = {name: [*cells[name].dropna().str.strip().unique()] for name in self.names}
        commas = [
            name for name, column in texts.items() if _all_match(column, DECIMAL_COMMA) and "," in "".join(column)
        ]
        unsure = [name for name in commas if not _tells(texts[name])]
        groups = [column for column in texts.values() if _all_match(column, GROUPED, DECIMAL_COMMA)]
        points = {name: column for name, column in texts.items() if _are_points(column)}
        told = len(unsure) < len(commas) or any(_has_both(text) for column in groups for text in column)
        if not told or any(not _all_match(column, _LOOKS_GROUPED) for column in points.values()):
            return False
        self._require_one_way([*points])
        self._require_sure(unsure)
        return bool(commas)

    def _require_one_way(self, points: Sequence[str]) -> None:
        if points:
            raise DataError(
                f"numbers with a point where decimals have a comma: column {listed(map(repr, points))}; is the point "
                "between thousands, or before decimals?",
                where=str(self.path),
                remedy='write decimals alike in the whole file, and nothing between thousands; or say decimal = "." in '
                "[data], if points are what stands before decimals",
            )

    def _require_sure(self, unsure: Sequence[str]) -> None:
        if unsure:
            raise DataError(
                "some columns have decimal commas, and in others a comma may stand between thousands (1,234) or codes "
                f"(1,3): column {listed(map(repr, unsure))}; what is it there?",
                where=str(self.path),
                remedy='say decimal = "," in [data], or --decimal , of a data set, if commas stand before decimals in '
                "all of them; else write nothing between thousands and another sign between codes, or say decimal = "
                '"." to have all numbers with commas as text',
            )

    def _parsed(self, decimal: Decimal, *, as_text: bool = False) -> pd.DataFrame:
        return pd.read_csv(
            io.BytesIO(self.body),
            sep=self.separator,
            header=0 if self.header else None,
            names=list(self.names),
            index_col=False,
            na_values=list(self.missing),
            keep_default_na=False,
            skipinitialspace=True,
            low_memory=False,
            decimal=decimal,
            dtype=str if as_text else None,
        )


def _all_match(texts: Sequence[str], *ways: re.Pattern[str]) -> bool:
    """Whether all texts are numbers written in one of these ways, or whole ones without anything between."""
    return len(texts) > 0 and all(
        text.lstrip("+-").isdecimal() or any(way.fullmatch(text) for way in ways) for text in texts
    )


def _are_points(texts: Sequence[str]) -> bool:
    return len(texts) > 0 and all(map(is_number, texts)) and any("." in text for text in texts)


def _tells(texts: Sequence[str]) -> bool:
    """Whether the commas of a column of numbers can only stand before decimals."""
    marked = [text for text in texts if "," in text]
    return not (all(map(_LOOKS_GROUPED.fullmatch, marked)) or _look_like_codes(marked))


def _look_like_codes(marked: Sequence[str]) -> bool:
    """Whether all of these may be two codes in order, such as 1,3 and 2,12.

    Codes of two digits throughout are none: a pH of 7,35 and 7,41 is far more common.
    """
    pairs = [found.groups() for found in map(_TWO_CODES.fullmatch, marked) if found is not None]
    in_order = len(pairs) == len(marked) and all(int(first) < int(second) for first, second in pairs)
    return in_order and any(len(second) == 1 for _, second in pairs)


def _has_both(text: str) -> bool:
    """Whether a number has points between thousands and a comma before decimals."""
    return "," in text and text.find(".") in range(text.find(","))


def _with_points(frame: pd.DataFrame) -> list[str]:
    """Return the columns that are no numbers with a decimal comma, and would be with a point."""
    texts = {name: frame[name].dropna() for name in frame.columns if frame[name].dtype.kind not in "iufb"}
    return [name for name, column in texts.items() if _are_points([*column.astype(str).str.strip().unique()])]


def _text(path: Path) -> tuple[bytes, str]:
    """Return a text file's bytes as UTF-8, with plain newlines and without a byte order mark, and how it was coded."""
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
    encoding = "utf-8"
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raw, encoding = _from_windows(raw, f"{path}, line {line}").encode(), "windows-1252"
    return raw.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n"), encoding


def _from_windows(raw: bytes, where: str) -> str:
    """Decode what Excel writes in Western Europe; what could as well be of another coding is refused."""
    try:
        text = raw.decode("windows-1252")
    except UnicodeDecodeError:
        text = ""
    beyond = [letter for letter in text if not letter.isascii()]
    letters = sum(map(str.isalpha, text))
    if not text or not _WESTERN.issuperset(beyond) or sum(map(str.isalpha, beyond)) > _FOREIGN * letters:
        raise DataError(
            "the file is neither UTF-8 text nor Windows-1252, as Excel writes it in Western Europe",
            where=where,
            remedy='save it as UTF-8; in Excel, choose "CSV UTF-8" under "Save as"',
        )
    return text


def _separator(body: bytes) -> str:
    """Return the separator that occurs most often, outside quotes, in the first line with something in it."""
    line = re.sub(rb'"[^"]*"', b"", body.lstrip(b"\n").partition(b"\n")[0])
    return max(_SEPARATORS, key=lambda separator: line.count(separator.encode()))


def _records(path: Path, body: bytes, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of its last line, cells) for each record that is not blank."""
    lines = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8", newline="\n")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        for cells in reader:
            if len(cells) > 1 or any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        if "field limit" in str(error):
            raise DataError(
                f"a cell has more than {csv.field_size_limit()} letters",
                where=f"{path}, up to line {reader.line_num}",
                remedy="shorten it; a quote that is never closed makes such a cell of all that follows it",
            ) from None
        raise DataError(
            "a quote is opened and not closed, or stands inside a quoted text",
            where=f"{path}, up to line {reader.line_num}",
            remedy='close it; write a quote inside a quoted text twice: ""',
        ) from None


def _checked_names(path: Path, names: Sequence[str]) -> Sequence[str]:
    """Check a header line. One that is a row of data must not be quoted in an error: it is a patient."""
    numbers = [name for name in names if is_number(name) or DECIMAL_COMMA.fullmatch(name)]
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


def _require_even(path: Path, body: bytes, *, separator: str, width: int) -> None:
    """Refuse a record without `width` cells; pandas would fill or shift it silently."""
    ragged = _first_ragged(path, body, separator=separator, width=width)
    if ragged is not None:
        line, found = ragged
        raise DataError(
            f"a row has {found} cells where the table has {width} columns",
            where=f"{path}, line {line}",
            remedy=f"mend that line: cells are separated by {_SEPARATORS[separator]}; quote a text that contains one",
        )


def _first_ragged(path: Path, body: bytes, *, separator: str, width: int) -> tuple[int, int] | None:
    """Return (line, cells) of the first record without `width` cells."""
    if b'"' in body:
        records = _records(path, body, separator)
        return next(((line, len(cells)) for line, cells in records if len(cells) != width), None)
    buffer = np.frombuffer(body, np.uint8)
    ends: NDArray[np.int64] = np.append(np.flatnonzero(buffer == ord("\n")), len(body))
    separators = np.searchsorted(np.flatnonzero(buffer == ord(separator)), ends)
    counts = np.diff(separators, prepend=0)
    for index in np.flatnonzero(counts != width - 1):
        start = ends[index - 1] + 1 if index else 0
        if body[start : ends[index]].strip():
            return int(index) + 1, int(counts[index]) + 1
    return None
