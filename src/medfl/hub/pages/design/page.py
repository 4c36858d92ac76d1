"""The page on which a study is designed: form, text, code and plain words, always of the same study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from medfl.errors import Complaint, MedflError, PlanError
from medfl.hub.pages.bench import Bench, Cost, Told, Tried
from medfl.hub.pages.design.drafts import Draft
from medfl.hub.pages.design.form import ArmForm, Step, arms_of, steps_of, unplaced
from medfl.hub.pages.design.mapping import repaired, without_column
from medfl.hub.pages.design.picture import Picture, picture_of
from medfl.hub.pages.design.tables import Tables, keys_of, repairs, tables_of
from medfl.publish.code import script
from medfl.spec.finding import Finding
from medfl.spec.reading import data_of, findings
from medfl.spec.study import Study

SOURCE = "study.toml"
EPSILON = "privacy.dp.epsilon"


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignPage:
    """A draft, in all its forms.

    Parameters
    ----------
    draft
        Its text and revision.
    unreadable
        Why the text is no TOML; then the form is that of nothing.
    title
        The study's name; empty where it has none.
    steps, arms, picture
        The form.
    tables
        What is known of the sites' tables.
    wrong
        What is wrong and stands at no field.
    faults
        How many things are wrong; 0 where the study can be looked at.
    worst
        The first of them, with the key where it is.
    digest, sections, code
        Of a study that is sound: its digest, what it would do, and the script.
    costs
        What its differential privacy is expected to cost, by the field of the form where ε is written.
    tries
        Whether that can be tried out.
    tried
        What came of trying it out, as the study and its table are now; nothing where that was not done.
    """

    draft: Draft
    unreadable: tuple[Complaint, ...]
    title: str
    steps: tuple[Step, ...]
    arms: tuple[ArmForm, ...]
    picture: Picture
    tables: Tables
    wrong: tuple[str, ...]
    faults: int
    worst: Complaint | None = None
    digest: str = ""
    sections: tuple[Told, ...] = ()
    code: str = ""
    costs: tuple[tuple[str, Cost], ...] = ()
    tries: bool = False
    tried: tuple[Tried, ...] = ()


def design_page(bench: Bench, draft: Draft) -> DesignPage:
    """Return a draft in all its forms, whatever is written in it."""
    unreadable: tuple[Complaint, ...] = ()
    try:
        tables = data_of(draft.text, SOURCE)
    except MedflError as error:
        tables, unreadable = {}, error.complaints
    study, found = findings(tables) if not unreadable else (None, [])
    steps, arms = steps_of(tables, found), arms_of(tables, found)
    sound = study if not found else None
    return DesignPage(
        draft=draft,
        unreadable=unreadable,
        title=_title(tables),
        steps=steps,
        arms=arms,
        picture=picture_of(arms),
        tables=tables_of(bench, tables),
        wrong=tuple(unplaced(found, steps, arms)),
        faults=len(found) + len(unreadable),
        worst=next(chain(unreadable, map(_complaint, found)), None),
        digest=sound.digest if sound else "",
        sections=_sections(bench, sound),
        code=script(sound) if sound else "",
        costs=tuple(_costs(bench, sound, tables)) if sound else (),
        tries=bench.tries is not None,
        tried=_tried(bench, draft.text) if sound else (),
    )


def _costs(bench: Bench, study: Study, tables: Mapping[str, Any]) -> Iterator[tuple[str, Cost]]:
    """Yield each arm's cost with the field that its ε is written in: one of its own, or the study's."""
    if all(arm.privacy.dp is None for arm in study.arms.values()):
        return
    own = {arm["name"]: number for number, arm in enumerate(tables.get("arm", ())) if "dp" in arm.get("privacy", ())}
    for cost in bench.costs(study, bench.sees(study.data)):
        yield f"arm.{own[cost.arm]}.{EPSILON}" if cost.arm in own else EPSILON, cost


def _tried(bench: Bench, text: str) -> tuple[Tried, ...]:
    attempt = None if bench.tries is None else bench.tries.seen(text)
    return attempt.results if attempt is not None and attempt.state == "done" else ()


def accepted(bench: Bench, text: str, *, site: str, column: str) -> str:
    """Return a draft's text with what is suggested for a column of a site; for all where none is named.

    Raises
    ------
    PlanError
        If the text is no TOML, or nothing is suggested.
    """
    found = list(repairs(bench, data_of(text, SOURCE), site=site, column=column))
    if not found:
        raise PlanError("nothing is suggested there any more", received=column, remedy="load the page again")
    for repair, data in found:
        text = repaired(text, repair.site, repair.column, keys_of(repair, data))
    return text


def fewer(bench: Bench, text: str, *, column: str) -> str:
    """Return a draft's text that does not learn from a column any more, nor from one that only few tables have.

    Raises
    ------
    PlanError
        If the text is no TOML, or nothing would be left to learn from.
    """
    known = tables_of(bench, data_of(text, SOURCE))
    usual = [name for name, having in known.columns if having * 2 > known.there or name == column]
    return without_column(text, column, every=usual, target=known.target)


def _complaint(found: Finding) -> Complaint:
    """Return a finding with the key where it is."""
    return Complaint(found.what, where=".".join(map(str, found.path)), remedy=found.remedy)


def _sections(bench: Bench, study: Study | None) -> tuple[Told, ...]:
    """Return what a sound study would do, as far as can be said without opening a table."""
    if study is None:
        return ()
    try:
        return tuple(bench.reads(study))
    except MedflError as error:
        return (Told("It cannot be carried out yet", tuple(map(str, error.complaints))),)


def title_of(text: str) -> str:
    """Return the name of the study that a text is about; empty where it says none."""
    try:
        return _title(data_of(text, SOURCE))
    except MedflError:
        return ""


def _title(tables: Mapping[str, Any]) -> str:
    info = tables.get("study")
    name = info.get("name") if isinstance(info, Mapping) else None
    return name if isinstance(name, str) else ""
