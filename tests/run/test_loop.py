"""The round loop over real sites: what happens, in which order, and that each thing told is already durable."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from medfl.errors import PlanError
from medfl.events import (
    DataDescribed,
    DataPrepared,
    Evaluated,
    Event,
    Noticed,
    RoundFinished,
    RoundStarted,
    RunFinished,
    RunStarted,
    SiteAnswered,
)
from medfl.learn.model import Floats
from medfl.messages import Refusal, Reply
from medfl.run.in_process import InProcess
from medfl.run.loop import Federation, carry_out
from medfl.run.plan import RunPlan, compile
from medfl.site.pooled import pooled
from medfl.spec.study import Study
from medfl.testing.federation import NAMES, Kept, Through, in_process, rehearse, sites, study, tables, told

BEFORE = ["RunStarted", "DataDescribed", "DataPrepared"]
ROUND = ["RoundStarted", "SiteAnswered", "SiteAnswered", "SiteAnswered"]
BASELINES = {"evaluation": {"baselines": ["centralised", "local-only"], "bootstrap": 20}}


def names(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def plan_of(role: str, asked: Study) -> RunPlan:
    return next(plan for plan in compile(asked) if plan.role == role)


@pytest.fixture
def events(tmp_path: Path) -> list[Event]:
    events, error = rehearse(study(), in_process(sites(tmp_path)))
    assert error is None
    return events


def test_what_happens_in_two_rounds(events: list[Event]) -> None:
    assert names(events) == [
        *BEFORE,
        *ROUND,
        "RoundFinished",
        *ROUND,
        "Evaluated",  # the first round's model, which the sites judged before they trained from it
        "RoundFinished",
        "Evaluated",
        "RunFinished",
    ]
    assert {event.run for event in events} == {"rehearsal"}


def test_what_is_told_before_the_first_round(events: list[Event]) -> None:
    started, described, prepared = events[:3]
    assert isinstance(started, RunStarted)
    assert started.sites == NAMES
    assert started.versions.keys() >= {"python", "medfl", "numpy"}
    assert isinstance(described, DataDescribed)
    assert {site: told["rows"] for site, told in described.sites.items()} == {"east": 60, "north": 90, "west": 120}
    assert isinstance(prepared, DataPrepared)
    assert {site: (told["train_rows"], told["test_rows"]) for site, told in prepared.sites.items()} == {
        "east": (48, 12),
        "north": (72, 18),
        "west": (96, 24),
    }
    assert prepared.explained


def test_what_is_told_of_a_round(events: list[Event]) -> None:
    answered = [event for event in events if isinstance(event, SiteAnswered)]
    assert [(event.round, event.site) for event in answered] == [(n, site) for n in (1, 2) for site in NAMES]
    weights = 5  # age, dose, two colours besides the first, bias
    for event in answered:
        assert event.received == 4 * weights
        assert event.sent > 8 * weights
        assert event.seconds > 0
        assert event.loss is not None
        assert event.loss > 0
    finished = [event for event in events if isinstance(event, RoundFinished)]
    rows = {"east": 48, "north": 72, "west": 96}
    for one in finished:
        losses = {event.site: event.loss or 0.0 for event in answered if event.round == one.round}
        mean = sum(losses[site] * rows[site] for site in NAMES) / sum(rows.values())
        assert one.sites == NAMES
        assert one.loss == pytest.approx(mean)
    assert [event.round for event in events if isinstance(event, RoundStarted)] == [1, 2]


def test_what_is_told_of_the_models(events: list[Event]) -> None:
    first, last = (event for event in events if isinstance(event, Evaluated))
    assert (first.round, first.final, first.curves, first.pooled_intervals) == (1, False, None, None)
    assert (last.round, last.final) == (2, True)
    for event in (first, last):
        assert set(event.sites) == set(NAMES)
        auc = event.pooled["auc"]
        assert auc is not None
        assert 0.5 < auc <= 1
    assert last.curves is not None
    assert set(last.site_intervals or {}) == set(NAMES)
    low, high = (last.pooled_intervals or {})["auc"]
    assert low <= (last.pooled["auc"] or 0.0) <= high
    finished = events[-1]
    assert isinstance(finished, RunFinished)
    assert finished.rounds == 2
    assert finished.model == [event.model for event in events if isinstance(event, RoundFinished)][-1]


def test_a_round_is_told_after_its_model_is_kept_and_before_the_next_is_asked_for(tmp_path: Path) -> None:
    kept, answers = Kept(), 0

    def counted(some: list[Reply | Refusal]) -> list[Reply | Refusal]:
        nonlocal answers
        answers += len(some)
        return some

    engine = Through(in_process(sites(tmp_path)), counted)
    rounds = 0
    for event in carry_out("a", plan_of("arm", study()), Federation(engine, kept.write)):
        if isinstance(event, RoundFinished):
            rounds += 1
            assert event.model == hashlib.sha256(kept[event.model]).hexdigest()
            assert event.state in kept
            assert answers == 3 * (2 + event.round), "describe, prepare, and each round so far"
    assert rounds == 2


def test_the_spent_seconds_add_up_over_sittings(tmp_path: Path) -> None:
    federation = Federation(in_process(sites(tmp_path)), Kept().write)
    *_, last = carry_out("a", plan_of("arm", study()), federation, spent=1000.0)
    assert isinstance(last, RunFinished)
    assert 1000 < last.seconds < 1060


def test_youden_asks_twice_in_the_end_so_that_all_are_judged_at_one_threshold(tmp_path: Path) -> None:
    asked = study(evaluation={"threshold": "youden"})
    events, error = rehearse(asked, in_process(sites(tmp_path)))
    assert error is None
    last = [event for event in events if isinstance(event, Evaluated)][-1]
    thresholds = {site["threshold"] for site in last.sites.values()}
    assert thresholds == {last.pooled["threshold"]}


def test_fewer_rows_than_a_batch_and_one_class_are_noticed(tmp_path: Path) -> None:
    asked = study(training={"batch_size": 64}, data={"target": "sick", "one_class": "keep"})
    frame = tables()["east"].assign(sick=1)
    events, error = rehearse(asked, in_process(sites(tmp_path, {"east": lambda: frame})))
    assert error is None
    assert [(event.site, event.text) for event in events if isinstance(event, Noticed)] == [
        ("east", "48 training rows are fewer than a batch of 64: each step uses all of them"),
        ("east", "all train rows have one outcome (1)"),
        ("east", "all test rows have one outcome (1): its AUC is not defined"),
    ]


def test_the_centralised_baseline_trains_on_all_rows_in_one_go(tmp_path: Path) -> None:
    hospitals, kept = sites(tmp_path), Kept()
    pool = pooled(hospitals, tmp_path)
    federation = Federation(in_process(hospitals), kept.write, InProcess({pool.name: pool.answer}))
    events, error = told(carry_out("b", plan_of("centralised", study(**BASELINES)), federation))
    assert error is None
    assert names(events) == [*BEFORE, "RoundStarted", "SiteAnswered", "RoundFinished", "Evaluated", "RunFinished"]
    judged = events[-2]
    assert isinstance(judged, Evaluated)
    assert set(judged.sites) == set(NAMES), "judged on each site's own test rows"
    assert _weights(kept, events).shape == (5,)


def test_the_centralised_baseline_needs_a_pool(tmp_path: Path) -> None:
    federation = Federation(in_process(sites(tmp_path)), Kept().write)
    events, error = told(carry_out("b", plan_of("centralised", study(**BASELINES)), federation))
    assert names(events) == BEFORE
    assert isinstance(error, PlanError)
    assert "leave" in str(error)


def test_each_site_alone_tells_only_its_metrics(tmp_path: Path) -> None:
    kept = Kept()
    federation = Federation(in_process(sites(tmp_path)), kept.write)
    events, error = told(carry_out("c", plan_of("local-only", study(**BASELINES)), federation))
    assert error is None
    assert names(events) == [*BEFORE, "RoundStarted", "Evaluated", "RunFinished"]
    judged = events[-2]
    assert isinstance(judged, Evaluated)
    assert judged.pooled == {}
    assert set(judged.sites) == set(NAMES) == set(judged.site_intervals or {})
    assert kept == {}, "no model of a site reaches the hub"


def _weights(kept: Kept, events: list[Event]) -> Floats:
    finished = [event for event in events if isinstance(event, RoundFinished)][-1]
    return np.concatenate([part.reshape(-1) for part in load(kept[finished.model]).values()])
