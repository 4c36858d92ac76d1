"""A site's table under the study's names, in its units and with its codes.

It is applied where cells are read, before anything else looks at them, so that whatever is computed, guarded or told is
of the table as the study has it, and the same as of a table that was rewritten by hand. Spellings of missing values are
those of the table itself. What tells rows apart (:meth:`Sheet.prints`) stays that of the table as it is: no translation
makes other patients of the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfl.errors import Complaint, DataError, did_you_mean, listed
from medfl.learn.data import cells
from medfl.learn.data.cells import Cells, Numbers, Texts
from medfl.learn.data.prints import Prints
from medfl.learn.data.sheet import Sheet
from medfl.spec.harmonising import Translation, name_there


class Translated(Sheet):
    """A sheet as a study has it.

    A column of the study hides one that has its name in the table but means something else.

    Parameters
    ----------
    there
        The site's table, with the columns that may be known of.
    columns
        How its columns are read, by the study's names of them.

    Raises
    ------
    DataError
        If the table has no such columns.
    """

    def __init__(self, there: Sheet, columns: Mapping[str, Translation]) -> None:
        _require(there.names, columns)
        self._there, self._columns = there, columns
        self._cells, self._texts = {}, {}
        by_theirs = {name_there(columns, name): name for name in columns}
        hidden = set(columns) - set(by_theirs)
        self.names = tuple(by_theirs.get(name, name) for name in there.names if name not in hidden)

    def __len__(self) -> int:
        return len(self._there)

    def prints(self) -> Prints:
        """Return a number for each row of the site's table as it is."""
        return self._there.prints()

    def raw(self, name: str) -> NDArray[Any]:
        """Return a column as it stands in the table: IDs have another name at most."""
        return self._there.raw(name_there(self._columns, name))

    def _read(self, name: str, missing: Sequence[str]) -> Cells:
        found = self._there.cells(name_there(self._columns, name), missing)
        return _translated(found, self._columns.get(name), name)

    def _spelled(self, name: str, missing: Sequence[str]) -> Texts:
        one = self._columns.get(name)
        if one is None or not (one.codes or one.is_scaled):
            return self._there.texts(name_there(self._columns, name), missing)
        return super()._spelled(name, missing)


def translated(there: Sheet, columns: Mapping[str, Translation]) -> Sheet:
    """Return a sheet as a study has it; the same one where nothing is to be translated."""
    return Translated(there, columns) if columns else there


def _require(names: Sequence[str], columns: Mapping[str, Translation]) -> None:
    """Refuse translations of columns that are not there; which others there are is told as for any column."""
    complaints = [
        Complaint(
            f"the table has no column {there!r}" + (f", from which {name!r} is to be read" if there != name else ""),
            "[data.harmonise]",
            "",
            did_you_mean(there, names) or f"its columns are {listed(map(repr, names), 12)}",
        )
        for name, there in ((name, name_there(columns, name)) for name in columns)
        if there not in names
    ]
    if complaints:
        raise DataError.of(complaints)


def _translated(found: Cells, one: Translation | None, name: str) -> Cells:
    if one is not None and one.codes is not None:
        return _decoded(found.texts(), one.codes)
    if one is not None and one.is_scaled:
        return _converted(found, one, name)
    return Numbers(found.values, found.exact, name) if isinstance(found, Numbers) else found


def _decoded(found: Texts, codes: Mapping[str, str]) -> Cells:
    """Put each code's meaning in its place; a code that is not named stays."""
    meant = {cells.spelled(code): cells.spelled(text) for code, text in codes.items()}
    return cells.respelled(found, [meant.get(text, text) for text in found.distinct])


def _converted(found: Cells, one: Translation, name: str) -> Cells:
    """Convert numbers; a text among them stays, for whoever counts such cells."""
    if isinstance(found, Numbers):
        with np.errstate(over="ignore"):  # What is too large afterwards is told as of any column.
            return Numbers(found.values * one.slope + one.intercept, None, name)
    return cells.respelled(found, [_number(text, one) for text in found.distinct])


def _number(text: str, one: Translation) -> str:
    return cells.spelled(one.converted(float(text))) if cells.is_number(text) else text
