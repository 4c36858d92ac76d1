"""Contexts as HTML: the templates in the language of whoever reads, and the few words that they share."""

from __future__ import annotations

import json
from dataclasses import fields
from functools import cache, partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from medfl.hub.pages.catalogue import Catalogue, catalogue
from medfl.hub.pages.language import ENGLISH, LANGUAGES, reading
from medfl.hub.pages.numerals import Numerals
from medfl.hub.people.access import Access
from medfl.publish.report import glyph, unbroken
from medfl.publish.wording import significant


class Drawn:
    """Draws pages.

    Parameters
    ----------
    access
        Who reads, and what they may do.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    def page(self, request: Request, name: str, context: Any, *, status: int = 200) -> HTMLResponse:
        """Return a whole page."""
        template, actor = _templates(reading()).get_template(f"{name}.html.j2"), self._access.entrance.actor(request)
        path, query = request.url.path, request.url.query
        told = {
            "csrf": self._access.entrance.token(request),
            "path": path,
            "back": "/" if request.method != "GET" else f"{path}?{query}" if query else path,
            "actor": actor,
            "may": partial(self._access.allows, actor),
        }
        return HTMLResponse(template.render(page=context, **told), status_code=status)

    def part(self, name: str, context: Any, *, language: str = "", **more: object) -> str:
        """Return a part of a page, which replaces the one with the same ids."""
        templates = _templates(language or reading())
        return templates.get_template(f"{name}.html.j2").render(page=context, **more)


@cache
def _templates(language: str) -> Environment:
    environment = Environment(
        loader=PackageLoader("medfl.hub.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words, numerals = catalogue(language), Numerals(language)
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # the extension brings it
        words.gettext, words.ngettext, newstyle=True
    )
    said = _Said(words)
    environment.globals |= {"language": language, "languages": LANGUAGES, "script_words": _json(dict(words.scripts))}
    environment.filters |= {
        "glyph": glyph,
        "said": said.marked,
        "word": said.plain,
        "prose": said.marked,
        "numbers": _numbers,
        "cell": partial(_cell, said, numerals),
        "clock": numerals.clock,
        "figures": numerals.figures,
        "percent": numerals.percent,
        "spelled": numerals.spelled,
        "whole": numerals.whole,
    }
    return environment


class _Said:
    """Says sentences that come with a context, which are in English.

    Parameters
    ----------
    words
        What they are in the reader's language.
    """

    def __init__(self, words: Catalogue) -> None:
        self._words = words

    def plain(self, text: str) -> str:
        """Return a text where no element may stand, such as in an attribute."""
        return unbroken(self._words.gettext(text))

    def marked(self, text: str) -> Markup:
        """Return a sentence; one that has no words in the reader's language says that it is English (WCAG 3.1.2)."""
        if not text or self._words.language == ENGLISH or self._words.knows(text):
            return escape(self.plain(text))
        return Markup('<span lang="en">{}</span>').format(self.plain(text))


def _cell(said: _Said, numerals: Numerals, found: str | int | float | None) -> str:
    """Return a cell of a table as it is read; its file has all digits."""
    match found:
        case None:
            return "–"
        case int():
            return numerals.whole(found)
        case float():
            text = significant(found)
            return numerals.figures(text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text)
    return said.plain(found)


def _numbers(found: Any) -> Markup:
    """Return a context as JSON for a chart."""
    return _json(found)


def _json(plain: Any) -> Markup:
    """Return JSON that is safe within a script element: no "<" is left in it."""
    text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False, default=_fields)
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))  # noqa: S704


def _fields(one: Any) -> dict[str, Any]:
    """Return a dataclass as JSON writes it; not asdict, which looks at each of some thousand points by itself."""
    return {field.name: getattr(one, field.name) for field in fields(one)}
