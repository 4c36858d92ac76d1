"""Where each key of a TOML text is written; :mod:`tomllib` reads values and forgets their places.

The text is known to be valid, since :func:`tomllib.loads` has read it, so that finding keys takes only the grammar's
brackets, quotes and commas.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""A key with all it lies in; arrays are entered by position, from 0."""


def lines(text: str) -> Mapping[KeyPath, int]:
    """Return the line, from 1, on which each table, key and array element of a valid TOML text begins.

    A table's line is that of its header; where it has none, that of the first key that lies in it.
    """
    return _Scan(text).document()


def nearest(path: KeyPath, known: Mapping[KeyPath, int]) -> int | None:
    """Return the line of a key or, where it is not written, of what it would lie in."""
    for length in range(len(path), 0, -1):
        if path[:length] in known:
            return known[path[:length]]
    return None


_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_KEY = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|[\w-]+')
_STRING = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\])*"|\'[^\']*\'', re.DOTALL)
_PLAIN = re.compile(r"\d{4}-\d\d-\d\d \d[^\s,\]}#]*|[^\s,\]}#]+")


class _Scan:
    """One pass over a text; `at` is where it has come to."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.found: dict[KeyPath, int] = {}
        self.opened: dict[KeyPath, int] = {}
        """Arrays of tables, and the position of the element that was opened last."""

    def document(self) -> Mapping[KeyPath, int]:
        table: KeyPath = ()
        while self._next():
            if self._take("["):
                table = self._header()
            else:
                self._pair(table)
        return self.found

    def _header(self) -> KeyPath:
        """Read ``[a.b]`` or ``[[a.b]]`` and return the table it opens."""
        line, many = self.line, self._take("[")
        path: KeyPath = ()
        for key in self._dotted():
            if path in self.opened:
                path = (*path, self.opened[path])
            self.found.setdefault((*path, key), line)
            path = (*path, key)
        self._take("]")
        if many:
            self._take("]")
            self.opened[path] = self.opened.get(path, -1) + 1
        if path in self.opened:
            path = (*path, self.opened[path])
        self.found[path] = line
        return path

    def _pair(self, table: KeyPath) -> None:
        """Read ``a.b = value``."""
        path = table
        for key in self._dotted():
            path = (*path, key)
            self.found.setdefault(path, self.line)
        self._take("=")
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._next()
        if self._take("["):
            self._elements(path)
        elif self._take("{"):
            self._inline_table(path)
        else:
            self._pass(_STRING if self.text[self.at] in "\"'" else _PLAIN)

    def _elements(self, path: KeyPath) -> None:
        position = 0
        while not self._take("]"):
            self.found[(*path, position)] = self.line
            self._value((*path, position))
            self._take(",")
            position += 1

    def _inline_table(self, path: KeyPath) -> None:
        while not self._take("}"):
            self._pair(path)
            self._take(",")

    def _dotted(self) -> Iterator[str]:
        yield self._key()
        while self._take("."):
            yield self._key()

    def _key(self) -> str:
        self._next()
        written = self._pass(_KEY)
        if written.startswith('"'):
            return str(tomllib.loads(f"key = {written}")["key"])
        return written.strip("'")

    def _next(self) -> bool:
        """Pass over blanks and comments; say whether anything is left."""
        self._pass(_BLANK)
        return self.at < len(self.text)

    def _take(self, mark: str) -> bool:
        """Pass over blanks, then over `mark` if it stands there."""
        self._next()
        if not self.text.startswith(mark, self.at):
            return False
        self.at += len(mark)
        return True

    def _pass(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        passed = match.group() if match else ""
        self.at += len(passed)
        self.line += passed.count("\n")
        return passed
