"""Finds finished sentences in a catalogue whose texts have places for what varies.

What a place may hold follows from its name: ``{n}``, ``{n1}`` a number; ``{count}`` a number or a small one as a word;
``{range}``, ``{range_low}`` figures with what belongs to them; ``{key}``, ``{place}`` a key of a study; ``{quoted}`` a
word in quotation marks, ``{value}`` a value; ``{say_…}`` words that must be in the catalogue themselves; ``{told_…}``
words that are somebody's own unless the catalogue has them; ``{arm}`` a way of learning; ``{names}``, ``{sites}``,
``{arms}``, ``{list}`` several with "and" before the last, ``{series}`` several with semicolons or full stops between;
every other one a name, which stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType

_PLACE = re.compile(r"\{(\w+)\}")
_NUMBER = r"[−-]?\d(?:[\d.,\u00a0\u202f]| (?=\d{3}))*(?:e[+-]?\d+)?"
EQUAL = "(the repeats are equal)"
_FIGURES = rf"[−-]?\d[\d.,\u202f−–%() to]*(?:{re.escape(EQUAL)})?"
_WITHIN = r"(?:(?![.?!] [A-Z…]| → ).)+?"
"""Anything but the end of a sentence with another, or with what to do, behind it."""
_ENDS = re.compile(r"(?<=[.?!]) (?=[A-Z…]|\d+% )")
_ROLES = "admin|coordinator|researcher|data owner|auditor|no role"
_HELD: Mapping[str, str] = MappingProxyType(
    {
        "key": r"[\w.\[\]-]+",
        "place": r"[\w.\[\]-]+",
        "quoted": r'"[^"]*"',
        "value": r"\S+",
        "outcome": r"'[^']*'",
        "site": r"[^,;:()]+?",
        "field": r"[^,;]+?",
        "arms": r"(?!between )(?:(?![.?!] [A-Z…]| → |, and of ).)+?",
        "told_reason": r".+?",
        "time": r"\d\d:\d\d",
        "person": r"[\w.@+-]*[A-Za-z][\w.@+-]*|whoever is at this machine",
        "say_sites": r"\S+ sites?",
        "say_outcome": r"The (?:[a-z]+ )?outcome",
        "say_p": r"p [=<] [\d.,]+",
        "say_role": _ROLES,
        "say_other": _ROLES,
        "say_somebody": r"an? [a-z]+(?: owner)?(?: \([^)]*\))?",
        "arm": r"'?[\w.…-]+'?(?:, fine-tuned)?",
    }
)
_TAIL = re.compile(r"(?<= )[(−\d][^A-Za-z]*(?: to [^A-Za-z]*)?$")
_BREAKS = re.compile(r"(; |\. )")
_LISTS = ("names", "sites", "arms", "list")
_WAYS = frozenset({"federated", "alone", "centralised", "fine-tuned"})
REMEMBERED = 4096
DEEP = 4
"""Sentences within sentences within sentences."""


def has_places(text: str) -> bool:
    """Say whether a text has places for what varies."""
    return _PLACE.search(text) is not None


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A text with places; `longest` is its longest piece between them, by which most others are known at once."""

    text: str
    words: str
    longest: str

    def matches(self, text: str) -> re.Match[str] | None:
        return _expression(self.text).fullmatch(text) if self.longest in text else None


class Sentences:
    """Sentences of one language.

    Parameters
    ----------
    texts
        What each English text is, with or without places.
    figures
        Writes a number's digits as the language does.
    count
        Writes a small number that was a word.
    between
        What stands between two of several.
    """

    def __init__(
        self,
        texts: Mapping[str, str],
        *,
        figures: Callable[[str], str],
        count: Callable[[str], str],
        between: str = "; ",
    ) -> None:
        self._texts, self._figures, self._count, self._between = texts, figures, count, between
        self._patterns = tuple(_patterns(texts))
        self.found = lru_cache(REMEMBERED)(self._found)

    def pieces(self, text: str) -> list[tuple[str, bool]]:
        """Return a text in this language, in pieces, each with whether it has words in it."""
        whole = self.found(text)
        if whole is not None:
            return [(whole, True)]
        every = _ENDS.split(text)
        told = [(one, self.found(one)) for one in every] if len(every) > 1 else []
        if not any(found is not None for _, found in told):
            return [(text, False)]
        return [(one if found is None else found, found is not None) for one, found in told]

    def _found(self, text: str, depth: int = 0) -> str | None:
        if text in self._texts and not has_places(text):
            return self._texts[text]
        return self._with_places(text, depth) or self._turned(text, depth)

    def _with_places(self, text: str, depth: int) -> str | None:
        for pattern in self._patterns if depth < DEEP else ():
            match = pattern.matches(text)
            filled = self._filled(pattern.words, match.groupdict(), depth) if match else None
            if filled is not None:
                return filled
        return None

    def _turned(self, text: str, depth: int) -> str | None:
        """Return what is known with a small letter where a sentence begins, or with a capital within one."""
        lowered = text[:1].lower() + text[1:]
        if lowered != text:
            found = self._found(lowered, depth)
            return None if found is None else found[:1].upper() + found[1:]
        raised = text[:1].upper() + text[1:]
        if not depth or raised == text:
            return None
        found = self._texts.get(raised) or self._texts.get(f"{raised}.")
        if found is not None and not has_places(found):
            return (found[:1].lower() + found[1:]).rstrip(".")
        found = self._with_places(raised, depth)
        return None if found is None else found[:1].lower() + found[1:]

    def _filled(self, words: str, places: Mapping[str, str], depth: int) -> str | None:
        """Return a text with its places filled; None where one of them has no words."""
        filled: dict[str, str] = {}
        for name, value in places.items():
            if name.startswith("say_"):
                found = self._found(value, depth + 1)
                if found is None:
                    return None
                filled[name] = found
            else:
                filled[name] = self._put(name, value, depth)
        return _PLACE.sub(lambda place: filled[place[1]], words)

    def _put(self, name: str, value: str, depth: int) -> str:
        """Return what varies as it is written in this language."""
        if name == "count":
            return self._count(value)
        if _is_figure(name):
            return self._figures(self._equal(value))
        if name.rstrip("0123456789") in _LISTS:
            return self._listed(value, depth)
        if name == "series":
            parts = _BREAKS.split(value)
            told = [
                part.replace("; ", self._between) if at % 2 else self._one(part, depth) for at, part in enumerate(parts)
            ]
            return "".join(told)
        if (
            name.startswith("told")
            or (name == "person" and " " in value)
            or (name.startswith("arm") and (value in _WAYS or "," in value))
        ):
            return self._found(value, depth + 1) or value
        return value

    def _listed(self, value: str, depth: int) -> str:
        """Return "a, b and c" with the language's word between the last two, and with what is known of each."""
        head, joined, last = value.rpartition(" and ")
        every = [*head.split(", "), last] if joined else value.split(", ")
        told = [self._one(one, depth) for one in every]
        return f"{', '.join(told[:-1])} {self._texts.get('and', 'and')} {told[-1]}" if joined else ", ".join(told)

    def _one(self, text: str, depth: int) -> str:
        """Return one of several: in words, or a name with the figures behind it as the language writes them."""
        known = self._found(text, depth + 1) if " " in text or text in _WAYS else None
        if known is not None:
            return known
        name, colon, several = text.partition(": ")
        if colon:
            return f"{name}{colon}{self._listed(several, depth)}"
        way, space, rest = text.partition(" ")
        named = f"{self._found(way, depth + 1) or way}{space}{rest}" if way in _WAYS else text
        return _TAIL.sub(lambda figures: self._figures(figures[0]), named)

    def _equal(self, figures: str) -> str:
        """Say that repeats are equal, which stands in the place of an interval."""
        inside = EQUAL.strip("()")
        return figures.replace(inside, self._texts.get(inside, inside))


def _patterns(texts: Mapping[str, str]) -> Iterable[_Pattern]:
    """Yield what sentences are compared with, those with most words of their own first."""
    placed = [(text, words) for text, words in texts.items() if has_places(text)]
    for text, words in sorted(placed, key=lambda one: -len(_PLACE.sub("", one[0]))):
        yield _Pattern(text, words, max(_PLACE.split(text)[::2], key=len))


@cache
def _expression(text: str) -> re.Pattern[str]:
    parts = _PLACE.split(text)
    made = [re.escape(part) if place % 2 == 0 else f"(?P<{part}>{_held(part)})" for place, part in enumerate(parts)]
    return re.compile("".join(made), re.DOTALL)


def _held(name: str) -> str:
    """Return what a place may hold, as a regular expression."""
    kind = name.rstrip("0123456789")
    if kind in _HELD:
        return _HELD[kind]
    return _NUMBER if _is_number(name) else _FIGURES if name.startswith("range") else _WITHIN


def _is_number(name: str) -> bool:
    return re.fullmatch(r"n\d*", name) is not None


def _is_figure(name: str) -> bool:
    return _is_number(name) or name.startswith("range")
