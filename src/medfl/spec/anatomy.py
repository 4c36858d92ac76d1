"""How a study is put together: which part lies under which key, and which kinds of it there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from medfl.spec.part import Named, Part
from medfl.spec.study import Study

TAGS = ("kind", "optimizer")


def members(annotation: object) -> tuple[object, ...]:
    """Return the members of a union but None; the type itself where it is no union."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(member for member in get_args(annotation) if member is not NoneType)
    return (annotation,)


def bare(annotation: object) -> object:
    """Return a type without what ``Annotated`` says of it."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def parts_of(field: FieldInfo) -> tuple[type[Part], ...]:
    """Return the parts that a key holds, by itself, in a list or under names: one, or one for each kind."""
    annotation: object = field.annotation
    inside = get_args(annotation)[:1] if get_origin(annotation) is tuple else members(annotation)
    if named(field):
        inside = (bare(element_of(annotation)),)
    return tuple(member for member in inside if isinstance(member, type) and issubclass(member, Part))


def named(field: FieldInfo) -> bool:
    """Say whether a key holds a table of parts whose names are the user's."""
    element = bare(element_of(field.annotation))
    is_table = any(get_origin(bare(member)) is dict for member in members(field.annotation))
    return is_table and isinstance(element, type) and issubclass(element, Part)


def short_of(field: FieldInfo) -> str | None:
    """Return the key whose value alone may be written in place of a part; None where there is none."""
    inside = element_of(field.annotation) if named(field) else None
    metadata = (*get_args(inside)[1:], *field.metadata)
    return next((step.func.key for step in metadata if isinstance(getattr(step, "func", None), Named)), None)


def element_of(annotation: object) -> object:
    """Return the type of what a list or table holds; None where it is neither."""
    for member in map(bare, members(annotation)):
        if get_origin(member) is tuple:
            return get_args(member)[0]
        if get_origin(member) is dict:
            return get_args(member)[1]
    return None


def words_of(annotation: object) -> tuple[str, ...]:
    """Return the words that a key can be, where there are only so many."""
    choices = (member for member in members(annotation) if get_origin(member) is Literal)
    return tuple(word for choice in choices for word in get_args(choice) if isinstance(word, str))


def tag_of(part: type[Part]) -> str | None:
    """Return the key that names the kind, where a part is one of several kinds."""
    return next((tag for tag in TAGS if tag in part.model_fields), None)


def kind_of(part: type[Part]) -> str:
    """Return the name of a part that is one of several kinds; nothing for another."""
    tag = tag_of(part)
    return "" if tag is None or part.model_fields[tag].is_required() else str(part.model_fields[tag].default)


def chosen(field: FieldInfo, value: object) -> type[Part] | None:
    """Return the part that a key's value asks for; the usual one where it does not say; None for an unknown kind."""
    parts = parts_of(field)
    if len(parts) <= 1:
        return parts[0] if parts else None
    tag = tag_of(parts[0])
    asked = value.get(tag) if isinstance(value, Mapping) else value
    if asked is None:
        usual: object = field.get_default(call_default_factory=True)
        return type(usual) if isinstance(usual, Part) else None
    return next((part for part in parts if kind_of(part) == asked), None)


def tables(part: type[Part] = Study, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type[Part]]]:
    """Yield every table of a spec with the part that it holds, in the order in which they are declared."""
    for name, field in part.model_fields.items():
        for inner in parts_of(field):
            yield (*path, name), inner
            yield from tables(inner, (*path, name, "NAME") if named(field) else (*path, name))
