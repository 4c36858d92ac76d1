"""How a key is entered, how a value is spelled in its field, and what a field's text means."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, TypeAlias, get_args, get_origin

from pydantic.fields import FieldInfo

from medfl.errors import PlanError
from medfl.spec.anatomy import bare, element_of, members, parts_of, words_of
from medfl.spec.part import Part
from medfl.spec.study import Study

Widget: TypeAlias = Literal["word", "words", "switch", "number", "text", "list", "lines", "elsewhere"]
"""A word or some of a few, yes or no, a number, a line, one a line, "name = value" lines, or only in the text."""
OPTIONAL = "left out"
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+(?:e[+-]?\d+)?)", re.IGNORECASE)
_BETWEEN_NUMBERS = re.compile(r"\s*;\s*|,?\s+(?:to\s+)?")
_TWO_NUMBERS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_BETWEEN_THOUSANDS = re.compile(r"(?<=\d)[ \u00a0\u202f](?=\d{3}(?:\D|$))")


def widget_of(field: FieldInfo) -> Widget:
    """Return how a key is entered."""
    if parts_of(field):
        return "elsewhere"
    kinds = tuple(map(bare, members(field.annotation)))
    if any(get_origin(kind) is tuple for kind in kinds):
        return "words" if words_of(element_of(field.annotation)) else "list"
    if any(get_origin(kind) is dict or kind is dict for kind in kinds):
        return "lines"
    if words_of(field.annotation) and all(get_origin(kind) is Literal for kind in kinds):
        return "word"
    if bool in kinds:
        return "switch"
    return "number" if kinds and all(kind in (int, float) for kind in kinds) else "text"


def spelled(value: object) -> str:
    """Spell a value as its field shows it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return "\n".join(f"{name} = {_in_line(inner)}" for name, inner in value.items())
        case Part():
            return ""
        case list() | tuple():
            return "\n".join(map(spelled, value))
    return str(value)


def meant(path: tuple[str | int, ...], text: str) -> Any:
    """Return what a field's text means as a value of the spec; None where it is empty, and so is to be left out.

    What cannot be meant stays text: the study's own complaint is better than one of the form's.
    """
    text = text.strip()
    if not text:
        return None
    field = field_at(path)
    match widget_of(field) if field is not None else "text":
        case "switch":
            return {"yes": True, "no": False}.get(text, text)
        case "number":
            return _number(text)
        case "list" | "words":
            return _listed(field, text)
        case "lines" if "=" in text:
            pairs = (line.partition("=") for line in text.splitlines() if line.strip())
            return {name.strip(): _entry(field, value.strip()) for name, _, value in pairs}
        case "text" if field is not None and {int, float} & set(map(bare, members(field.annotation))):
            return _number(text)
    return text


def field_at(path: tuple[str | int, ...]) -> FieldInfo | None:
    """Return the key of the language that a path leads to, in any of the kinds that a table can be."""
    steps = [step for step in (path[2:] if path[:1] == ("arm",) else path) if isinstance(step, str)]
    parts: tuple[type[Part], ...] = (Study,)
    field: FieldInfo | None = None
    for step in steps:
        field = next((part.model_fields[step] for part in parts if step in part.model_fields), None)
        if field is None:
            return None
        parts = parts_of(field)
    return field


def _in_line(value: object) -> str:
    """Spell what belongs to a name: several with commas between, in quotes where one has a comma itself."""
    if not isinstance(value, list | tuple):
        return spelled(value)
    return ", ".join(_quoted(one) if set(one) & {",", '"'} else one for one in map(spelled, value))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _entry(field: FieldInfo | None, text: str) -> object:
    """Return what a name stands for, by what the key holds: a text, a number, several of either."""
    tables = [kind for kind in map(bare, members(field.annotation)) if get_origin(kind) is dict] if field else []
    inner = bare(get_args(tables[0])[1]) if tables else None
    if get_origin(inner) is tuple:
        if float in get_args(inner):
            # Two numbers with a comma between them, which without a space could be the comma of a decimal.
            apart = _BETWEEN_NUMBERS.split(text)
            return [_number(one) for one in (apart if len(apart) > 1 else text.split(",")) if one]
        return [one.strip() for one in next(csv.reader([text], skipinitialspace=True), []) if one.strip()]
    return text if inner is str else _number(text)


def _number(text: str) -> object:
    """Return a number, written with a point or a comma, and with or without spaces between thousands.

    Raises
    ------
    PlanError
        If it can be two numbers: "1,000" is a thousand to some, and one to others.
    """
    if _TWO_NUMBERS.fullmatch(text):
        raise PlanError(
            "this number can be read in two ways: is its comma between thousands, or before decimals?",
            received=text,
            remedy=f"write {text.replace(',', '')} or {text.replace(',', '.')}",
        )
    plain = _BETWEEN_THOUSANDS.sub("", text)
    for kind in (int, float):
        with suppress(ValueError):
            return kind(_DECIMAL_COMMA.sub(r"\1.\2", plain))
    return text


def _listed(field: FieldInfo | None, text: str) -> list[object]:
    """Return the entries of a list, one a line; numbers may share a line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    kinds = map(bare, members(field.annotation)) if field is not None else ()
    inside = [bare(inner) for kind in kinds for inner in get_args(kind) if inner is not ...]
    if not inside or not all(one in (int, float) for one in inside):
        return list(lines)
    if int in inside and float not in inside:
        lines = [one for line in lines for one in line.split(",")]
    return [_number(one.strip()) for line in lines for one in _BETWEEN_NUMBERS.split(line) if one.strip()]
