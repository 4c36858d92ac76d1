"""What a site's table is like, without a row of it: types, categories, missingness, ranges."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from medfl.errors import Complaint, DataError
from medfl.learn.data import cells, positive
from medfl.learn.data.cells import Numbers, Texts
from medfl.learn.data.delimited import DECIMAL_COMMA, GROUPED
from medfl.learn.data.sheet import Sheet, Table, sheet_of
from medfl.spec.data import Data

MOST_CATEGORIES = 64
"""More different texts than this in a column are an identifier or free text, not categories."""

LARGEST = float(np.finfo(np.float32).max)
_FEW_ROWS = 20
"""Below this many rows, all values being different says nothing."""
_NEARLY_ALL = 0.9


@dataclass(frozen=True, slots=True)
class Column:
    """One column of one site's table, or of all sites' after merging.

    Parameters
    ----------
    name
        Its name.
    kind
        Quantities or categories.
    unit
        Unit as text; empty where none is given.
    categories
        The categories that occur, in order. For a target: the classes that occur, also where they are whole numbers
        (empty where there are too many to be classes).
    missing
        Number of rows without a value.
    minimum, maximum
        Of a numeric column; None where no row has a value.
    integral
        Whether all values of a numeric column are whole numbers.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    unit: str = ""
    categories: tuple[str, ...] = ()
    missing: int = 0
    minimum: float | None = None
    maximum: float | None = None
    integral: bool = False

    @property
    def blank(self) -> bool:
        """Whether no row has a value, so that the kind is not known."""
        return self.minimum is None and not self.categories


@dataclass(frozen=True, slots=True)
class Schema:
    """A site's columns in use, its number of rows, and the names of the columns not in use."""

    columns: tuple[Column, ...]
    rows: int
    unused: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over names, kinds, units and categories; counts and values have no part in it."""
        sort = [[c.name, c.kind, c.unit, c.categories if c.kind == "categorical" else ()] for c in self.columns]
        return hashlib.sha256(json.dumps(sorted(sort), ensure_ascii=False).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        value: dict[str, Any] = _SCHEMA.dump_python(self, mode="json")
        return value

    @staticmethod
    def from_json(value: object) -> Schema:
        """Return what :meth:`to_json` was called on."""
        return _SCHEMA.validate_python(value)


_SCHEMA = TypeAdapter(Schema)


def infer(table: Table, data: Data, *, without: Sequence[str] = ()) -> Schema:
    """Describe the columns in use: the target and the features, or all columns.

    Parameters
    ----------
    table
        One site's table.
    data
        What the study says about it.
    without
        Columns that are never features, such as a patient's ID.

    Raises
    ------
    DataError
        All that is wrong with the columns in use, at once.
    """
    schema, complaints = described(table, data, without=without)
    if complaints:
        raise DataError.of(list(complaints.values()))
    return schema


def described(table: Table, data: Data, *, without: Sequence[str] = ()) -> tuple[Schema, dict[str, Complaint]]:
    """Describe the columns in use as :func:`infer` does, and what is wrong with those that cannot be used, by name."""
    columns: list[Column] = []
    complaints: dict[str, Complaint] = {}
    sheet = sheet_of(table)
    used = in_use(sheet.names, data, without)
    for name in used:
        found = _target(sheet, data) if name == data.target else _feature(sheet, name, data)
        if isinstance(found, Column):
            columns.append(found)
        else:
            complaints[name] = found
    return Schema(tuple(columns), len(sheet), tuple(name for name in sheet.names if name not in used)), complaints


def in_use(present: Sequence[str], data: Data, without: Sequence[str]) -> list[str]:
    """Return the columns of a table that a study uses: the target and the features, or all but `without`."""
    if data.features is not None:
        return [name for name in dict.fromkeys([*data.features, data.target]) if name in present]
    return [name for name in present if name == data.target or name not in {*without, *_dealt_by(data)}]


def too_large(name: str, values: NDArray[np.float64]) -> Complaint | None:
    """Find values that single precision cannot hold, infinity among them."""
    beyond = np.count_nonzero(np.abs(values) > LARGEST)
    if not beyond:
        return None
    number = int((~np.isnan(values)).sum())
    return Complaint(
        f"values that are infinite or too large: {beyond} of {number}",
        _place(name),
        "",
        "leave those cells empty, or correct them",
    )


def _dealt_by(data: Data) -> Iterator[str]:
    if data.simulate is not None and data.simulate.partition.kind == "column":
        yield data.simulate.partition.column


def _feature(sheet: Sheet, name: str, data: Data) -> Column | Complaint:
    try:
        found = sheet.cells(name, data.missing)
    except DataError as error:
        return error.complaints[0]
    unit = data.units.get(name, "")
    if name in data.categorical or (isinstance(found, Texts) and not _mostly_numbers(found)):
        return _categorical(name, unit, sheet.texts(name, data.missing))
    return _numeric(name, unit, found)


def _target(sheet: Sheet, data: Data) -> Column | Complaint:
    """Describe the target with the classes that occur, as far as its values can be classes."""
    name, unit = data.target, data.units.get(data.target, "")
    try:
        found = sheet.cells(name, data.missing)
        if data.positive is not None:
            return _decided(name, unit, positive.parse(data.positive), found)
    except DataError as error:
        return error.complaints[0]
    if isinstance(found, Texts) and not _mostly_numbers(found):
        return _classes(name, unit, found)
    column = _numeric(name, unit, found)
    if isinstance(column, Complaint) or isinstance(found, Texts) or data.outcome == "regression":
        return column
    if not column.integral and data.outcome is None:
        return column
    if found.distinct > MOST_CATEGORIES:
        return column
    return replace(column, categories=sheet.texts(name, data.missing).distinct)


def _decided(name: str, unit: str, rule: positive.Positive, found: Numbers | Texts) -> Column:
    """Describe a target of which the study says what is positive: only the two classes are told."""
    yes = rule.holds(found, name)
    present = [label for value, label in enumerate(rule.classes(name)) if np.any(yes == value)]
    return Column(name, "categorical", unit, tuple(present), int(np.isnan(yes).sum()))


def _numeric(name: str, unit: str, found: Numbers | Texts) -> Column | Complaint:
    if isinstance(found, Texts):
        return _text_among_numbers(name, found)
    values = found.values
    here = values[~np.isnan(values)]
    missing = len(values) - len(here)
    if not len(here):
        return Column(name, "numeric", unit, (), missing)
    low, high, whole = float(here.min()), float(here.max()), bool((here == np.rint(here)).all())
    return too_large(name, here) or Column(name, "numeric", unit, (), missing, low, high, whole)


def _categorical(name: str, unit: str, found: Texts) -> Column | Complaint:
    distinct, here = len(found.distinct), found.present
    if distinct > MOST_CATEGORIES or (here >= _FEW_ROWS and distinct >= _NEARLY_ALL * here):
        return Complaint(
            f"{distinct} different texts in {here} values: it looks like an identifier or free text",
            _place(name),
            "",
            "leave it out of data.features (name the features to learn from), or group its values",
        )
    return Column(name, "categorical", unit, found.distinct, len(found.codes) - here)


def _classes(name: str, unit: str, found: Texts) -> Column | Complaint:
    if len(found.distinct) > MOST_CATEGORIES:
        return Complaint(
            f"the target has {len(found.distinct)} different texts, too many to be classes",
            _place(name),
            "",
            "say in data.positive which value counts as positive, or choose another target",
        )
    return Column(name, "categorical", unit, found.distinct, len(found.codes) - found.present)


def _text_among_numbers(name: str, found: Texts) -> Complaint:
    marked = found.count(_has_marks)
    if marked == found.not_numbers:
        many = f"{marked} of {found.present} values are not plain numbers"
        grouped = any(GROUPED.fullmatch(text) and not DECIMAL_COMMA.fullmatch(text) for text in found.distinct)
        return Complaint(
            f"numbers with something between their thousands: {many}" if grouped else f"decimal commas: {many}",
            _place(name),
            "",
            "write numbers plainly, such as 1234.5: a point, not a comma, and nothing between thousands"
            + (
                ""
                if grouped
                else '; or, where a CSV file has decimal commas, say decimal = "," in [data]; or, where they are '
                "codes, list the column in data.categorical"
            ),
        )
    return Complaint(
        f"text in a numeric column: {found.not_numbers - marked} of {found.present} values are not numbers",
        _place(name),
        "",
        "add the spelling to data.missing, or list the column in data.categorical",
    )


def _mostly_numbers(found: Texts) -> bool:
    """Whether a column with text in it was meant to be numeric; numbers with other marks than a point count."""
    strange = found.count(lambda text: not cells.is_number(text) and not _has_marks(text))
    return strange <= found.present / 2


def _has_marks(text: str) -> bool:
    """Whether a text is a number, but with a comma before its decimals, or something between its thousands."""
    return not cells.is_number(text) and bool(DECIMAL_COMMA.fullmatch(text) or GROUPED.fullmatch(text))


def _place(name: str) -> str:
    return f"column {name!r}"
