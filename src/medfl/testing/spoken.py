"""What a page says, and which of it is not in its reader's language: for tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser

from medfl.spec.schema import json_schema

READ = ("aria-label", "title", "placeholder", "alt", "label", "data-done")
"""Attributes that are read out, or shown."""
_SILENT = ("script", "style", "code", "pre", "textarea", "head")
_VOID = ("area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr")
_WORD = re.compile(r"[^\W\d_]{2,}")
_CODE = re.compile(r"\"[^\"]*\"|'[^']*'|\[[\w.]+\]|/[\w/.-]+|[\w.]+ = \S+|medfl(?: [a-z-]+)+|\b\w*[-_\d.][\w.-]*\b")
"""What is quoted, a key of a study, an address, a command, or the name of something: the same in every language."""


@dataclass(frozen=True, slots=True)
class Saying:
    """A piece of a page's text, and the language that it says it is in."""

    text: str
    language: str


def sayings(html: str, *, language: str) -> list[Saying]:
    """Return all that a page of a language shows and has read out, but for code."""
    parser = _Spoken(language)
    parser.feed(html)
    parser.close()
    return parser.found


def words_of_one_only(texts: Mapping[str, str]) -> frozenset[str]:
    """Return the words that are only in texts, and in none of their translations."""

    def words(every: Iterable[str]) -> frozenset[str]:
        plain = (re.sub(r"%\(\w+\)s|\{\w+\}|<[^>]*>", " ", text).lower() for text in every)
        return frozenset(word for text in plain for word in _WORD.findall(text))

    return words(texts) - words(texts.values())


def foreign(text: str, words: frozenset[str], *, names: Iterable[str] = ()) -> Iterator[str]:
    """Yield the words of a text that are among those of another language, and not in a name."""
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", text)
    yield from (word for word in _WORD.findall(_CODE.sub(" ", text).lower()) if word in words)


@cache
def words_of_language() -> frozenset[str]:
    """Return the words of which keys and choices of the studies' language are made: code in every language."""
    return frozenset(word for name in _named(json_schema()) for word in _WORD.findall(name.lower()))


def _named(schema: object) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key == "properties":
                yield from value
            yield from map(str, value if key == "enum" else [value] if key == "const" else ())
            yield from _named(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _named(value)


class _Spoken(HTMLParser):
    def __init__(self, language: str) -> None:
        super().__init__()
        self.found: list[Saying] = []
        self._within: list[tuple[str, str, bool]] = [("", language, False)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        _, language, silent = self._within[-1]
        language = told.get("lang") or language
        quiet = silent or told.get("translate") == "no"
        if not quiet:
            self.found += [Saying(value, language) for name, value in attrs if name in READ and value]
        if tag not in _VOID:
            self._within.append((tag, language, quiet or tag in _SILENT))

    def handle_endtag(self, tag: str) -> None:
        if any(name == tag for name, _, _ in self._within):
            while self._within.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        _, language, silent = self._within[-1]
        if not silent and data.strip():
            self.found.append(Saying(" ".join(data.split()), language))
