"""Reads words that came from elsewhere, so that whoever uses them meets nothing that breaks later.

Of JSON Python reads lists as deep as its stack, halves of letters, and numbers of thousands of digits; it then fails
when they are written down, logged or counted with. Here they are refused where they arrive.
"""

from __future__ import annotations

import json
from typing import Any

DEEPEST = 64
"""How deep lists and objects may lie in each other."""
LARGEST = 2**128
"""The largest whole number."""
LONGEST = 8000
"""Letters of the longest sentence that is shown to people."""


def understood(text: str | bytes) -> Any:
    """Return what JSON says.

    Raises
    ------
    ValueError
        If it is none, or holds what could not be written down again.
    """
    try:
        said = json.loads(text)
    except RecursionError:
        raise ValueError("too deep") from None
    _require_plain(said)
    return said


def printable(text: str) -> str:
    """Return a text in lines, up to a length, without anything that a terminal would obey."""
    cut = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    return "".join(one if one.isprintable() or one == "\n" else "�" for one in cut)


def _require_plain(said: object) -> None:
    level = [said]
    for _ in range(DEEPEST):
        deeper: list[object] = []
        for one in level:
            if isinstance(one, dict):
                deeper += one
                deeper += one.values()
            elif isinstance(one, list):
                deeper += one
            elif isinstance(one, str) and not one.isascii():
                one.encode()  # Half a letter raises a ValueError.
            elif isinstance(one, int) and abs(one) > LARGEST:
                raise ValueError("a number of too many digits")
        if not deeper:
            return
        level = deeper
    raise ValueError("too deep")
