"""What the cells of one column say: numbers or texts, and which are missing.

One spelling for each value, whoever wrote the file: 1, 1.0 and "1" are the same; TRUE and True are; spaces around a
text do not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medfl.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Rows = NDArray[np.int64]

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "None")
"""Spellings of a missing value that always count; a study may add its own."""

OTHER = "(other)"
"""The category of those whose own one is too rare at their site to be told."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
"""Each text is parted in one way at most: in time that grows with its length, not with its square."""
_TRUTH = MappingProxyType({"true": "True", "false": "False"})
EXACT = 2**53
"""From here on float64 cannot tell every whole number from its neighbours."""
_LONGEST = 400
"""More digits than any number has; Python refuses to read some thousands of them."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column of numbers.

    Parameters
    ----------
    values
        Float64, shape (rows,); NaN where missing.
    exact
        The same cells as texts, where `values` had to round whole numbers.
    column
        Name of the column, for what must be said about it.
    """

    values: NDArray[np.float64]
    exact: Texts | None = None
    column: str = ""

    @property
    def distinct(self) -> int:
        """How many different numbers there are."""
        import pandas as pd

        if self.exact is not None:
            return len(self.exact.distinct)
        return int((~np.isnan(pd.unique(self.values))).sum())

    def take(self, rows: Rows) -> Numbers:
        """Return these of its cells."""
        return Numbers(self.values[rows], self.exact and self.exact.take(rows), self.column)

    def or_numbers(self) -> Numbers:
        """Return itself."""
        return self

    def texts(self) -> Texts:
        """Return the same cells with each number taken as a code.

        Raises
        ------
        DataError
            If whole numbers were rounded before they came here, so that several codes may have become one.
        """
        import pandas as pd

        if self.exact is not None:
            return self.exact
        if _rounded(self.values):
            raise DataError(
                "whole numbers of more than 15 digits cannot be told apart as codes: they came as decimals, rounded",
                where=f"column {self.column!r}",
                remedy="fill the column's empty cells, or write its codes as text, with a letter before the digits",
            )
        codes, distinct = pd.factorize(self.values)
        return _in_order(codes, [spelled(value) for value in distinct.tolist()])


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts.

    Parameters
    ----------
    codes
        Int64, shape (rows,): index into `distinct`, −1 where missing.
    distinct
        The texts that occur, numbers by value first, then by alphabet.
    """

    codes: NDArray[np.int64]
    distinct: tuple[str, ...]

    def take(self, rows: Rows) -> Texts:
        """Return these of its cells."""
        taken = Texts(self.codes[rows], self.distinct)
        occurring = np.flatnonzero(taken.counts)
        renumber = np.full(len(self.distinct) + 1, -1)  # The last place is for −1, which stays.
        renumber[occurring] = np.arange(len(occurring))
        return Texts(renumber[taken.codes], tuple(self.distinct[code] for code in occurring.tolist()))

    def texts(self) -> Texts:
        """Return itself."""
        return self

    def or_numbers(self) -> Cells:
        """Return numbers if every text is one, else itself."""
        if not all(is_number(text) for text in self.distinct):
            return self
        values = np.array([*map(float, self.distinct), np.nan])
        return Numbers(values[self.codes], self if _rounded(values) else None)

    @property
    def not_numbers(self) -> int:
        """How many cells hold something that is not a number."""
        return self.count(lambda text: not is_number(text))

    @property
    def present(self) -> int:
        """How many cells are not missing."""
        return int(np.count_nonzero(self.codes >= 0))

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many cells hold each distinct text."""
        return np.bincount(self.codes + 1, minlength=len(self.distinct) + 1)[1:]

    def count(self, which: Callable[[str], bool]) -> int:
        """Return how many cells hold such a text."""
        return sum(count for text, count in zip(self.distinct, self.counts.tolist(), strict=True) if which(text))


Cells: TypeAlias = Numbers | Texts


def read(series: pd.Series[Any], missing: Sequence[str] = ()) -> Cells:
    """Return what a column says; a text column in which every text is a number is a column of numbers.

    Parameters
    ----------
    series
        A column of any type.
    missing
        Spellings of a missing value besides :data:`MISSING`.
    """
    if series.dtype.kind in "iuf":
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        if series.dtype.kind == "f" or not _rounded(values):
            return Numbers(_without(values, missing), column=str(series.name))
    try:
        codes, uniques = series.factorize()
    except TypeError:
        raise DataError(
            "cells hold neither numbers nor text",
            where=f"column {str(series.name)!r}",
            remedy="leave the column out of data.features, or turn its cells into numbers or text",
        ) from None
    texts = [spelled(value) for value in uniques]
    absent = {*MISSING, *missing, *map(spelled, missing)}
    return _in_order(codes, [None if text in absent else text for text in texts]).or_numbers()


def respelled(found: Texts, spellings: Sequence[str]) -> Cells:
    """Return a column with another spelling for each of its distinct texts, in their order; numbers if all are.

    One of :data:`MISSING` makes its cells missing; texts that are spelled alike become one.
    """
    absent = {*MISSING}
    return _in_order(found.codes, [None if text in absent else text for text in spellings]).or_numbers()


def spelled(value: object) -> str:
    """Return the one spelling of a value: numbers without a trailing ``.0``, texts without spaces around them."""
    if isinstance(value, float | np.floating):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < EXACT else repr(number)
    text = str(value).strip()
    if not is_number(text):
        return _TRUTH.get(text.casefold(), text)
    if len(text) > _LONGEST:
        return text
    return str(int(text)) if text.lstrip("+-").isdecimal() else spelled(float(text))


def is_number(text: str) -> bool:
    """Return whether a text is a number in plain decimal or scientific notation."""
    return _NUMBER.fullmatch(text) is not None


def in_order(texts: Iterable[str]) -> tuple[str, ...]:
    """Return each text once: numbers by their value, then the others by alphabet."""
    return tuple(sorted(set(texts), key=lambda text: (0, float(text), text) if is_number(text) else (1, 0.0, text)))


def _in_order(codes: NDArray[np.int64], spellings: Sequence[str | None]) -> Texts:
    """Join codes of one spelling, None being missing, and put the spellings in order."""
    distinct = in_order(text for text in spellings if text is not None)
    place: dict[str | None, int] = {text: index for index, text in enumerate(distinct)}
    renumber = np.array([*(place.get(text, -1) for text in spellings), -1], dtype=np.int64)
    return Texts(renumber[codes], distinct)


def _rounded(values: NDArray[np.float64]) -> bool:
    """Whether whole numbers are so large here that float64 may have rounded them."""
    return bool((np.isfinite(values) & (np.abs(values) >= EXACT)).any())


def _without(values: NDArray[np.float64], missing: Sequence[str]) -> NDArray[np.float64]:
    """Blank the numbers that stand for a missing value, such as -9."""
    stand_ins = [float(text) for text in missing if is_number(text)]
    return np.where(np.isin(values, stand_ins), np.nan, values) if stand_ins else values
