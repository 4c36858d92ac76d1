"""Keeps the catalogues of the pages' languages in step with what the pages say.

``python tools/catalogue.py`` collects every sentence of the templates, of their scripts and of what we wrote for them
in Python, and adds what is new to each catalogue, without words; with ``--check`` it says what is missing, and fails
if anything is.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po, write_po
from pydantic.fields import FieldInfo

from medfl.hub.pages.called import FIGURES
from medfl.hub.pages.design.form import LONG, STEPS
from medfl.hub.pages.judged import PARTS
from medfl.hub.pages.language import ENGLISH, LANGUAGES
from medfl.hub.pages.lasting import ONCE
from medfl.hub.pages.starters import starters
from medfl.hub.pages.taking_part import GONE, NOW
from medfl.hub.pages.terms import terms
from medfl.hub.pages.watching import TILES
from medfl.publish.happening import KINDS as DOING
from medfl.publish.sheets import KINDS
from medfl.publish.tripod import LATER, TITLES, asked
from medfl.publish.wording import sentence
from medfl.spec.anatomy import kind_of, parts_of, tag_of
from medfl.spec.metrics import METRICS
from medfl.spec.part import Part
from medfl.spec.study import Study

PAGES = Path(__file__).parents[1] / "src" / "medfl" / "hub" / "pages"
TEMPLATES, STATIC, SENTENCES = PAGES / "templates", PAGES / "static", PAGES / "locale" / "sentences.txt"
Text = str | tuple[str, str]
CHARTED = (
    "Training loss",
    "Training loss by site",
    "all sites",
    "suppressed",
    "not defined",
    "federated",
    "alone",
    "centralised",
    "fine-tuned",
)
"""What charts are given words for, beside the metrics."""
_NAMED, _BRACED = re.compile(r"%\((\w+)\)s"), re.compile(r"\{(\w+)\}")


def main() -> None:
    """Write the catalogues, or check them."""
    wanted: dict[Text, list[str]] = {}
    for text, place in collected():
        wanted.setdefault(text, []).append(place)
    wrong = []
    for language in LANGUAGES:
        if language == ENGLISH:
            continue
        catalogue = read(language)
        if "--check" in sys.argv[1:]:
            wrong += [f"{language}: {text}" for text in complaints(catalogue, wanted)]
        else:
            write(language, renewed(catalogue, wanted))
    sys.exit("\n".join(wrong) if wrong else 0)


def path_of(language: str) -> Path:
    """Return where a language's catalogue is."""
    return PAGES / "locale" / language / "LC_MESSAGES" / "medfl.po"


def read(language: str) -> Catalog:
    """Return a language's catalogue; an empty one where there is none yet."""
    path = path_of(language)
    body = path.read_bytes() if path.is_file() else b""
    return read_po(BytesIO(body), locale=language)


def write(language: str, catalogue: Catalog) -> None:
    """Write a catalogue, in an order that does not change with what is added."""
    body = BytesIO()
    write_po(body, catalogue, width=0, omit_header=False, sort_output=True, include_lineno=False)
    path_of(language).write_bytes(body.getvalue())


# -- what the pages say ------------------------------------------------------------------------------------------------


def collected() -> Iterator[tuple[Text, str]]:
    """Yield every sentence, and where it is said."""
    for path in sorted(TEMPLATES.glob("*.j2")):
        options = {"newstyle_gettext": "true", "trimmed": "true", "silent": "false"}
        yield from ((text, path.name) for text in _extracted("jinja2", path, options))
    for path in sorted(STATIC.glob("*.js")):
        yield from ((text, path.name) for text in _extracted("javascript", path, {}, keywords={"word": None}))
    for place, text in _written():
        yield text, place


def _extracted(
    method: str, path: Path, options: dict[str, str], *, keywords: dict[str, None] | None = None
) -> Iterator[Text]:
    known = keywords if keywords is not None else {"_": None, "gettext": None, "ngettext": (1, 2)}
    for _, text, _, _ in extract_from_file(method, str(path), keywords=known, options=options):
        yield text if isinstance(text, str) else (text[0], text[1])


def _written() -> Iterator[tuple[str, str]]:
    """Yield the sentences that we wrote in Python: the language of studies, steps, metrics, tables, examples."""
    for title, heads, _ in KINDS.values():
        yield from (("tables", text) for text in (title, *heads))
    yield from (("tables", title) for title in PARTS.values())
    yield from (("figures", title) for title in FIGURES.values())
    for term in terms():
        yield from (("terms", term.name), ("terms", term.meaning))
    for title, lead in STEPS.values():
        yield from (("steps", title), ("steps", lead))
    for name, field in Study.model_fields.items():
        yield from _field(name, field)
    yield from (("charts.js", label) for label in CHARTED)
    yield from (("watch", text) for text in (*TILES, *NOW.values(), GONE, *DOING, *(words for _, words in ONCE)))
    for metric in METRICS.values():
        yield from (("metrics", metric.label), ("charts.js", metric.label), ("metrics", metric.meaning))
    for item in asked():
        yield "tripod", item["topic"]
        yield from (("tripod", sentence(item[part])) for part in ("asks", "gap") if part in item)
    yield from (("tripod", text) for text in (sentence(LATER), *TITLES.values()))
    for line in SENTENCES.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("# "):
            yield "sentences", line
    for one in starters():
        yield from (("examples", one.shows), ("examples", one.question))


def _field(name: str, field: FieldInfo) -> Iterator[tuple[str, str]]:
    yield "spec", _label(name)
    if field.description:
        yield "spec", field.description
    for part in parts_of(field):
        yield from _part(part)


def _part(part: type[Part]) -> Iterator[tuple[str, str]]:
    if kind_of(part):
        yield "spec", " ".join((inspect.getdoc(part) or "").split("\n\n")[0].split())
    for name, field in part.model_fields.items():
        if name == tag_of(part):
            yield "spec", _label(name)
        else:
            yield from _field(name, field)


def _label(name: str) -> str:
    text = LONG.get(name, name).replace("_", " ")
    return text[:1].upper() + text[1:]


# -- a catalogue -------------------------------------------------------------------------------------------------------


def renewed(catalogue: Catalog, wanted: Mapping[Text, Sequence[str]]) -> Catalog:
    """Return a catalogue with exactly these sentences, and the words that it had for them."""
    new = Catalog(
        locale=catalogue.locale,
        project="MEDfl",
        version="3",
        header_comment="# The pages of MEDfl. Sentences are collected by tools/catalogue.py; words are written here.",
        fuzzy=False,
        creation_date=catalogue.creation_date,
        revision_date=catalogue.revision_date,
        last_translator="MEDfl",
        language_team="MEDfl",
    )
    for text, places in wanted.items():
        key = text if isinstance(text, str) else text[0]
        before = catalogue.get(key)
        string = before.string if before is not None else None
        new.add(text, string, locations=[(place, 1) for place in dict.fromkeys(places)])
    return new


def complaints(catalogue: Catalog, wanted: Iterable[Text]) -> Iterator[str]:
    """Yield what a catalogue lacks, and what in it does not fit."""
    keys = {text if isinstance(text, str) else text[0]: text for text in wanted}
    for message in catalogue:
        key = message.id if isinstance(message.id, str) else message.id[0]
        if key and key not in keys:
            yield f"nothing says this any more: {key}"
    for key in keys:
        found = catalogue.get(key)
        yield from _misfits(key, found) if found is not None else [f"is missing: {key}"]


def _misfits(key: str, message: Message) -> Iterator[str]:
    forms = (message.string,) if isinstance(message.string, str) else tuple(message.string or ())
    if not forms or not all(forms):
        yield f"has no words: {key}"
        return
    if message.fuzzy:
        yield f"is only guessed: {key}"
    asked = [message.id] if isinstance(message.id, str) else list(message.id)
    for number, form in enumerate(forms):
        known = _places(asked[min(number, len(asked) - 1)])
        extra, lacking = _places(form) - known, known - _places(form)
        if extra or lacking:
            yield f"has other places than the English: {key} ({', '.join(sorted(extra | lacking))})"


def _places(text: str) -> set[str]:
    """Return the names of what is filled into a sentence, in either way of writing it."""
    return set(_NAMED.findall(text)) | set(_BRACED.findall(text))


if __name__ == "__main__":
    main()
