"""What sentences are in another language: read once from its catalogue (gettext), which is a text and stays one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from gettext import c2py
from importlib.resources import files
from types import MappingProxyType

from babel.messages.pofile import read_po

from medfl.hub.pages.language import ENGLISH
from medfl.hub.pages.numerals import Numerals
from medfl.hub.pages.sentences import Sentences

_BETWEEN: Mapping[str, str] = MappingProxyType({"fr": " ; "})
_PLACES = re.compile(r"%\(\w+\)s|\{\w+\}|<[^>]*>")
_WORD = re.compile(r"[^\W\d_]{2,}")
_SPACES = re.compile(r" (?=[:;!?%»])|(?<=«) ")


@dataclass(frozen=True)
class Catalogue:
    """The sentences of one language.

    Parameters
    ----------
    language
        Its code.
    texts
        What each English text is.
    plurals
        What an English text is for each of the language's numbers, by its singular.
    scripts
        Those of `texts` that a script of a page says.
    rule
        The number that a count takes, as gettext writes it.
    """

    language: str
    texts: Mapping[str, str]
    plurals: Mapping[str, tuple[str, ...]]
    scripts: Mapping[str, str]
    rule: str = "n != 1"

    @cached_property
    def sentences(self) -> Sentences:
        """Those that come with a context, finished."""
        numerals = Numerals(self.language)
        between = _typeset(_BETWEEN.get(self.language, "; "))
        return Sentences(self.texts, figures=numerals.figures, count=numerals.translated, between=between)

    @cached_property
    def of_english_only(self) -> frozenset[str]:
        """Words of the English texts that are in none of this language's: by them a text is known to be English."""
        return _words(self.texts) - _words(self.texts.values())

    def gettext(self, text: str) -> str:
        """Return a text in this language, or as it is where it is not known."""
        return self.texts.get(text, text)

    def ngettext(self, one: str, many: str, count: int) -> str:
        """Return a text for a count of things."""
        forms = self.plurals.get(one, (one, many))
        return forms[c2py(self.rule)(count)]


@cache
def catalogue(language: str) -> Catalogue:
    """Return the sentences of a language."""
    if language == ENGLISH:
        return Catalogue(language, {}, {}, {})
    texts: dict[str, str] = {}
    plurals: dict[str, tuple[str, ...]] = {}
    scripts: dict[str, str] = {}
    with files("medfl.hub.pages").joinpath(f"locale/{language}/LC_MESSAGES/medfl.po").open("rb") as file:
        found = read_po(file, locale=language)
    for message in found:
        if not message.id or message.fuzzy:
            continue
        if isinstance(message.id, str) and isinstance(message.string, str) and message.string:
            texts[message.id] = _typeset(message.string)
            if any(name.endswith(".js") for name, _ in message.locations):
                scripts[message.id] = texts[message.id]
        elif isinstance(message.id, tuple) and isinstance(message.string, tuple) and all(message.string):
            plurals[message.id[0]] = tuple(map(_typeset, message.string))
    return Catalogue(language, texts, plurals, scripts, found.plural_expr)


def _words(texts: Iterable[str]) -> frozenset[str]:
    plain = (_PLACES.sub(" ", text).lower() for text in texts)
    return frozenset(word for text in plain for word in _WORD.findall(text))


def _typeset(text: str) -> str:
    """Keep French punctuation with the word before it."""
    return _SPACES.sub("\u00a0", text)
