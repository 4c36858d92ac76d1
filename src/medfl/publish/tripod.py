"""TRIPOD+AI (Collins et al. 2024, BMJ 385:e078378): where a report answers each item, and what only its authors know.

The items are in ``tripod.toml``. What is answered follows from study and journal; nothing is guessed for the authors.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal

from medfl.publish.dropped import said_of_dropped
from medfl.publish.glance import glance
from medfl.publish.methods import arms_of, setting_of
from medfl.publish.tables import classes_of, cohort, described, results
from medfl.publish.wording import counted, listed, sentence, whole
from medfl.store.views import ExecutionView, RunView

State = Literal["answered", "partly", "open"]
TITLES: Mapping[str, str] = MappingProxyType(
    {
        "glance": "In one glance",
        "cohort": "Who took part",
        "methods": "What was done",
        "results": "Results",
        "left": "What left each site",
        "provenance": "Provenance",
        "limits": "Limits",
    }
)
"""Sections of the report that answer items, by their anchor."""
LATER = "Carry the study to its end: it is answered then"
"""What is missing where the study has not come so far as to answer an item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item.

    Parameters
    ----------
    number, topic, asks
        As in the checklist, in words of our own.
    answer
        What is known, in sentences; empty where nothing is.
    section
        Anchor of the section of the report that tells it whole; empty where nothing is known.
    gap
        What the authors have to add; empty where nothing is.
    """

    number: str
    topic: str
    asks: str
    answer: str = ""
    section: str = ""
    gap: str = ""

    @property
    def state(self) -> State:
        """Whether it is answered, in part, or left to the authors."""
        if not self.answer:
            return "open"
        return "partly" if self.gap else "answered"

    @property
    def title(self) -> str:
        """Title of the section that tells it."""
        return TITLES[self.section] if self.section else ""


@dataclass(frozen=True, slots=True)
class Checklist:
    """All items in order."""

    items: tuple[Item, ...]

    def count(self, state: State) -> int:
        """Return how many items are in this state."""
        return sum(item.state == state for item in self.items)

    @property
    def summary(self) -> str:
        """How many items are answered, and how many are not."""
        return (
            f"Of {len(self.items)} items {self.count('answered')} are answered here, {self.count('partly')} in part, "
            f"and {self.count('open')} only the authors can answer."
        )


def checklist(view: ExecutionView) -> Checklist:
    """Return where an execution's report answers each item of TRIPOD+AI."""
    known = {number: text for number, text in _answers(view) if text}
    there = _sections(view)
    items = []
    for one in asked():
        answer = known.get(one["number"], "")
        section = one.get("section", "") if answer else ""
        gap = one.get("gap", "") or ("" if answer else LATER)
        items.append(
            Item(
                number=one["number"],
                topic=one["topic"],
                asks=sentence(one["asks"]),
                answer=answer,
                section=section if section in there else "",
                gap=sentence(gap) if gap else "",
            )
        )
    return Checklist(tuple(items))


def as_markdown(told: Checklist) -> str:
    """Return the checklist as a page to fill in."""
    return "\n".join(_page(told)) + "\n"


def _page(told: Checklist) -> Iterator[str]:
    yield "# TRIPOD+AI"
    yield ""
    yield "Collins GS, Moons KGM, Dhiman P, et al. TRIPOD+AI statement: updated guidance for reporting clinical"
    yield "prediction models that use regression or machine learning methods. BMJ 2024;385:e078378."
    yield "The items are told here in other words; the paper has the authors' own."
    yield ""
    yield told.summary
    yield ""
    yield "| Item | Asked for | Answered | For the authors |"
    yield "| --- | --- | --- | --- |"
    for item in told.items:
        where = f" (report, “{item.title}”)" if item.section else ""
        gap = f"[ ] {item.gap}" if item.gap else ""
        cells = (f"{item.number} {item.topic}", item.asks, f"{item.answer}{where}".strip(), gap)
        yield f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Return text that a table of Markdown takes as text."""
    for character in "\\`*_<>|":
        text = text.replace(character, "&lt;" if character == "<" else "&gt;" if character == ">" else f"\\{character}")
    return " ".join(text.split())


@cache
def asked() -> tuple[Mapping[str, str], ...]:
    """Return the items as they are written down: number, topic, what is asked for, and what only authors know."""
    text = files("medfl.publish").joinpath("tripod.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)["item"])


def _sections(view: ExecutionView) -> set[str]:
    """Return the anchors that the report of an execution has."""
    there = {"methods", "left", "provenance", "limits"}
    there |= {"cohort"} if cohort(view) else set()
    there |= {"results"} if results(view) else set()
    shown = glance(view)
    return there | ({"glance"} if shown.says or shown.tiles else set())


def _answers(view: ExecutionView) -> Iterator[tuple[str, str]]:
    """Yield what is known of items, as number and sentences; an empty text where it is not known yet."""
    each = arms_of(view.spec)
    first, run = next(iter(each.values())), described(view)
    yield from _of_the_question(view, first, run)
    yield from _of_the_data(view, first, run)
    yield from _of_the_analysis(view, each)
    yield from _of_the_results(view)


def _of_the_question(view: ExecutionView, spec: Mapping[str, Any], run: RunView | None) -> Iterator[tuple[str, str]]:
    target, classes = spec["data"]["target"], classes_of(run) if run else ()
    asked = f"The question was: {view.question}" if view.question else ""
    kind = f"; its classes are {listed(classes)}" if classes else ""
    ways = list(dict.fromkeys(run.arm for run in view.runs))
    arms = f"{counted(len(ways), 'way')} of learning, {listed(ways)}," if len(ways) > 1 else "one way of learning"
    yield "1", asked or f"The outcome is the column {target}."
    yield (
        "4",
        f"Development by federated learning ({arms.rstrip(',')}), and internal evaluation on rows kept for testing.",
    )
    yield "8a", f"The outcome is the column {target}{kind}."


def _of_the_data(view: ExecutionView, spec: Mapping[str, Any], run: RunView | None) -> Iterator[tuple[str, str]]:
    told = cohort(view)
    simulated = bool(spec["data"].get("simulate"))
    if run is not None and told is not None:
        sites = f"{counted(len(run.sites), 'site')}: {listed(list(run.sites))}"
        rows = sum(site.rows or 0 for site in run.sites.values())
        out = sum(site.left_out or 0 for site in run.sites.values())
        features = setting_of(run).features
        dealt = "; they were dealt out of one table, to simulate sites" if simulated else ""
        yield "5a", f"{whole(rows)} rows at {sites}{dealt}."
        yield "6a", f"{sites[0].upper()}{sites[1:]}."
        yield "6b", _left_out(out)
        yield "10", f"{whole(rows)} rows; by site and outcome in the table."
        yield "20a", " ".join((_FLOW, *said_of_dropped(view.every)))
        yield "20b", "Rows, outcomes and missing values by site."
        yield (
            "20c",
            "Rows and outcomes of training and test rows by site; distributions of predictors stay at the sites.",
        )
        yield "21", "Training and test rows by site, with their outcomes."
        yield (
            "9a",
            f"What was learned from: {counted(len(features), 'column')} that all sites have." if features else "",
        )
        yield "9b", f"By name: {listed(features, at_most=60)}." if features else ""
    yield "18c", f"The study was fixed before it ran, as text with the digest {view.digest[:12]}."
    yield "18e", "No row left a site; what did is listed."


def _of_the_analysis(view: ExecutionView, each: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    first = next(iter(each.values()))
    weighted = any(arm["training"].get("class_weight") for arm in each.values())
    groups = bool(first["evaluation"].get("subgroups")) or any(run.final and run.final.subgroups for run in view.runs)
    tuned = bool(view.fine_tuned)
    yield "7", "Preprocessing was the same for all patients, and fitted over all sites: paragraph “Preprocessing”."
    yield "11", "Under “Preprocessing”; missing values and rows left out are counted by site."
    yield "12a", "Under “Data” and “Evaluation”: each site kept rows for testing that no model was trained on."
    yield "12b", "Under “Preprocessing”."
    yield "12c", "Under “Model and local training” and “Federation”, with every setting."
    alone = " and compared with training alone" if "local-only" in first["evaluation"].get("baselines", ()) else ""
    yield "12d", f"Metrics were computed for each site, with the site served worst,{alone}".rstrip(",") + "."
    yield "12e", "Under “Evaluation” and “Statistics”."
    yield "12f", _updated(tuned)
    yield "12g", "By the exported model with medfl predict: weights, columns and preprocessing are files with digests."
    yield (
        "13",
        (
            "Classes were weighted in the loss; predicted risks were not recalibrated after that."
            if weighted
            else "No method against class imbalance was used."
        ),
    )
    yield (
        "14",
        (
            "Metrics were computed apart for groups of patients."
            if groups
            else "Nothing was done for it, and no group of patients was looked at apart."
        ),
    )
    yield "15", "Under “Evaluation”, with the threshold where there is one."
    yield (
        "16",
        "Test rows are from the same sites as training rows, drawn at random or listed by the site; no other site.",
    )
    yield "18f", "Script and text of the study are in its bundle; MEDfl is open source (Apache 2.0)."
    yield "22", "Weights, columns and preprocessing of each model, by their digests."
    yield "27a", "Missing values are filled as in training, and a table that lacks a column is refused."


_FLOW = "Rows found, left out, used for training and kept for testing, with the outcome, by site."


def _left_out(rows: int) -> str:
    if not rows:
        return "Every row that a site has could be used."
    return f"{counted(rows, 'row')} could not be used and {'was' if rows == 1 else 'were'} left out."


def _updated(tuned: bool) -> str:
    return (
        "Each site went on from the last model on its own rows; the copies stayed there."
        if tuned
        else "No model was updated after it was evaluated."
    )


def _of_the_results(view: ExecutionView) -> Iterator[tuple[str, str]]:
    if results(view) is None:
        return
    groups = any(run.final and run.final.subgroups for run in view.runs)
    yield "23a", f"With 95 % intervals, and as figures{'; groups of patients apart' if groups else ''}."
    yield "23b", "By site, with intervals, and the site served worst."
    yield "24", _updated(bool(view.fine_tuned))
    yield "25", "The main results in sentences."
    yield "26", "What the results do not show, and what they are no evidence for."
