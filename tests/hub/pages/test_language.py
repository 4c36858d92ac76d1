"""Pages speak the language of whoever reads them, all of it, and say where they cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from jinja2 import Environment, nodes
from starlette.requests import HTTPConnection
from websockets.sync.client import connect

from medfl.hub.pages.catalogue import catalogue
from medfl.hub.pages.drawn import Drawn
from medfl.hub.pages.language import COOKIE, LANGUAGES, language_of
from medfl.hub.pages.numerals import Numerals
from medfl.hub.people.alone import alone
from medfl.loopback import COOKIE as SESSION
from medfl.loopback import Sessions
from medfl.testing.pages import Visitor

ROOT = Path(__file__).parents[3]
TEMPLATES = sorted((ROOT / "src/medfl/hub/pages/templates").glob("*.j2"))
NAMES = {"MEDfl", "TOML", "Python", "CSV", "SVG", "PNG"}
"""What has the same name in every language."""
READ = ("aria-label", "title", "placeholder", "alt", "label")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = spec_from_file_location("catalogue", ROOT / "tools" / "catalogue.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "en"])
def test_every_sentence_has_its_words(language: str, tool: ModuleType) -> None:
    wanted = [text for text, _ in tool.collected()]
    assert len(wanted) > 200
    missing = list(tool.complaints(tool.read(language), wanted))
    assert not missing, "run python tools/catalogue.py, and write the words"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_says_something_in_one_language_only(path: Path) -> None:
    assert not [text for text in said_by(path.read_text(encoding="utf-8")) if text not in NAMES]


def test_bare_text_is_found_wherever_it_stands() -> None:
    text = '<p title="One">Two {{ _("three") }} {{ "Four" if x else y or "Five" }}</p>{% if x %}<b>Six</b>{% endif %}'
    assert sorted(said_by(text)) == ["Five", "Four", "One", "Six", "Two"]


class _Bare(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._mute = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._mute += tag in ("script", "style")
        self.found += [value for name, value in attrs if name in READ and value]

    def handle_endtag(self, tag: str) -> None:
        self._mute -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._mute:
            self.found.append(data)


def said_by(template: str) -> Iterator[str]:
    """Yield what a template says without asking a catalogue: its own text, and words in its expressions."""
    # A macro without an element is a piece of one, such as its attributes.
    elements = re.sub(r"{% macro \w+\([^)]*\) %}[^<]*?{% endmacro %}", "", template)
    tree = Environment(extensions=["jinja2.ext.i18n"], autoescape=True).parse(elements)
    html, words = "", list[str]()
    for output in tree.find_all(nodes.Output):
        for node in output.nodes:
            html += node.data if isinstance(node, nodes.TemplateData) else "0"
            words += spoken(node)
    parser = _Bare()
    parser.feed(html)
    for text in (*parser.found, *words):
        yield from (found for found in re.findall(r"[^\W\d_]{2,}(?:[ ’'-]+[^\W\d_]+)*", text))


def spoken(node: nodes.Node) -> Iterator[str]:
    """Yield the words that an expression may come to."""
    match node:
        case nodes.Const(value=str() as text):
            yield text
        case nodes.CondExpr(expr1=one, expr2=other):
            yield from spoken(one)
            yield from spoken(other) if other is not None else ()
        case nodes.Or(left=one, right=other) | nodes.And(left=one, right=other):
            yield from spoken(one)
            yield from spoken(other)


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("", "en"),
        ("fr", "fr"),
        ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "fr"),
        ("de, en;q=0.4, fr;q=0.3", "en"),
        ("de, fr;q=0.4, en;q=0.3", "fr"),
        ("fr;q=0, en", "en"),
        ("fr;q=nonsense", "en"),
        (";;;,,,q=\u00ff", "en"),
    ],
)
def test_a_browser_is_answered_in_the_language_it_likes_best(asked: str, language: str) -> None:
    header = [(b"accept-language", asked.encode("latin-1"))]
    assert language_of(HTTPConnection({"type": "http", "headers": header})) == language


def test_what_a_reader_chose_counts_more_than_the_browser(visitor: Visitor) -> None:
    assert '<html lang="en">' in visitor.client.get("/").text
    chosen = {"csrf": visitor.token, "language": "fr", "back": "/new"}
    page = visitor.client.post("/language", data=chosen, headers={"Accept-Language": "en"})
    assert page.url.path == "/new"
    assert '<html lang="fr">' in page.text
    assert "Par quoi commence la nouvelle étude" in page.text
    assert '<button class="plain small" name="language" value="en" lang="en">English</button>' in page.text


@pytest.mark.parametrize("back", ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example", "/a\nb"])
def test_a_choice_leads_to_no_other_place(back: str, visitor: Visitor) -> None:
    sent = {"csrf": visitor.token, "language": "fr", "back": back}
    answer = visitor.client.post("/language", data=sent, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_a_language_that_there_is_not_is_not_remembered(visitor: Visitor) -> None:
    sent = {"csrf": visitor.token, "language": "xx", "back": "/"}
    assert COOKIE not in visitor.client.post("/language", data=sent, follow_redirects=False).cookies


def test_every_page_of_a_study_is_read_in_french(visitor: Visitor) -> None:
    visitor.client.headers["Accept-Language"] = "fr"
    for name, words in {"watch": "Qui participe", "results": "Où placer le seuil", "code": "au bit près"}.items():
        page = visitor.client.get(f"/studies/{visitor.execution}/{name}").text
        assert words in page
        assert '<html lang="fr">' in page
    results = visitor.client.get(f"/studies/{visitor.execution}/results").text
    assert re.search(r"<td>0,\d{3}", results)
    assert not re.search(r"<td>0\.\d{3}", results)


def test_whoever_watches_reads_changes_in_their_language(visitor: Visitor) -> None:
    address = f"ws://127.0.0.1:{visitor.client.base_url.port}/live/{visitor.execution}"
    session = f"{SESSION}={visitor.client.cookies[SESSION]}"
    for language, word in (("fr", "Terminée."), ("en", "Finished.")):
        cookies = {"Cookie": f"{session}; {COOKIE}={language}"}
        with connect(address, additional_headers=cookies, proxy=None) as socket:
            assert f"<b>{word}</b>" in str(socket.recv(30))
        with connect(f"{address}?language={language}", additional_headers={"Cookie": session}, proxy=None) as socket:
            assert f"<b>{word}</b>" in str(socket.recv(30))
    assert (
        "?language=fr"
        in visitor.client.get(f"/studies/{visitor.execution}/watch", headers={"Accept-Language": "fr"}).text
    )


def test_a_sentence_without_words_says_that_it_is_english() -> None:
    access, _ = alone(Sessions(), port=1, open_to_all=())
    drawn = Drawn(access)
    page = (type("Complaint", (), {"what": "Nobody <b>wrote</b> this in French", "received": "", "remedy": ""}),)
    assert '<span lang="en">Nobody &lt;b&gt;wrote&lt;/b&gt; this in French</span>' in drawn.part(
        "said", page, language="fr"
    )
    assert "<span" not in drawn.part("said", page, language="en")


def test_counts_take_the_form_that_the_language_wants() -> None:
    french = catalogue("fr")
    assert french.ngettext("%(num)s round", "%(num)s rounds", 0) == "%(num)s tour"
    assert french.ngettext("%(num)s round", "%(num)s rounds", 2) == "%(num)s tours"
    english = catalogue("en")
    assert english.ngettext("%(num)s round", "%(num)s rounds", 0) == "%(num)s rounds"


def test_numbers_are_written_as_their_reader_writes_them() -> None:
    french, english = Numerals("fr"), Numerals("en")
    assert french.figures("0.932 (0.901–0.958)") == "0,932 (0,901–0,958)"
    assert french.figures("−0.5 to 1.5, in 3.11.7") == "−0,5 à 1,5, in 3.11.7"
    assert english.figures("0.932 to 1.5") == "0.932 to 1.5"
    assert french.percent(0.085, 1) == "8,5\u00a0%"
    assert english.percent(0.5) == "50\u00a0%"
    assert french.whole(12345) == "12\u202f345"
    assert english.whole(12345) == "12,345"
    assert [french.translated(word) for word in ("four", "Four", "40")] == ["quatre", "Quatre", "40"]
    assert (french.spelled(4), english.spelled(4), french.spelled(40)) == ("quatre", "four", "40")
    assert french.moment("2025-01-02T03:04:05+00:00") == "2 janvier 2025, 03:04 UTC"
    assert english.moment(None) == "–"
