"""A site's table as the rest of the program sees it: columns of cells, each read once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from numpy.typing import NDArray

from medfl.learn.data import cells
from medfl.learn.data.cells import Cells, Numbers, Rows, Texts
from medfl.learn.data.prints import Prints, prints_of

if TYPE_CHECKING:
    import pandas as pd


class Sheet:
    """A table that reads a column when it is first asked for, and keeps what it read.

    Parameters
    ----------
    frame
        The table; its columns' names are text.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.names = tuple(map(str, frame.columns))
        self._frame = frame
        self._cells: dict[tuple[str, tuple[str, ...]], Cells] = {}
        self._texts: dict[tuple[str, tuple[str, ...]], Texts] = {}
        self._prints: list[Prints] = []

    def __len__(self) -> int:
        return len(self._frame)

    def without(self, name: str | None) -> Self:
        """Return the same sheet with a column that nobody sees."""
        other = copy(self)
        other.names = tuple(one for one in self.names if one != name)
        return other

    def showing(self, names: Collection[str] | None) -> Self:
        """Return the same sheet with these columns only; all where None."""
        if names is None:
            return self
        other = copy(self)
        other.names = tuple(one for one in self.names if one in names)
        return other

    def prints(self) -> Prints:
        """Return a number for each row, by which it is known again, as :func:`prints_of` does; shape (rows,)."""
        if not self._prints:
            self._prints.append(prints_of(self._frame))
        return self._prints[0]

    def raw(self, name: str) -> NDArray[Any]:
        """Return a column as it stands."""
        return self._frame[name].to_numpy()

    def cells(self, name: str, missing: Sequence[str] = ()) -> Cells:
        """Return what a column says, as :func:`~medfl.learn.data.cells.read` does."""
        key = name, tuple(missing)
        if key not in self._cells:
            self._cells[key] = self._read(name, missing)
        return self._cells[key]

    def texts(self, name: str, missing: Sequence[str] = ()) -> Texts:
        """Return what a column says, each number taken as a code."""
        key = name, tuple(missing)
        if key not in self._texts:
            self._texts[key] = self._spelled(name, missing)
        return self._texts[key]

    def _read(self, name: str, missing: Sequence[str]) -> Cells:
        return cells.read(self._frame[name], missing)

    def _spelled(self, name: str, missing: Sequence[str]) -> Texts:
        return self.cells(name, missing).texts()


class Part(Sheet):
    """Some rows of a sheet, which reads its columns once for all its parts; each keeps its own rows of them.

    Parameters
    ----------
    whole
        The sheet.
    rows
        Numbers of the rows.
    """

    def __init__(self, whole: Sheet, rows: Rows) -> None:
        self.names = whole.names
        self._whole, self._rows = whole, rows
        self._cells, self._texts = {}, {}

    def __len__(self) -> int:
        return len(self._rows)

    def prints(self) -> Prints:
        """Return a number for each row, as the sheet does."""
        return self._whole.prints()[self._rows]

    def raw(self, name: str) -> NDArray[Any]:
        """Return a column as it stands."""
        return self._whole.raw(name)[self._rows]

    def _read(self, name: str, missing: Sequence[str]) -> Cells:
        """Read a column as if nothing were known of the other rows."""
        return self._whole.cells(name, missing).take(self._rows).or_numbers()

    def _spelled(self, name: str, missing: Sequence[str]) -> Texts:
        if isinstance(self._whole.cells(name, missing), Numbers):
            return self._whole.texts(name, missing).take(self._rows)
        return super()._spelled(name, missing)


Table: TypeAlias = "pd.DataFrame | Sheet"
"""What a site's rows may come as."""


def sheet_of(table: Table) -> Sheet:
    """Return the table as a sheet."""
    return table if isinstance(table, Sheet) else Sheet(table)
