from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from medfl.events import Event, RunFailed
from medfl.store.folding import view_execution, view_run
from medfl.store.summary import listing, summary
from medfl.store.views import ExecutionView, RunView
from medfl.testing import story


def executed(events: Sequence[Event]) -> ExecutionView:
    recorded = story.recorded(events)
    runs = dict.fromkeys(entry.event.run for entry in recorded)
    return view_execution([view_run(entry for entry in recorded if entry.event.run == run) for run in runs])


def test_a_finished_execution_says_exactly_this() -> None:
    told = summary(executed(story.execution()))
    assert list(told) == [
        "study", "digest", "runs", "baselines",
        "comparisons", "noninferiority", "worst_sites", "subgroups", "contributions", "importance",
    ]  # fmt: skip
    assert (told["study"], told["digest"]) == ("readmission", story.study().digest)
    assert [(run["arm"], run["seed"]) for run in told["runs"]] == [
        ("fedavg", 7), ("fedavg", 8), ("fedyogi", 7), ("fedyogi", 8),
    ]  # fmt: skip
    run = told["runs"][0]
    assert list(run) == [
        "run", "arm", "seed", "status", "rounds", "model", "wall_s", "metrics", "sites", "privacy",
    ]  # fmt: skip
    assert (run["status"], run["rounds"], run["wall_s"], len(run["model"])) == ("finished", 5, 2.0, 64)
    assert {"auc", "accuracy", "sensitivity", "specificity", "f1", "brier"} <= run["metrics"].keys()
    assert list(run["sites"]) == list(story.SITES)
    assert list(run["sites"]["st-anne"]) == ["train_rows", "test_rows", "metrics"]
    assert run["privacy"] == {"secure_aggregation": False, "unit": None, "epsilon": None, "delta": None}
    json.dumps(told, allow_nan=False)


def test_baselines_are_one_entry_pooled_and_one_a_site_alone() -> None:
    told = summary(executed(story.execution()))["baselines"]
    assert all(list(entry) == ["baseline", "seed", "site", "metrics"] for entry in told)
    assert [(entry["baseline"], entry["seed"], entry["site"]) for entry in told] == [
        ("centralised", 7, None),
        ("centralised", 8, None),
        *(("local-only", seed, site) for seed in (7, 8) for site in story.SITES),
    ]
    assert all(entry["metrics"]["auc"] > 0.5 for entry in told)


def test_what_did_not_finish_says_what_is_known() -> None:
    plans = list(story.plans(story.study(), name="x"))
    failed = RunFailed(run=plans[0].run, code="diverged", message="NaN")
    baseline_failed = RunFailed(run=plans[4].run, code="data", message="no rows")
    begun = [*story.beginning(plans[1]), *story.one_round(plans[1], 1)]
    told = summary(executed([*plans, failed, *begun, baseline_failed]))
    assert [run["status"] for run in told["runs"]] == ["failed", "interrupted", "planned", "planned"]
    first, second = told["runs"][:2]
    assert (first["metrics"], first["sites"], first["model"]) == ({}, {}, None)
    assert first["error"] == {"code": "diverged", "message": "NaN"}
    assert (second["rounds"], second["model"]) == (1, story.digest(plans[1], 1, "model"))
    assert "error" not in second
    assert [
        (entry["baseline"], entry["site"], entry["metrics"], entry["error"]["code"]) for entry in told["baselines"]
    ] == [("centralised", None, {}, "data")]


def test_the_listing_has_the_arms_newest_first() -> None:
    recorded = story.recorded(story.plans(story.study(), name="x"))
    views: list[RunView] = [view_run([entry]) for entry in recorded]
    told = listing(views)
    assert [(entry["arm"], entry["seed"]) for entry in told] == [
        ("fedyogi", 8), ("fedyogi", 7), ("fedavg", 8), ("fedavg", 7),
    ]  # fmt: skip
    assert told[0] == {
        "run": "x-fedyogi-8", "study": "readmission", "arm": "fedyogi", "seed": 8, "status": "planned", "rounds": 0,
    }  # fmt: skip


def test_baselines_are_listed_where_they_are_asked_for() -> None:
    recorded = story.recorded(story.plans(story.study(), name="x"))
    views: list[RunView] = [view_run([entry]) for entry in recorded]
    arms, everything = listing(views), listing(views, baselines=True)
    assert [entry for entry in everything if entry in arms] == arms
    assert {entry["arm"] for entry in everything if entry not in arms} == {"centralised", "local-only"}


def test_the_listing_has_what_was_interrupted_whatever_it_is_for() -> None:
    recorded = story.recorded(story.plans(story.study(), name="x"))
    plans = [view_run([entry]) for entry in recorded]
    part = replace(plans[0], role="coalition", members=("lakeside", "st-anne"), status="interrupted", place=9)
    alone = replace(plans[0], role="local-only", arm="local-only", status="finished", place=8)
    told = listing([*plans, part, alone])
    assert (told[0]["arm"], told[0]["status"]) == ("fedavg, by 2 only", "interrupted")
    assert len(told) == 5
    assert len(listing([*plans, replace(part, status="finished")])) == 4
