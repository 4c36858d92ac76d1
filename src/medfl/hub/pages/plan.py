"""The page before a start: a study's text, what it would do in plain words or all that is wrong, and its code."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from medfl.errors import Complaint, MedflError, PlanError
from medfl.hub.pages.bench import Bench, Told
from medfl.hub.pages.design.page import title_of
from medfl.publish.code import script
from medfl.spec.reading import parse
from medfl.spec.study import Study
from medfl.spec.writing import as_toml
from medfl.store.shelf import whole_run
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


@dataclass(frozen=True, slots=True)
class Order:
    """Who launches a study, and how.

    Parameters
    ----------
    by
        The account; empty for whoever owns the machine.
    not_before
        When it may begin, in seconds since 1970; 0 for at once.
    require_seen
        Refuses an execution that they may not see.
    """

    by: str
    not_before: float
    require_seen: Callable[[str], None]


def plan_page(bench: Bench, text: str, *, draft: str = "") -> PlanPage:
    """Return what a study's text means, whatever is in it."""
    try:
        study = parse(text[:LONGEST], source=SOURCE)
        sections = tuple(bench.looks(study))
    except MedflError as error:
        return PlanPage(text=text, draft=draft, name=title_of(text), complaints=error.complaints)
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


def launched(bench: Bench, text: str, order: Order) -> str:
    """Begin with a study and return its execution's id.

    Raises
    ------
    MedflError
        With all that is wrong with it, or if it would start from a run that whoever launches it may not see.
    """
    study: Study = parse(text[:LONGEST], source=SOURCE)
    for run in sorted({one.model.start.run or "" for one in study.arms.values() if one.model.start is not None} - {""}):
        order.require_seen(whole_run(bench.home, run).execution)
    execution = bench.carries.launch(study, by=order.by, not_before=order.not_before)
    keep_written(bench.home, execution, text[:LONGEST])
    return execution


def moment_of(typed: str) -> float:
    """Return a time that a page sends, in seconds since 1970; 0 for none, or for one that is past.

    Raises
    ------
    PlanError
        If it is no time.
    """
    if not typed:
        return 0.0
    try:
        found = datetime.fromisoformat(typed)
        seconds = (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise PlanError(
            "this is no time", where="not before", received=repr(typed[:40]), remedy="as in 2027-03-01T18:00Z"
        ) from None
    return seconds if seconds > time.time() else 0.0
