"""The report as PDF: a document, the same bytes each time, and nothing loaded."""

from __future__ import annotations

import builtins
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import medfl
from medfl.errors import MissingExtraError, UserError
from medfl.publish.pdf import as_pdf, report_pdf, save_pdf
from medfl.publish.report import report
from medfl.store.folding import view_execution, view_run
from medfl.store.views import ExecutionView
from medfl.testing import story
from medfl.testing.command import typed


@pytest.fixture(scope="module")
def view() -> ExecutionView:
    recorded = story.recorded(story.execution())
    runs = dict.fromkeys(one.event.run for one in recorded)
    return view_execution([view_run([one for one in recorded if one.event.run == run]) for run in runs])


@pytest.mark.usefixtures("typeset")
def test_a_report_is_a_document_and_the_same_each_time(view: ExecutionView, tmp_path: Path) -> None:
    save_pdf(tmp_path / "report.pdf", view)
    body = (tmp_path / "report.pdf").read_bytes()
    assert body.startswith(b"%PDF-")
    assert len(body) > 20_000
    assert report_pdf(view) == body


@pytest.mark.usefixtures("typeset")
def test_results_begin_where_the_methods_end_and_no_long_column_of_text_takes_pages() -> None:
    def pages(body: str) -> int:
        text = f'<!doctype html><html lang="en"><head><title>A</title></head><body>{body}</body></html>'
        found = re.search(rb"/Count (\d+)", _unpacked(as_pdf(text, title="")))
        assert found is not None
        return int(found[1])

    assert pages('<p>What was done</p><section id="results"><h2>Results</h2></section>') == 1
    spec = "\n".join(f'"key": {number},' for number in range(240))
    assert pages(f"<details open><summary>The study</summary><pre>{spec}</pre></details>") == 2


def _unpacked(body: bytes) -> bytes:
    """Return a document with its compressed objects in the clear."""
    parts = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", body, re.DOTALL)
    return b"\n".join([body, *(zlib.decompress(part) for part in parts if part[:1] == b"x")])


@pytest.mark.usefixtures("typeset")
def test_a_document_loads_nothing(tmp_path: Path) -> None:
    import weasyprint

    secret = tmp_path / "secret.css"
    secret.write_text("body { color: red }")
    with pytest.raises(weasyprint.urls.FatalURLFetchingError):
        as_pdf(f'<html><head><link rel="stylesheet" href="{secret.as_uri()}"></head></html>', title="")


@pytest.mark.usefixtures("typeset")
def test_a_report_is_typed_as_a_document(
    edited: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    medfl.simulate(edited(("rounds = 4", "rounds = 1")), home=tmp_path / "home", progress=False)
    said = typed("report", "tiny", "--home", tmp_path / "home", "--pdf")
    assert (said.code, said.out) == (0, "Report: tiny.pdf\n")
    assert (tmp_path / "tiny.pdf").read_bytes().startswith(b"%PDF-")
    said = typed("report", "tiny", "--home", tmp_path / "home", "-o", "b.PDF")
    assert (tmp_path / "b.PDF").read_bytes() == (tmp_path / "tiny.pdf").read_bytes()
    said = typed("report", "tiny", "--home", tmp_path / "home", "--pdf", "-o", "c.html")
    assert said.code == 2
    assert "ends in .pdf" in said.err


def test_the_pictures_of_a_report_have_their_own_colours(view: ExecutionView) -> None:
    from medfl.publish import pdf

    page = pdf._DRAWING.sub(pdf._as_picture, report(view))
    assert "<svg" not in page
    assert page.count("data:image/svg+xml") == report(view).count("<svg") > 3


def test_a_place_that_is_none_is_said(view: ExecutionView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medfl.publish.pdf.report_pdf", lambda view, told: b"%PDF")
    with pytest.raises(UserError, match="cannot be written"):
        save_pdf(tmp_path / "no" / "report.pdf", view)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [(ModuleNotFoundError("weasyprint"), r"medfl\[pdf\]"), (OSError("libpango"), "libpango-1.0-0")],
)
def test_what_is_missing_is_said(
    error: Exception, remedy: str, view: ExecutionView, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., ModuleType] = builtins.__import__

    def missing(name: str, *args: Any, **more: Any) -> ModuleType:
        if name == "weasyprint":
            raise error
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtraError, match=remedy):
        report_pdf(view)
