"""The report as PDF: the same page, laid out for paper by WeasyPrint, with nothing loaded from anywhere.

Same report, same versions and fonts, same bytes: no time of making is in it.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from html import unescape
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from medfl.errors import MissingExtraError
from medfl.publish.export import refused
from medfl.publish.report import report
from medfl.store.views import ExecutionView

_DRAWING = re.compile(r"<svg (.*?)>(.*?)</svg>", re.DOTALL)
_VARIABLE = re.compile(r"var\(--[\w-]+, (#[0-9a-f]{6})\)")
_LABEL = re.compile(r'aria-label="([^"]*)"')
_NAMESPACE = 'xmlns="http://www.w3.org/2000/svg" font-family="DejaVu Sans, sans-serif"'


def report_pdf(
    execution: ExecutionView, *, told: Callable[[str], str] = str, waits: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    """Return the report of an execution as PDF.

    Parameters
    ----------
    execution
        What is reported.
    told
        Tells the page in another language.
    waits
        As for :func:`~medfl.publish.report.report`.

    Raises
    ------
    MissingExtraError
        If WeasyPrint, or Pango beneath it, is not installed.
    """
    return as_pdf(told(report(execution, waits=waits)), title=execution.digest)


def save_pdf(
    target: Path,
    execution: ExecutionView,
    *,
    told: Callable[[str], str] = str,
    waits: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the report of an execution as PDF into a file that the user named.

    Parameters
    ----------
    target
        The file.
    execution, told, waits
        As for :func:`report_pdf`.

    Raises
    ------
    MissingExtraError
        If WeasyPrint, or Pango beneath it, is not installed.
    UserError
        If the file cannot be where it is asked for.
    StoreError
        If it cannot be written.
    """
    body = report_pdf(execution, told=told)
    try:
        target.write_bytes(body)
    except OSError as error:
        raise refused(error, target) from error


def as_pdf(page: str, *, title: str) -> bytes:
    """Return a page of ours as PDF.

    Parameters
    ----------
    page
        HTML as :func:`medfl.publish.report.report` gives it.
    title
        From which the document's identifier follows.

    Raises
    ------
    MissingExtraError
        If WeasyPrint, or Pango beneath it, is not installed.
    """
    weasyprint = _weasyprint()
    paper = files("medfl.publish").joinpath("templates/paper.css").read_text(encoding="utf-8")
    # What is within the page is read, and nothing else: a document never loads anything.
    within = weasyprint.URLFetcher(allowed_protocols=("data",), fail_on_errors=True)
    # Behind the page's own styles, which they change; beside them they would come first.
    laid_out = _DRAWING.sub(_as_picture, page).replace("</head>", f"<style>{paper}</style></head>", 1)
    document = weasyprint.HTML(string=laid_out, url_fetcher=within)
    body: bytes = document.write_pdf(
        pdf_identifier=hashlib.sha256(title.encode()).digest()[:16],
        pdf_tags=True,
        custom_metadata=True,
    )
    return body


def _weasyprint() -> Any:
    try:
        import weasyprint
    except ImportError as error:
        raise _missing("the package weasyprint is not installed", "pip install 'medfl[pdf]'") from error
    except OSError as error:
        # WeasyPrint looks for Pango when it is imported.
        raise _missing(
            "the library Pango, which sets the type, is not installed",
            "on Debian: sudo apt-get install libpango-1.0-0 libpangoft2-1.0-0; or take the HTML report and print it",
        ) from error
    return weasyprint


def _missing(received: str, remedy: str) -> MissingExtraError:
    return MissingExtraError("a report as PDF needs more than is installed here", received=received, remedy=remedy)


def _as_picture(drawing: re.Match[str]) -> str:
    """Return a drawing as a picture with its own colours: in a page, WeasyPrint knows no variables in SVG."""
    about, body = drawing.groups()
    label = _LABEL.search(about)
    whole = f"<svg {_NAMESPACE} {about}>{body}</svg>"
    data = b64encode(_VARIABLE.sub(r"\1", _as_xml(whole)).encode()).decode()
    words = label[1] if label else ""
    return f'<img class="drawing" alt="{words}" src="data:image/svg+xml;base64,{data}">'


def _as_xml(text: str) -> str:
    """Return SVG without the entities that HTML knows and XML does not."""
    return re.sub(r"&(?!(?:amp|lt|gt|quot|apos|#)\b)\w+;", lambda found: unescape(found[0]), text)
