"""A report in French: what a reader looks for is French, and what is not says so; nothing else of it changes."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sklearn.datasets import load_breast_cancer

from medfl import simulate
from medfl.hub.pages.catalogue import catalogue
from medfl.hub.pages.retold import retold
from medfl.publish.report import report
from medfl.spec.reading import parse
from medfl.store.folding import view_execution, view_run
from medfl.testing import story
from medfl.testing.all_states import STUDY
from medfl.testing.command import typed
from medfl.testing.pages import Visitor
from medfl.testing.spoken import foreign, sayings, words_of_language

HEADS = re.compile(r"<(h2|h3|summary|figcaption|th scope=\"col\"[^>]*|text [^>]*)>(.*?)</", re.DOTALL)

NAMES = (
    *map(str, load_breast_cancer().feature_names),
    *(
        "malignant",
        "readmission",
        "readmitted",
        "smoker",
        "age",
        "Age",
        "bmi",
        "yes",
        "no et",
        "Who comes back within 30 days?",
    ),
)
"""Columns of the studies, their values, and what is asked."""


@pytest.fixture(scope="module")
def told() -> str:
    recorded = story.recorded(story.execution())
    runs = dict.fromkeys(one.event.run for one in recorded)
    whole = view_execution([view_run([one for one in recorded if one.event.run == run]) for run in runs])
    return report(whole)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report with all that a comparison can have."""
    folder = tmp_path_factory.mktemp("compared")
    return report(simulate(parse(STUDY, source="study.toml"), home=folder, progress=False).view)


@pytest.mark.parametrize("which", ["told", "compared"])
def test_what_is_looked_for_in_a_report_is_french(which: str, request: pytest.FixtureRequest) -> None:
    page = retold(request.getfixturevalue(which), "fr")
    assert '<html lang="fr">' in page
    heads = [text for _, text in HEADS.findall(page)]
    assert len(heads) > 60
    assert not [text for text in heads if 'lang="en"' in text]
    english = catalogue("fr").of_english_only
    for one in sayings(page, language="fr"):
        words = [word for word in foreign(one.text, english, names=NAMES) if word not in words_of_language()]
        assert not words, one.text
        assert one.language == "fr", one.text
    assert "les trois sites atteignent" in page


def test_numbers_code_and_drawings_stay_as_they_are(told: str) -> None:
    page = retold(told, "fr")
    for pattern in (r"<pre>.*?</pre>", r"<style>.*?</style>", r"<code[^>]*>.*?</code>", r"<(?:path|circle|rect)[^>]*>"):
        found = list(map(unescape, re.findall(pattern, told, re.DOTALL)))
        assert found
        assert list(map(unescape, re.findall(pattern, page, re.DOTALL))) == found
    assert len(re.findall(r"<(\w+)", page)) - page.count("<span lang=") == len(re.findall(r"<(\w+)", told))
    # In a document drawings are XML.
    assert re.findall(r"</\w+>", page.replace("</span>", "")) == re.findall(r"</\w+>", told.replace("</span>", ""))
    for drawing in re.findall(r"<svg .*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(drawing)
    assert retold(told, "en") == told


@pytest.mark.parametrize(
    ("page", "french"),
    [
        ("<p>Never: a row of a table.</p>", "<p>Jamais : une ligne d’une table.</p>"),
        ("<h2>Results</h2>", "<h2>Résultats</h2>"),
        ('<svg aria-label="Calibration, alpha &lt;1&gt;"/>', '<svg aria-label="Calibration, alpha &lt;1&gt;"/>'),
        ("<p>Nobody <b>knows</b></p>", "<p>Nobody <b>knows</b></p>"),
        ("<td>1 &lt; 2 &amp; 3</td>", "<td>1 &lt; 2 &amp; 3</td>"),
        ("<p>Who falls ill with this?</p>", "<p>Who falls ill with this?</p>"),
        (
            "<p>The sites said what nobody else of them had.</p>",
            '<p><span lang="en">The sites said what nobody else of them had.</span></p>',
        ),
        (
            "<p>The sites. Never: a row of a table.</p>",
            '<p><span lang="en">The sites. Never: a row of a table.</span></p>',
        ),
        ("<td>no</td>", "<td>no</td>"),
        ("<th>the rows of each site</th>", "<th>the rows of each site</th>"),
    ],
)
def test_a_text_is_told_whole_or_left_and_marked(page: str, french: str) -> None:
    assert retold(page, "fr").replace("\u00a0", " ") == french


def test_the_report_of_a_page_is_in_its_readers_language(visitor: Visitor) -> None:
    path = f"/studies/{visitor.execution}/report.html"
    assert "<h2>Qui a participé</h2>" in visitor.client.get(path, headers={"Accept-Language": "fr"}).text
    assert "<h2>Who took part</h2>" in visitor.client.get(path, headers={"Accept-Language": "en"}).text


def test_a_report_is_typed_in_french(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = STUDY.partition("[evaluation]")[0].replace("repeats = 2\n", "")
    simulate(parse(text, source="study.toml"), home=tmp_path / "home", progress=False)
    said = typed("report", "tumeurs", "--home", tmp_path / "home", "--language", "fr")
    assert (said.code, said.out) == (0, "Report: tumeurs.html\n")
    assert "<h2>Qui a participé</h2>" in (tmp_path / "tumeurs.html").read_text(encoding="utf-8")
    assert typed("report", "tumeurs", "--home", tmp_path / "home", "--language", "xx").code == 2
