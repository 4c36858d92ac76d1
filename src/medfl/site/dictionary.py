"""A data dictionary: what the columns of a hospital's table mean, in which units, and what their codes stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from medfl.errors import DataError, did_you_mean, listed
from medfl.learn.data.cells import spelled
from medfl.learn.data.tables import read_table
from medfl.spec.reading import data_of, text_of

_KEYS = ("description", "unit", "codes")
_NAMES = MappingProxyType(
    {
        "column": ("column", "name", "variable", "field"),
        "description": ("description", "label", "meaning"),
        "unit": ("unit", "units"),
        "codes": ("codes", "values", "categories"),
    }
)
"""What the columns of a dictionary that is a CSV file may be called."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one column means.

    Parameters
    ----------
    description
        A few words; empty where none are given.
    unit
        Unit as text; empty where none is given.
    codes
        What each code stands for; where there are any, the column's numbers are codes and no quantities.
    """

    description: str = ""
    unit: str = ""
    codes: Mapping[str, str] = field(default_factory=dict)


def read_dictionary(path: Path) -> dict[str, Meaning]:
    """Read a dictionary from a TOML file, one table a column, or a CSV file, one line a column.

    In a CSV file codes are written ``0=no; 1=yes``.

    Raises
    ------
    MedflError
        If there is no such file, or it is no dictionary.
    """
    if path.suffix.lower() == ".toml":
        data = data_of(text_of(path, "data dictionary"), path.name, "data dictionary")
        return {column: _meaning(column, said, path) for column, said in data.items()}
    return dict(_lines(read_table(path), path))


def _meaning(column: str, said: object, path: Path) -> Meaning:
    where = f"{path}, [{column}]"
    if not isinstance(said, dict):
        raise DataError("a column's entry must be a table", where=where, remedy=f"write [{column}], its keys below")
    for key in said:
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS) or f"the keys are {listed(_KEYS)}"
            raise DataError(f"{key} is not a key here", where=where, remedy=hint)
    texts = {key: said.get(key, "") for key in ("description", "unit")}
    codes = said.get("codes", {})
    if not all(isinstance(text, str) for text in texts.values()):
        raise DataError("description and unit must be texts", where=where, remedy='write them in quotes: unit = "kg"')
    if not isinstance(codes, dict) or not all(isinstance(text, str) for text in codes.values()):
        raise DataError("codes must be a table of texts", where=where, remedy='write codes = { 0 = "no", 1 = "yes" }')
    return Meaning(texts["description"], texts["unit"], {spelled(code): text for code, text in codes.items()})


def _lines(frame: pd.DataFrame, path: Path) -> Iterator[tuple[str, Meaning]]:
    by_lower = {str(name).strip().casefold(): str(name) for name in frame.columns}
    found = {key: next((by_lower[one] for one in names if one in by_lower), None) for key, names in _NAMES.items()}
    if found["column"] is None:
        raise DataError(
            "the data dictionary does not say which column each line is about",
            where=str(path),
            received=f"columns {listed(map(repr, frame.columns), 8)}",
            remedy="call its columns column, description, unit and codes",
        )
    for at, line in enumerate(frame.to_dict("records"), start=2):
        column = _text(line, found["column"])
        if not column:
            raise DataError("a line names no column", where=f"{path}, line {at}", remedy="name it, or remove the line")
        codes = dict(_codes(_text(line, found["codes"]), f"{path}, line {at}"))
        yield column, Meaning(_text(line, found["description"]), _text(line, found["unit"]), codes)


def _text(line: Mapping[Any, Any], name: str | None) -> str:
    value = line.get(name) if name is not None else None
    return "" if value is None or pd.isna(value) else spelled(value)


def _codes(text: str, where: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, (one.strip() for one in text.replace("|", ";").split(";"))):
        code, sign, meaning = part.partition("=")
        if not sign:
            raise DataError("a code without its meaning", where=where, remedy="write codes as 0=no; 1=yes")
        yield spelled(code), meaning.strip()
