"""What a key of the spec takes, in words that are read from its type: for error messages and for the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from medfl.spec.anatomy import kind_of, members
from medfl.spec.finding import one_of, toml
from medfl.spec.part import Part

NAME = "a short name of letters, digits, dots, dashes and underscores, a letter or digit first, 80 at most"


def expected(field: FieldInfo) -> str:
    """Say what a key takes, such as ``a whole number of at least 1``."""
    return in_words(field.annotation, field.metadata)


def in_words(annotation: object, metadata: Sequence[object] = ()) -> str:
    """Say what a type takes, within the bounds of its metadata."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return in_words(inner, _flat(more))
    parts = [member for member in members(annotation) if isinstance(member, type) and issubclass(member, Part)]
    if parts:
        return f"a table of kind {one_of(toml(kind_of(part)) for part in parts)}" if len(parts) > 1 else "a table"
    literals = [member for member in members(annotation) if get_origin(member) is Literal]
    words = [one_of(toml(word) for word in get_args(literal)) for literal in literals]
    others = [_single(member, metadata) for member in members(annotation) if member not in literals]
    return " or ".join(words + others)


def _single(kind: object, metadata: Sequence[object]) -> str:
    origin = get_origin(kind)
    if origin is Annotated:
        return in_words(kind)
    if origin is tuple:
        least = "one or more " if _edge(metadata, "min_length") else ""
        return f"a list of {least}{_plural(in_words(get_args(kind)[0]))}"
    if origin is dict:
        inner = get_args(kind)[1]
        return "a table" if inner is Any else f"a table of {_plural(in_words(inner))}, one for each name"
    if kind is str:
        if any(getattr(bound, "pattern", None) for bound in metadata):
            return NAME
        return "text in quotes" + (", not empty" if _edge(metadata, "min_length") else "")
    return f"{_PLAIN.get(kind, 'a value')}{_range(metadata)}"


_PLAIN: Mapping[object, str] = MappingProxyType({int: "a whole number", float: "a number", bool: "true or false"})
_PLURALS = MappingProxyType(
    {"a whole number": "whole numbers", "a number": "numbers", "text in quotes": "texts in quotes", "a table": "tables"}
)


def _plural(words: str) -> str:
    if " or " not in words:
        for one, many in _PLURALS.items():
            if words.startswith(one):
                return many + words.removeprefix(one)
    return f"values, each {words}"


def _range(metadata: Sequence[object]) -> str:
    least, above = _edge(metadata, "ge"), _edge(metadata, "gt")
    most, below = _edge(metadata, "le"), _edge(metadata, "lt")
    match (least, above, most, below):
        case (str(), None, str(), None):
            return f" from {least} to {most}"
        case (str(), None, None, str()):
            return f" from {least} to below {below}"
        case (None, str(), None, str()):
            return f" above {above} and below {below}"
        case (None, str(), str(), None):
            return f" above {above} and of at most {most}"
    said = {" of at least ": least, " above ": above, " of at most ": most, " below ": below}
    return "".join(f"{words}{edge}" for words, edge in said.items() if edge is not None)


def _edge(metadata: Sequence[object], name: str) -> str | None:
    for bound in metadata:
        edge = getattr(bound, name, None)
        if edge is not None:
            return f"{edge:,}".replace(",", " ") if isinstance(edge, int) else f"{edge:g}"
    return None


def _flat(metadata: Sequence[object]) -> list[object]:
    """Return bounds as a flat list: a FieldInfo within ``Annotated`` keeps them one level down."""
    return [bound for entry in metadata for bound in _bounds(entry)]


def _bounds(entry: object) -> Iterator[object]:
    if isinstance(entry, FieldInfo):
        yield from entry.metadata
    else:
        yield entry
