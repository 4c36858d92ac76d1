"""What is taken along of a study's results: figures and tables, with the numbers of the page's twin."""

from __future__ import annotations

import csv
import io
from xml.etree import ElementTree
from zipfile import ZipFile

import pytest

from medfl.hub.pages.called import FIGURES, attached
from medfl.spec.reading import parse
from medfl.spec.study import Study
from medfl.testing.pages import STUDY, Visitor


def test_every_figure_of_the_page_is_there_as_svg(visitor: Visitor) -> None:
    told = visitor.client.get(f"/api/studies/{visitor.execution}/results").json()
    assert {"roc-0", "pr", "decision", "forest", "calibration-0", "course-0"} <= set(told["figures"])
    for name in told["figures"]:
        answer = visitor.client.get(f"/studies/{visitor.execution}/figures/{name}.svg")
        assert answer.headers["content-type"].startswith("image/svg+xml")
        title, number = told["titles"][name]
        called = "-".join(["tumours", *title.lower().split(), *([str(number)] if number else [])])
        assert answer.headers["content-disposition"] == f'attachment; filename="{called}.svg"'
        assert "sandbox" in answer.headers["content-security-policy"]
        assert ElementTree.fromstring(answer.content).tag.endswith("svg")


def test_a_figure_is_there_as_png(visitor: Visitor) -> None:
    answer = visitor.client.get(f"/studies/{visitor.execution}/figures/decision.png")
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")


def test_every_table_has_the_numbers_of_its_twin(visitor: Visitor) -> None:
    told = visitor.client.get(f"/api/studies/{visitor.execution}/results").json()
    assert {"metrics", "thresholds", "decision", "sites", "course"} <= {one["name"] for one in told["sheets"]}
    for one in told["sheets"]:
        twin = visitor.client.get(f"/api/studies/{visitor.execution}/tables/{one['name']}").json()
        assert one["rows"] in ([], twin["rows"])
        answer = visitor.client.get(f"/studies/{visitor.execution}/tables/{one['name']}.csv")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
        heads, *rows = csv.reader(io.StringIO(answer.text, newline=""))
        assert heads == twin["heads"]
        for line, cells in zip(rows, twin["rows"], strict=True):
            assert line == ["" if cell is None else str(cell) for cell in cells]


@pytest.mark.parametrize("path", ["figures/none.svg", "figures/none.png", "tables/none.csv", "tables/%2e%2e.csv"])
def test_what_is_not_there_is_said(path: str, visitor: Visitor) -> None:
    answer = visitor.client.get(f"/studies/{visitor.execution}/{path}")
    assert answer.status_code == 404
    assert "take one of" in answer.text


def test_the_page_has_a_table_behind_each_figure(visitor: Visitor) -> None:
    page = visitor.client.get(f"/studies/{visitor.execution}/results").text
    assert page.count("<details>") >= 6
    assert page.count("/figures/decision.svg") == 1
    assert page.count("/tables/thresholds.csv") == 1


def test_the_flower_app_is_taken_along_with_the_models(visitor: Visitor) -> None:
    answer = visitor.client.get(f"/studies/{visitor.execution}/files/flower-app.zip")
    assert answer.headers["content-type"] == "application/zip"
    told = visitor.client.get(f"/api/studies/{visitor.execution}/results").json()
    with ZipFile(io.BytesIO(answer.content)) as archive:
        texts = {name.rpartition("/")[2]: archive.read(name).decode() for name in archive.namelist()}
    assert parse(texts["study.toml"], source="study.toml").digest == parse(STUDY, source="study.toml").digest
    shown = visitor.client.get(f"/api/studies/{visitor.execution}/code").json()
    assert shown["app"] == texts
    assert not shown["unfit"]
    models = [model for model in told["models"].values() if model in texts["server_app.py"]]
    assert len(models) == 1
    assert Study.model_validate(parse(texts["study.toml"], source="study.toml")).study.name == "tumours"


def test_figures_are_called_by_words(visitor: Visitor) -> None:
    told = visitor.client.get(f"/api/studies/{visitor.execution}/results").json()
    assert told["titles"]["roc-0"] == ["ROC curve", 0]
    assert told["titles"]["course-1"] == ["Course of training", 2]
    assert set(told["titles"]) == set(told["figures"])
    assert all(title in FIGURES.values() for title, _ in told["titles"].values())
    shown = visitor.client.get(f"/studies/{visitor.execution}/results").text
    assert '<span class="muted">ROC curve</span>' in shown
    assert '<span class="muted">roc-0</span>' not in shown


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("tumours", "report"), "tumours-report.pdf"),
        (("Größe & Gewicht", "fed prox", "seed-2"), "Grosse-Gewicht-fed-prox-seed-2.pdf"),
        (('a"b\r\nX: y', ""), "a-b-X-y.pdf"),
        (("../../etc",), "etc.pdf"),
        (("研究",), "study.pdf"),
    ],
)
def test_a_file_is_called_in_letters_of_any_system(parts: tuple[str, ...], name: str) -> None:
    assert attached(*parts, ending=".pdf") == {"Content-Disposition": f'attachment; filename="{name}"'}
