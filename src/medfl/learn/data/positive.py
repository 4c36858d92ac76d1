"""How a raw value of the target becomes a yes: the grammar of ``data.positive``.

::

    positive    = comparison | value
    comparison  = (">" | ">=" | "<" | "<=" | "==" | "=" | "!=") number
    value       = any other text: rows with exactly this value
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from medfl.errors import DataError
from medfl.learn.data.cells import Numbers, Texts, is_number, spelled

_COMPARISON = re.compile(r"(>=|<=|==|!=|>|<|=)\s*(.*)")
_OPPOSITE = MappingProxyType({">": "<=", ">=": "<", "<": ">=", "<=": ">", "=": "!=", "!=": "="})
_COMPARE: MappingProxyType[str, Callable[[NDArray[np.float64], float], NDArray[np.bool_]]] = MappingProxyType(
    {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "=": operator.eq, "!=": operator.ne}
)


@dataclass(frozen=True, slots=True)
class Positive:
    """Which raw values of the target count as positive.

    Parameters
    ----------
    comparator
        One of ``> >= < <= = !=``.
    value
        What is compared with, in its one spelling.
    numeric
        Whether a number must be compared; else equality of the spelling is meant.
    """

    comparator: str
    value: str
    numeric: bool

    def classes(self, target: str) -> tuple[str, str]:
        """Return the names of (negative, positive), such as ``("num <= 0", "num > 0")``."""
        opposite = _OPPOSITE[self.comparator]
        return f"{target} {opposite} {self.value}", f"{target} {self.comparator} {self.value}"

    def says(self, yes: bool) -> str:
        """Return what holds where all rows are positive, or where none is."""
        who = "every row" if yes else "no row"
        if self.comparator == "=":
            return f"{who} has the value {self.value!r}"
        return f"{who} is {self.comparator} {self.value}"

    def holds(self, cells: Numbers | Texts, target: str) -> NDArray[np.float64]:
        """Return 1 where a cell is positive, 0 where it is not, NaN where it is missing; shape (rows,).

        Raises
        ------
        DataError
            If a number is to be compared with text.
        """
        if isinstance(cells, Numbers) and not (cells.exact and self.comparator in {"=", "!="}):
            if not is_number(self.value):
                return np.where(np.isnan(cells.values), np.nan, 0.0)
            yes = _COMPARE[self.comparator](cells.values, float(self.value))
            return np.where(np.isnan(cells.values), np.nan, yes)
        if isinstance(cells, Texts) and self.numeric:
            raise DataError(
                f"text where numbers are compared: {cells.not_numbers} of {cells.present} values are not numbers",
                where=f"column {target!r}",
                remedy="add the spelling to data.missing, or give data.positive the positive text itself",
            )
        found = cells.texts()
        table = np.array([*((text == self.value) == (self.comparator == "=") for text in found.distinct), np.nan])
        return table[found.codes]


def parse(text: str) -> Positive:
    """Read ``data.positive``.

    Raises
    ------
    DataError
        If a comparison lacks its number, or nothing is written.
    """
    comparison = _COMPARISON.match(text.strip())
    if comparison is None and text.strip():
        return Positive("=", spelled(text), numeric=False)
    if comparison is None or not is_number(comparison[2].strip()):
        raise DataError(
            "a comparison needs a number behind its sign",
            where="data.positive",
            received=repr(text),
            remedy='write a comparison such as "> 0" or ">= 6.5", or the positive value alone, such as "yes"',
        )
    return Positive("=" if comparison[1] == "==" else comparison[1], spelled(comparison[2]), numeric=True)
