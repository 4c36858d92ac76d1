"""Bytes, words and damage for tests of whatever arrives from elsewhere: few and the same each time, or many and new.

``make fuzz`` sets MEDFL_FUZZ, by which the number of examples is multiplied; they are then drawn anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FACTOR = "MEDFL_FUZZ"
WORDS = st.text(max_size=12) | st.sampled_from(
    ["", "\ud800", "\x1b[2J", "../../x", "a\nb", "\x00", "NaN", "9" * 400, "é" * 40]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
"""Any JSON, with letters that are halves and numbers that are none."""


def fuzzed(examples: int) -> settings:
    """Return the settings of a test over so many examples."""
    factor = int(os.environ.get(FACTOR) or 0)
    return settings(
        max_examples=examples * max(factor, 1),
        derandomize=not factor,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


EDITS = st.lists(
    st.tuples(
        st.integers(0, 2**20),
        st.integers(0, 8),
        st.sampled_from(["put", "change", "take", "double"]),
        st.binary(max_size=8),
    ),
    min_size=1,
    max_size=4,
)
"""Damage to bytes of any length."""
CHANGES = st.lists(st.tuples(st.integers(0, 2**20), JSON), min_size=1, max_size=3)
"""Other words in place of those that were meant."""


def damaged(body: bytes, edits: Iterable[tuple[int, int, str, bytes]]) -> bytes:
    """Return bytes with some of them changed, taken out, put in, or doubled."""
    for where, length, how, by in edits:
        at = where % (len(body) + 1)
        match how:
            case "put":
                body = body[:at] + by + body[at:]
            case "change":
                body = body[:at] + by + body[at + len(by) :]
            case "take":
                body = body[:at] + body[at + length :]
            case _:
                body = body[:at] + body[max(at - 40, 0) :]
    return body


def altered(words: Mapping[str, Any], changes: Iterable[tuple[int, Any]]) -> dict[str, Any]:
    """Return words with something else in place of some of them, at whatever depth."""
    said = dict(words)
    for which, by in changes:
        found = places(said)[1:]
        if found:
            said = replaced(said, found[which % len(found)], by)
    return said


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where something stands in a value, the value itself first."""
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], by: object) -> Any:
    """Return a value with something else at a place."""
    if not path:
        return by
    key, *rest = path
    if isinstance(value, Mapping):
        return {**value, key: replaced(value.get(key), tuple(rest), by)}
    return [replaced(one, tuple(rest), by) if place == key else one for place, one in enumerate(value)]
