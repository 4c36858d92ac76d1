"""Technical terms, each with one sentence: for pages, where they are used, and for the reference."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Term:
    """A technical term.

    Parameters
    ----------
    key
        Its name in an address or an id.
    name, meaning
        In English; a page has them in its reader's language.
    paper
        Who introduced it; empty for what is common knowledge.
    found
        Finds it in an English text.
    """

    key: str
    name: str
    meaning: str
    paper: str
    found: re.Pattern[str]


@cache
def terms() -> tuple[Term, ...]:
    """Return all of them, in the order of a study."""
    told = tomllib.loads(files("medfl.hub.pages").joinpath("locale/terms.toml").read_text(encoding="utf-8"))
    return tuple(_term(key, **one) for key, one in told.items())


def terms_in(texts: Iterable[str]) -> tuple[Term, ...]:
    """Return the terms that are used in some English texts."""
    whole = "\n".join(texts)
    return tuple(term for term in terms() if term.found.search(whole))


def _term(key: str, *, name: str, meaning: str, paper: str = "", words: Sequence[str] = ()) -> Term:
    either = "|".join([re.escape(name), *words])
    return Term(key, name, meaning, paper, re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE))
