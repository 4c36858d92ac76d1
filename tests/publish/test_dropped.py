"""A site that was left out is told wherever results are: when, by whom, why, and what it means for the numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medfl.events import Event, RunFinished, SiteDropped
from medfl.publish.dropped import dropped_in, since
from medfl.publish.glance import glance
from medfl.publish.methods import methods, setting_of
from medfl.publish.model_card import model_card
from medfl.publish.report import report
from medfl.store.folding import view_execution, view_run
from medfl.store.views import ExecutionView
from medfl.testing import story

DROP = SiteDropped(run="", round=3, site="st-anne", by="anna", why="its server is <replaced>", decided="2026-01-02")


def execution() -> ExecutionView:
    """Return a study from whose first run a site was dropped."""
    events = story.execution()
    first = events[0].run
    told: dict[str, list[Event]] = {}
    for event in events:
        if isinstance(event, RunFinished) and event.run == first:
            told[event.run].append(replace(DROP, run=first))
        told.setdefault(event.run, []).append(event)
    return view_execution([view_run(story.recorded(mine)) for mine in told.values()])


def test_report_methods_card_and_glance_tell_of_a_site_that_was_left_out() -> None:
    view = execution()
    run = view.every[0]
    assert run.dropped == {"st-anne": replace(DROP, run=run.run)}
    page = report(view)
    assert "Left out from round 3 on by anna: its server is &lt;replaced&gt;." in page
    federation = next(one.text for one in methods(view.spec, setting_of(run)) if one.title == "Federation")
    assert "By decision of the coordinator, st-anne was left out from round 3 on by anna" in federation
    assert "st-anne: Left out from round 3 on by anna" in model_card(run).replace("\\\\", "")
    assert any(text.startswith("st-anne was left out while the study went on") for text in glance(view).cautions)


@pytest.mark.parametrize(
    ("round", "words"),
    [
        (0, "Left out from the beginning by anna"),
        (4, "Left out from round 4 on"),
        (6, "Left out of the last judgement"),
    ],
)
def test_when_it_was_left_out_is_said_in_words(round: int, words: str) -> None:
    assert since(replace(DROP, round=round), 5).startswith(words)


def test_what_is_alike_in_several_runs_is_said_once() -> None:
    run = execution().every[0]
    assert list(dropped_in([run, replace(run, seed=9)])) == list(dropped_in([run]))
