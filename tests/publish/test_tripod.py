"""TRIPOD+AI: every item is there, what is known is answered, and what is not is left to the authors."""

from __future__ import annotations

import re

import pytest

from medfl.events import Event
from medfl.publish.report import report
from medfl.publish.tripod import TITLES, as_markdown, checklist
from medfl.store.folding import view_execution, view_run
from medfl.store.views import ExecutionView
from medfl.testing import story

NUMBERS = re.findall(
    r"\S+",
    "1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g 13 14 15 16 17 18a 18b 18c "
    "18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c",
)
AUTHORS = re.findall(r"\S+", "2 3a 3b 3c 5b 6c 8b 8c 9c 17 18a 18b 18d 19 27b 27c")
"""What nothing in a study or its journal says."""


def told(events: list[Event]) -> ExecutionView:
    recorded = story.recorded(events)
    runs = dict.fromkeys(one.event.run for one in recorded)
    return view_execution([view_run([one for one in recorded if one.event.run == run]) for run in runs])


@pytest.fixture(scope="module")
def view() -> ExecutionView:
    return told(story.execution())


def test_every_item_is_there_in_order(view: ExecutionView) -> None:
    assert [item.number for item in checklist(view).items] == NUMBERS


def test_what_only_the_authors_know_is_left_to_them(view: ExecutionView) -> None:
    items = {item.number: item for item in checklist(view).items}
    assert [number for number, item in items.items() if item.state == "open"] == AUTHORS
    assert all(items[number].gap for number in AUTHORS)
    assert all(item.answer or item.gap for item in items.values())


def test_answers_are_those_of_the_study(view: ExecutionView) -> None:
    items = {item.number: item.answer for item in checklist(view).items}
    assert "738 rows" in items["5a"]
    assert "st-anne" in items["6a"]
    assert "age, bmi and smoker" in items["9b"]
    assert "readmitted" in items["8a"]
    assert view.digest[:12] in items["18c"]
    assert "training alone" in items["12d"]
    assert items["13"] == "No method against class imbalance was used."


def test_weights_of_classes_and_fine_tuning_are_told() -> None:
    spec = story.study().overridden({"training": {"class_weight": "balanced"}})
    items = {item.number: item for item in checklist(told(story.execution(spec))).items}
    assert "weighted in the loss" in items["13"].answer
    assert items["24"].answer == "No model was updated after it was evaluated."


def test_what_is_not_judged_yet_is_not_answered() -> None:
    items = {item.number: item for item in checklist(told(list(story.plans(story.study(), name="a")))).items}
    assert not items["23a"].answer
    assert items["23a"].gap == "Carry the study to its end: it is answered then."
    assert not items["5a"].answer


@pytest.mark.parametrize("begun", [True, False])
def test_each_answer_points_into_the_report(view: ExecutionView, begun: bool) -> None:
    shown = view if begun else told(list(story.plans(story.study(), name="a")))
    page = report(shown)
    for item in checklist(shown).items:
        if item.section:
            assert f'id="{item.section}"' in page
            assert TITLES[item.section] in page
    assert page.count("☐") == sum(bool(item.gap) for item in checklist(shown).items)


def test_the_page_to_fill_in_has_every_item(view: ExecutionView) -> None:
    page = as_markdown(checklist(view))
    assert [line.split()[1] for line in page.splitlines() if re.match(r"\| \d", line)] == NUMBERS
    assert page.count("[ ]") == sum(bool(item.gap) for item in checklist(view).items)
    assert checklist(view).summary in page
