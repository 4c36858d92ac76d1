"""A site that was left out is told wherever results are: when, by whom, why, and what it means for the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from markupsafe import escape

from medfl.events import Event, RunFinished, SiteDropped
from medfl.hub.pages.catalogue import catalogue
from medfl.publish.dropped import dropped_in, since
from medfl.publish.figures import forest
from medfl.publish.glance import glance
from medfl.publish.methods import methods, setting_of
from medfl.publish.model_card import model_card
from medfl.publish.pictures import plates
from medfl.publish.report import report
from medfl.publish.sheets import sheets
from medfl.publish.tables import results
from medfl.publish.tripod import checklist
from medfl.store.folding import view_execution, view_run
from medfl.store.views import ExecutionView, RunView
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
    assert "Left out of fedavg (seed 7) from round 3 on by anna: its server is &lt;replaced&gt;." in page
    paragraphs = methods(view.spec, setting_of(run, among=view.every))
    federation = next(one.text for one in paragraphs if one.title == "Federation")
    assert "Site st-anne was left out of fedavg (seed 7) from round 3 on by anna" in federation
    assert str(escape(federation)) in page
    assert "st-anne: Left out from round 3 on by anna" in model_card(run).replace("\\\\", "")
    assert "Over all sites' test rows, without st-anne" in model_card(run)
    assert "Site st-anne was left out by hand: of fedavg (seed 7) from round 3 on." in glance(view).says
    twenty = next(one.answer for one in checklist(view).items if one.number == "20a")
    assert twenty.endswith("Site st-anne was left out by hand: of fedavg (seed 7) from round 3 on.")


@pytest.mark.parametrize(
    ("round", "words"),
    [
        (0, "Left out from the beginning by anna"),
        (4, "Left out from round 4 on"),
        (6, "Left out from the last judgement on"),
    ],
)
def test_when_it_was_left_out_is_said_in_words(round: int, words: str) -> None:
    assert since(replace(DROP, round=round), 5).startswith(words)


def whole() -> ExecutionView:
    told: dict[str, list[Event]] = {}
    for event in story.execution():
        told.setdefault(event.run, []).append(event)
    return view_execution([view_run(story.recorded(mine)) for mine in told.values()])


EVERYWHERE = {"fedavg": 3, "fedyogi": 0, "centralised": 0, "local-only": 0}


def left(rounds: Mapping[str, int]) -> ExecutionView:
    """Return a study from which a site was left out of these ways of learning, in every repeat."""

    def without(run: RunView) -> RunView:
        if run.arm not in rounds or run.final is None:
            return run
        pooled = {name: value for name, value in run.final.sites.items() if name != "st-anne"}
        sites = run.sites if rounds[run.arm] else {name: one for name, one in run.sites.items() if name != "st-anne"}
        drop = replace(DROP, run=run.run, round=rounds[run.arm])
        return replace(run, dropped={"st-anne": drop}, sites=sites, final=replace(run.final, sites=pooled))

    return view_execution([without(run) for run in whole().every])


def test_arms_that_were_judged_at_other_sites_are_not_told_of_together() -> None:
    view = left({"fedyogi": 3, "local-only": 0})
    shown = glance(view)
    first, second, *third = shown.says[:4]
    assert first.startswith("Together, the three sites reach an AUC of ")
    assert "with fedavg, measured on 141 test rows" in first
    assert second.startswith("Together, the two sites reach an AUC of ")
    assert "with fedyogi, measured on 124 test rows" in second
    assert third == [
        "Site st-anne was left out by hand: of fedyogi from round 3 on.",
        "Site st-anne was left out by hand: of alone from the beginning.",
    ]
    assert not [text for text in shown.says if "that of arm fedyogi" in text], "no difference between the two is told"
    assert any("are not compared: the difference could be the patients'" in text for text in shown.cautions)
    assert [tile.note.partition(", ")[2] for tile in shown.tiles] == ["", "", "without st-anne", ""]
    groups = results(view)
    assert groups is not None
    assert groups.together[0].note == "all test rows in one count; alone and fedyogi without st-anne"
    figure = forest(view, "auc")
    assert figure is not None
    assert figure.pooled.test_rows is None
    told = {(row[0], row[1]): row[-1] for row in sheet(view, "metrics").rows if row[2] == "pooled"}
    assert told == {
        ("federated", "fedavg"): "",
        ("federated", "fedyogi"): "st-anne",
        ("centralised", ""): "",
    }
    caption = next(plate.caption for name, plate in plates(view, "auc").items() if name == "compared")
    assert "Not compared: fedavg with fedyogi, " in caption
    reasons = {row[:2]: row[-1] for row in sheet(view, "differences").rows}
    assert reasons["fedavg", "fedyogi"].startswith("a site was left out of one of them")


def test_arms_that_lost_the_same_site_are_told_of_together_and_from_when_on() -> None:
    shown = glance(view := left(EVERYWHERE))
    assert shown.says[0].startswith("Together, the two sites reach an AUC of ")
    assert "with fedavg and " in shown.says[0]
    assert "measured on 124 test rows" in shown.says[0]
    assert shown.says[1:3] == (
        "Site st-anne was left out by hand: of fedavg from round 3 on.",
        "Site st-anne was left out by hand: of fedyogi, centralised and alone from the beginning.",
    )
    french = catalogue("fr").sentences
    told = (*shown.says[:3], *(text for text in shown.cautions if "st-anne was left out" in text))
    assert all(known for text in told for _, known in french.pieces(text))
    assert (
        french.pieces(shown.says[1])[0][0]
        == "Le site st-anne a été écarté à la main\u00a0: de fedavg à partir du tour 3."
    )
    assert not [text for text in shown.cautions if "not compared" in text]
    assert not [text for text in shown.cautions if "not defined at st-anne" in text]
    groups = results(view)
    assert groups is not None
    assert groups.together[0].note == "all test rows in one count; without st-anne"
    figure = forest(view, "auc")
    assert figure is not None
    assert figure.pooled.test_rows == 124


def sheet(view: ExecutionView, name: str) -> Any:
    return next(one for one in sheets(view, "auc") if one.name == name)


def test_what_is_alike_in_several_runs_is_said_once() -> None:
    run = execution().every[0]
    assert list(dropped_in([run, replace(run, seed=9)])) == list(dropped_in([run]))


def test_test_rows_are_those_of_one_run_wherever_they_are_told() -> None:
    view = execution()
    shown = glance(view)
    assert "measured on 141 test rows" in shown.says[0]
    assert any("only 141 test rows in all" in text for text in shown.cautions)


def test_only_a_decision_that_names_nobody_is_laid_to_the_coordinator() -> None:
    run = execution().every[0]
    nobody = replace(run, dropped={"st-anne": replace(DROP, run=run.run, by="")})
    assert "coordinator" not in setting_of(run).dropped
    assert setting_of(nobody).dropped.startswith("By decision of the coordinator, site st-anne was left out")
