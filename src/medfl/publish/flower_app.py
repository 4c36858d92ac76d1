"""Writes a study as a Flower app: a few short files that somebody can read before they let it in.

The files are filled in from those of ``templates/flower``; the study goes along as it was written.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from jinja2 import Environment, PackageLoader, StrictUndefined

from medfl.errors import UserError
from medfl.publish.export import refused

FILES = ("pyproject.toml", "server_app.py", "client_app.py", "README.md")
"""What is filled in."""
STUDY = "study.toml"


@dataclass(frozen=True, slots=True)
class App:
    """What an app is about.

    Parameters
    ----------
    study, question, digest
        The study's name, question and digest.
    sites
        The hospitals' names.
    text
        The study's file.
    """

    study: str
    question: str | None
    digest: str
    sites: tuple[str, ...]
    text: str

    @property
    def project(self) -> str:
        """What Flower calls the app."""
        return "medfl-" + re.sub(r"[^a-z0-9]+", "-", self.study.lower()).strip("-")


def save(app: App, folder: Path) -> None:
    """Write an app; an unfinished one is never left under the folder's name.

    Raises
    ------
    UserError
        If the folder exists already, or cannot be where it is asked for.
    StoreError
        If it cannot be written.
    """
    if folder.exists():
        raise UserError("the folder exists already", where=str(folder), remedy="choose another with -o, or remove it")
    draft = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
    try:
        draft.mkdir(parents=True)
        for name, text in files(app):
            (draft / name).write_text(text, encoding="utf-8")
        draft.rename(folder)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise refused(error, folder) from error


def files(app: App) -> Iterator[tuple[str, str]]:
    """Yield the app's files: each one's name and text."""
    words = {
        "study": app.study,
        "question": app.question,
        "digest": app.digest,
        "sites": app.sites,
        "project": app.project,
        # A basic string of TOML is one of JSON.
        "description": json.dumps(app.question or f"The study {app.study}"),
        "medfl": version("medfl"),
    }
    for name in FILES:
        yield name, _templates().get_template(f"{name}.j2").render(words)
    yield STUDY, app.text


@cache
def _templates() -> Environment:
    # Plain text and code, where HTML's escapes would be wrong; what a study can write into code is its name only.
    return Environment(
        loader=PackageLoader("medfl.publish", "templates/flower"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701
        keep_trailing_newline=True,
    )
