"""Numbers, shares, times and spans as a reader of a language writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from babel.dates import format_datetime, format_time
from babel.numbers import format_decimal, get_decimal_symbol
from markupsafe import Markup

from medfl.publish.wording import NUMBERS

_LOCALES: Mapping[str, str] = MappingProxyType({"en": "en_GB", "fr": "fr_FR"})
_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "en": NUMBERS,
        "fr": ("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze"),
    }
)
_TO: Mapping[str, str] = MappingProxyType({"en": "to", "fr": "à"})
_BETWEEN = re.compile(r"(?<=\d) to (?=[−-]?\d)")
_POINT = re.compile(r"(?<![\d.])(\d+)\.(\d+)(?!\d|\.\d)")
"""Of a decimal number; a version has more of them."""


class Numerals:
    """Writes numbers in one language.

    Parameters
    ----------
    language
        Its code.
    """

    def __init__(self, language: str) -> None:
        self._language, self._locale = language, _LOCALES[language]

    def whole(self, value: int) -> str:
        """Return a count: "12,345"."""
        return str(format_decimal(value, locale=self._locale))

    def quantity(self, value: float) -> str:
        """Return a measured number with six figures at most: "18.016", "1,234.5"."""
        return str(format_decimal(float(f"{value:.6g}"), "#,##0.######", locale=self._locale))

    def spelled(self, value: int) -> str:
        """Return a small count as a word, as sentences begin with one: "four"; a large one in digits."""
        words = _WORDS[self._language]
        return words[value] if 0 <= value < len(words) else self.whole(value)

    def translated(self, word: str) -> str:
        """Return an English word for a small count in this language; anything else as it is."""
        if word.lower() not in NUMBERS:
            return word
        told = self.spelled(NUMBERS.index(word.lower()))
        return told if word.islower() else told.capitalize()

    def percent(self, share: float, digits: int = 0) -> str:
        """Return a share as a percentage: 0.085 as "8.5 %", if one digit is asked for."""
        pattern = "#,##0" + (f".{'#' * digits}" if digits else "")
        return f"{format_decimal(100 * share, pattern, locale=self._locale)}\u00a0%"

    def figures(self, text: str) -> str:
        """Return figures that are written already, with this language's decimal sign: "0.93 (0.90 to 0.96)"."""
        return _BETWEEN.sub(f" {_TO[self._language]} ", _POINT.sub(rf"\1{get_decimal_symbol(self._locale)}\2", text))

    def moment(self, at: str | None) -> str:
        """Return an ISO 8601 time in words, in UTC."""
        if not at:
            return "–"
        when = datetime.fromisoformat(at)
        when = when.astimezone(UTC) if when.tzinfo else when
        day = format_datetime(when, "d MMMM y", locale=self._locale)
        return f"{day}, {format_time(when, 'HH:mm', locale=self._locale)} UTC"

    def clock(self, at: str) -> Markup:
        """Return a time that the browser writes as its reader is used to; without scripts it is UTC."""
        return Markup('<time datetime="{}">{}</time>').format(at, self.moment(at))
