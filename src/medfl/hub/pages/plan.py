"""The page before a start: a study's text, what it would do in plain words or all that is wrong, and its code."""

from __future__ import annotations

from dataclasses import dataclass

from medfl.errors import Complaint, MedflError
from medfl.hub.pages.bench import Bench, Told
from medfl.publish.code import script
from medfl.spec.reading import parse
from medfl.spec.study import Study
from medfl.spec.writing import as_toml
from medfl.store.written import keep_written

SOURCE = "study.toml"
LONGEST = 200_000
"""Characters of a study's text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPage:
    """A study that is about to be run, or cannot be.

    Parameters
    ----------
    text, draft
        The study as it was typed, and the draft that it is in; empty where it is in none.
    complaints
        All that is wrong with it; then what follows is empty.
    name, question, digest
        What it is called, what it asks, its digest.
    sections
        What it would do.
    shortest, code
        The same study as TOML without what follows by itself, and as a Python script.
    """

    text: str
    draft: str = ""
    complaints: tuple[Complaint, ...] = ()
    name: str = ""
    question: str = ""
    digest: str = ""
    sections: tuple[Told, ...] = ()
    shortest: str = ""
    code: str = ""


def plan_page(bench: Bench, text: str, *, draft: str = "") -> PlanPage:
    """Return what a study's text means, whatever is in it."""
    try:
        study = parse(text[:LONGEST], source=SOURCE)
        sections = tuple(bench.looks(study))
    except MedflError as error:
        return PlanPage(text=text, draft=draft, complaints=error.complaints)
    return PlanPage(
        text=text,
        draft=draft,
        name=study.study.name,
        question=study.study.question,
        digest=study.digest,
        sections=sections,
        shortest=as_toml(study),
        code=script(study),
    )


def launched(bench: Bench, text: str) -> str:
    """Begin with a study and return its execution's id.

    Raises
    ------
    MedflError
        With all that is wrong with it.
    """
    study: Study = parse(text[:LONGEST], source=SOURCE)
    execution = bench.carries.launch(study)
    keep_written(bench.home, execution, text[:LONGEST])
    return execution
