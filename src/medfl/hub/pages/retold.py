"""A finished page in another language: what it says is looked up, what has no words there stays and says so."""

from __future__ import annotations

import re
from html import escape, unescape
from html.parser import HTMLParser

from medfl.hub.pages.catalogue import Catalogue, catalogue
from medfl.hub.pages.language import ENGLISH
from medfl.hub.pages.numerals import Numerals
from medfl.publish.report import unbroken

_RAW = ("style", "script")
_CODE = ("code", "pre")
_NAMES = ("text", "th")
"""Where names stand, and in a drawing nothing but text: there nothing is marked."""
_DATA = ("yes", "no")
"""What is a value of a table where it stands by itself."""
_SENTENCE = re.compile(r"([\s:·→☐]*)(.*?)(\s*)", re.DOTALL)
_SAID = re.compile(r' (aria-label|title|alt)="([^"]*)"')
_FIGURES = re.compile(r"[(−\d](?:[\d.,()–−% \u202f]|(?<=\d) to (?=[−\d]))*")
_SHARE = re.compile(r"(?<= )\d+(?:\.\d+)?(?= %)")
_SHARES = re.compile(rf"[^,]+{_SHARE.pattern} %(?:, [^,]+{_SHARE.pattern} %)*")
"""Names of columns with a share behind each."""
_LANGUAGE = re.compile(r'^<html lang="\w+"')
_WORD = re.compile(r"[^\W\d_]{2,}")
LEAST = 2
"""Words of English by which a text is taken for English: of one alone, a name may be made."""


def retold(page: str, language: str) -> str:
    """Return a page of HTML in English, such as a report, in another language.

    Parameters
    ----------
    page
        The page.
    language
        The language's code. A text that its catalogue does not know as a whole stays in English, and is marked so
        (WCAG 2.2, 3.1.2); code and names stay as they are.
    """
    if language == ENGLISH:
        return page
    teller = _Teller(catalogue(language))
    teller.feed(page)
    teller.close()
    return "".join(teller.told)


class _Teller(HTMLParser):
    """Writes a page anew, tag by tag, and its texts in another language."""

    def __init__(self, words: Catalogue) -> None:
        super().__init__()
        self.told: list[str] = []
        self._words, self._figures = words, Numerals(words.language).figures
        self._within: list[str] = []
        self._spelled: dict[str, str] = {}

    def handle_decl(self, decl: str) -> None:
        self.told.append(f"<!{decl}>")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._spelled[tag] = (self.get_starttag_text() or "")[1 : 1 + len(tag)]
        self._start()
        if tag in (*_RAW, *_CODE, *_NAMES):
            self._within.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._start()

    def handle_endtag(self, tag: str) -> None:
        # In drawings, which are XML, capitals count; the parser knows none.
        self.told.append(f"</{self._spelled.get(tag, tag)}>")
        if self._within and self._within[-1] == tag:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        inside = self._within[-1] if self._within else ""
        if inside in _RAW:
            self.told.append(data)
        elif inside in _CODE or not data.strip():
            self.told.append(escape(data, quote=False))
        elif found := _SENTENCE.fullmatch(data):
            before, text, after = found.groups()
            self.told.append(f"{before}{self._text(text, inside)}{after}")

    def _start(self) -> None:
        written = self.get_starttag_text() or ""
        written = _LANGUAGE.sub(f'<html lang="{self._words.language}"', written)
        self.told.append(_SAID.sub(lambda said: f' {said[1]}="{self._attribute(said[2])}"', written))

    def _attribute(self, written: str) -> str:
        text = unescape(written)
        return escape(self._known(text) or text)

    def _text(self, text: str, inside: str) -> str:
        known = self._known(text)
        if known is not None:
            return escape(unbroken(known), quote=False)
        told = escape(text, quote=False)
        return f'<span lang="{ENGLISH}">{told}</span>' if inside not in _NAMES and self._is_english(text) else told

    def _known(self, text: str) -> str | None:
        """Return a text in the language; None unless all of it is known: a half would be worse than none."""
        plain = re.sub(" {2,}", " ", text.replace("\u00a0", " "))
        if plain in _DATA:
            return plain
        if _FIGURES.fullmatch(plain):
            return self._figures(plain)
        if _SHARES.fullmatch(plain):
            return _SHARE.sub(lambda share: self._figures(share[0]), plain)
        pieces = self._words.sentences.pieces(plain)
        if all(known for _, known in pieces):
            return " ".join(piece for piece, _ in pieces)
        bare = self._words.sentences.found(plain[:-1]) if plain.endswith(".") else None
        return None if bare is None else f"{bare}."

    def _is_english(self, text: str) -> bool:
        # A question is what somebody asks with a study, in whatever language.
        words = {*_WORD.findall(text.lower())}
        return not text.endswith("?") and len(self._words.of_english_only & words) >= LEAST
