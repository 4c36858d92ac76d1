"""Writes a study as a Flower app: a few short files that somebody can read before they let it in.

The files are filled in from those of ``templates/flower``; the study goes along as it was written.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from uuid import uuid4
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from jinja2 import Environment, PackageLoader, StrictUndefined

from medfl.errors import Complaint, UserError, listed
from medfl.publish.code import Models, expected, left_out_lines
from medfl.publish.export import refused
from medfl.spec.start import Start
from medfl.spec.study import Study
from medfl.store.leaving import LeftOut

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
    simulated
        Whether the sites are shares of a table that came along, so that Flower's own simulation can carry it out.
    models
        What it gave before; the app then says whether it gives the same.
    left_out
        Sites that were left out by hand, which the app leaves out at the same round.
    """

    study: str
    question: str | None
    digest: str
    sites: tuple[str, ...]
    text: str
    simulated: bool = False
    models: Models = field(default_factory=dict)
    left_out: LeftOut = field(default_factory=dict)

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


def packed(app: App) -> bytes:
    """Return an app as a zip archive with one folder in it: the same bytes for the same app."""
    body = BytesIO()
    with ZipFile(body, "w", ZIP_DEFLATED) as archive:
        for name, text in files(app):
            entry = ZipInfo(f"{app.project}/{name}")
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text, ZIP_DEFLATED)
    return body.getvalue()


def unfit(study: Study) -> list[Complaint]:
    """Return why a study cannot be carried out as a Flower app."""
    return [*_unfit_data(study), *_unfit_start(study)]


def _unfit_data(study: Study) -> Iterator[Complaint]:
    simulate = study.data.simulate
    if simulate is not None and simulate.bundled is None:
        yield Complaint(
            "the study deals one table out, and hospitals bring a table each",
            "[data.simulate]",
            remedy="leave it out and name the hospitals: medfl flower app STUDY.toml --site NAME --site NAME …; to be "
            "simulated by Flower, a study deals out a table that came along: bundled",
        )
    if (simulate is None or simulate.bundled is None) and "centralised" in study.evaluation.baselines:
        yield Complaint(
            "the centralised baseline needs all rows in one place",
            "[evaluation] baselines",
            remedy='leave "centralised" out',
        )
    if simulate is not None and any(arm.data.simulate != simulate for arm in study.arms.values()):
        yield Complaint(
            "the arms deal the table out differently, and a node of Flower is one site",
            "[arm.data.simulate]",
            remedy="write a study for each way of dealing",
        )
    if simulate is not None and study.evaluation.test_ids is not None:
        yield Complaint(
            "the study names a list of test patients, which does not travel with the app",
            "[evaluation] test_ids",
            remedy="let the split be by fraction: leave it out",
        )


def _unfit_start(study: Study) -> Iterator[Complaint]:
    starts = {start.source for arm in study.arms.values() if (start := arm.model.start) and _in_a_file(start)}
    if starts:
        yield Complaint(
            "the study starts from a file, which does not travel with the app",
            "[model.start]",
            listed(sorted(starts)),
            "name a run of the SuperLink's own MEDfl home instead",
        )


def _in_a_file(start: Start) -> bool:
    return start.model is not None or (start.weights is not None and not start.bundled)


def files(app: App) -> Iterator[tuple[str, str]]:
    """Yield the app's files: each one's name and text."""
    words = {
        "study": app.study,
        "question": app.question,
        "digest": app.digest,
        "sites": app.sites,
        "simulated": app.simulated,
        "expected": "".join(expected(app.models)),
        "left_out": "".join(left_out_lines(app.left_out)),
        "project": app.project,
        "description": _toml(app.question or f"The study {app.study}"),
        "medfl": version("medfl"),
    }
    for name in FILES:
        yield name, _templates().get_template(f"{name}.j2").render(words)
    yield STUDY, app.text


def _toml(text: str) -> str:
    """Spell a string of TOML: one of JSON, without halves of letters, and with the one letter that TOML has not."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


@cache
def _templates() -> Environment:
    # Plain text and code, where HTML's escapes would be wrong; what a study can write into code is its name only.
    return Environment(
        loader=PackageLoader("medfl.publish", "templates/flower"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
