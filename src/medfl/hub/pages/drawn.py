"""Contexts as HTML: the templates in the language of whoever reads, and the few words that they share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache, partial
from http import HTTPStatus
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from medfl.errors import Complaint
from medfl.hub.pages.catalogue import Catalogue, catalogue
from medfl.hub.pages.language import ENGLISH, LANGUAGES, reading
from medfl.hub.pages.numerals import Numerals
from medfl.hub.pages.terms import terms_in
from medfl.hub.people.access import Access
from medfl.hub.people.permits import Action
from medfl.publish.report import glyph, unbroken
from medfl.publish.wording import significant

_READ = ("title", "values", "label", "name", "text")
"""What of a chart's numbers is read."""
_NARROW = 16
"""Letters of a label that stand between two steps of a study's picture."""


class Drawn:
    """Draws pages.

    Parameters
    ----------
    access
        Who reads, and what they may do.
    consortium
        Name of the consortium whose pages they are; empty on those of one person.
    troubles
        Says what is wrong with the hub at the moment.
    """

    def __init__(self, access: Access, *, consortium: str = "", troubles: Callable[[], Sequence[str]] = tuple) -> None:
        self._access, self._consortium, self._troubles = access, consortium, troubles

    def page(self, request: Request, name: str, context: Any, *, status: int = 200, **more: object) -> Response:
        """Return a whole page; `more` is for its template alone, such as a picture. To a program it is JSON."""
        if asks_for_json(request):
            return _as_json(context, status)
        template, actor = _templates(reading()).get_template(f"{name}.html.j2"), self._access.entrance.actor(request)
        path, query = request.url.path, request.url.query
        told = {
            "csrf": self._access.entrance.token(request),
            "path": path,
            "back": "/" if request.method != "GET" else f"{path}?{query}" if query else path,
            "actor": actor,
            "may": partial(self._access.allows, actor),
            "consortium": self._consortium,
            "troubles": self._troubles() if self._access.allows(actor, Action.SEE_QUEUE) else (),
            **more,
        }
        return HTMLResponse(template.render(page=context, **told), status_code=status)

    def part(self, name: str, context: Any, *, language: str = "", **more: object) -> str:
        """Return a part of a page, which replaces the one with the same ids."""
        templates = _templates(language or reading())
        return templates.get_template(f"{name}.html.j2").render(page=context, **more)


def asks_for_json(request: Request) -> bool:
    """Say whether whoever asks wants JSON, and no page: a browser always takes pages."""
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and "text/html" not in accepted


def _as_json(context: Any, status: int) -> Response:
    """Return a page's context; of a page that says what is wrong, what that is."""
    if status >= HTTPStatus.BAD_REQUEST:
        complaints = context if isinstance(context, tuple) else getattr(context, "complaints", ())
        context = {"error": complaints or (Complaint(str(getattr(context, "wrong", ""))),)}
    body = to_json(context, inf_nan_mode="null", fallback=dict)
    return Response(body, status_code=status, media_type="application/json")


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
        "numbers": said.numbers,
        "terms": terms_in,
        "cell": partial(_cell, said, numerals),
        "clock": numerals.clock,
        "figures": numerals.figures,
        "percent": numerals.percent,
        "quantity": numerals.quantity,
        "spelled": numerals.spelled,
        "whole": numerals.whole,
        "sentence": _sentence,
        "two_lines": _two_lines,
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
        if self._words.language == ENGLISH:
            return unbroken(text)
        return unbroken(" ".join(piece for piece, _ in self._words.sentences.pieces(text)))

    def marked(self, text: str) -> Markup:
        """Return sentences; one that has no words in the reader's language says that it is English (WCAG 3.1.2).

        A question is what somebody asks with a study, in whatever language.
        """
        if not text or self._words.language == ENGLISH:
            return escape(unbroken(text))
        english = Markup('<span lang="en">{}</span>')
        pieces = self._words.sentences.pieces(text)
        if text.endswith("?") and not any(known for _, known in pieces):
            return escape(unbroken(text))
        return Markup(" ").join(
            escape(unbroken(piece)) if known else english.format(unbroken(piece)) for piece, known in pieces
        )

    def numbers(self, found: Any) -> Markup:
        """Return a context as JSON for a chart: numbers, and what is read beside them."""
        return _json(found, self._charted)

    def _charted(self, one: Any) -> dict[str, Any]:
        told = _fields(one)
        return told | {name: self.plain(told[name]) for name in _READ if isinstance(told.get(name), str)}


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


def _sentence(text: str) -> str:
    """Return a text with a capital at its beginning, and the rest as it is."""
    return text[:1].upper() + text[1:]


def _two_lines(text: str) -> list[str]:
    """Return a label on a picture as one line or, where it would reach its neighbour, as two of about one length."""
    if len(text) <= _NARROW or " " not in text:
        return [text]
    cut = min((place for place, sign in enumerate(text) if sign == " "), key=lambda place: abs(place - len(text) / 2))
    return [text[:cut], text[cut + 1 :]]


def _json(plain: Any, fields_of: Callable[[Any], dict[str, Any]] | None = None) -> Markup:
    """Return JSON that is safe within a script element: no "<" is left in it."""
    text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False, default=fields_of)
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))  # noqa: S704


def _fields(one: Any) -> dict[str, Any]:
    """Return a dataclass as JSON writes it; not asdict, which looks at each of some thousand points by itself."""
    return {field.name: getattr(one, field.name) for field in fields(one)}
