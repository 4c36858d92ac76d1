"""From a study back to text: the shortest that means the same, to the digest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tomlkit
from pydantic import ValidationError

from medfl.spec.study import Study

Words = dict[str, Any]

_SAID = frozenset({"kind", "optimizer"})
"""Keys that a reader looks for even where they are at their default: they name what a table is about."""
WIDEST = 100
"""A list that is longer goes on lines of its own."""
_SHOWN = ("model", "training", "algorithm")
"""Tables that are written even where all in them is at its default."""


def shortest(study: Study) -> Words:
    """Return a study as plain tables, without what follows by itself; keys in the order of the reference.

    Whether something follows by itself is not looked up but tried: it is left out, and the digest must stay.
    """
    whole: Words = study.model_dump(mode="json", exclude_none=True)
    digest = study.digest
    for path in list(_paths(whole)):
        if path[-1] in _SAID or (len(path) == 1 and path[0] in _SHOWN):
            continue
        without = _without(whole, path)
        if without is not None and _digest(without) == digest:
            whole = without
    return whole


def as_toml(study: Study) -> str:
    """Return a study as TOML, such that reading it gives the same digest."""
    return tables_as_toml(shortest(study))


def tables_as_toml(tables: Words) -> str:
    """Return plain tables as TOML, whether they are a study or not."""
    arms = tables.get("arm", [])
    named = isinstance(arms, list) and all(isinstance(arm, Mapping) for arm in arms)
    whole = {key: value for key, value in tables.items() if not (named and key == "arm")}
    blocks = [*_blocks(whole, ""), *(block for arm in arms if named for block in _blocks(arm, "arm", head="[[arm]]"))]
    return "\n".join(blocks)


def _blocks(table: Mapping[str, Any], name: str, *, head: str = "") -> Iterator[str]:
    """Yield a table and those in it, each as its header and its lines: keys first, as TOML wants it."""
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if plain or not table or head.startswith("[["):
        yield "".join([f"{head}\n" if head else "", *(f"{_key(key)} = {_value(plain[key])}\n" for key in plain)])
    for key in (key for key in table if key not in plain):
        path = f"{name}.{_key(key)}" if name else _key(key)
        yield from _blocks(table[key], path, head=f"[{path}]")


def _key(name: str) -> str:
    return tomlkit.dumps({name: 0}).removesuffix(" = 0\n")


def _value(value: object) -> str:
    """Spell a value, a list on one line where it fits."""
    if isinstance(value, list):
        line = f"[{', '.join(map(_value, value))}]"
        if len(line) <= WIDEST:
            return line
        return "[\n" + "".join(f"    {_value(inner)},\n" for inner in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + " }"
    return tomlkit.item(value).as_string()


def _paths(tables: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key, tables before what is in them."""
    for key, value in tables.items():
        yield (*above, key)
        if isinstance(value, Mapping):
            yield from _paths(value, (*above, key))


def _without(tables: Mapping[str, Any], path: tuple[str, ...]) -> Words | None:
    """Return the tables without one key; None where it is gone already, with the table that it stood in."""
    key, *below = path
    if key not in tables:
        return None
    if not below:
        return {name: value for name, value in tables.items() if name != key}
    inner = _without(tables[key], tuple(below))
    return None if inner is None else {**tables, key: inner}


def _digest(tables: Words) -> str | None:
    try:
        return Study.model_validate(tables).digest
    except ValidationError:
        return None
