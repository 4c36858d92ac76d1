"""Every kind of event comes back from its JSON; what a newer version wrote is passed over, not a failure."""

from __future__ import annotations

import inspect
import json
from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest

from medfl import events
from medfl.events import (
    KINDS,
    DataDescribed,
    DataPrepared,
    Evaluated,
    Event,
    FineTuned,
    Noticed,
    PrivacySpent,
    RoundFinished,
    RoundStarted,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunPlanned,
    RunResumed,
    RunStarted,
    RunStopped,
    SiteAnswered,
    SiteDropped,
    SiteFailed,
    WeightsTaken,
    from_json,
    to_json,
)
from medfl.testing import story
from medfl.testing.journal_contract import plain

EXAMPLES: list[Event] = [
    RunPlanned(
        run="a-1",
        execution="a",
        study="tiny",
        digest="0" * 64,
        spec="{}",
        base="",
        engine="in-process",
        role="local-only",
        arm="local-only",
        seed=2**53,
    ),
    RunStarted(run="a-1", versions={"python": "3.11"}, platform="Linux", sites=("east", "west")),
    RunResumed(run="a-1", after_round=3, versions={}, platform="Linux"),
    DataDescribed(run="a-1", sites={"east": {"rows": 3, "schema": "0", "missing": {"age": 1}}}, agreement={"a": [1]}),
    DataPrepared(run="a-1", sites={"east": {"train_rows": 2}}, recipe={"offset": [0.1]}, explained=("One.", "Two.")),
    FineTuned(run="a-1", round=3, sites={"ε": {"auc": 0.7}}, site_intervals={"ε": {"auc": (0.6, 0.8)}}),
    WeightsTaken(run="a-1", source="the file w", digest="0" * 64, matched=("age",), new=(), dropped=("ε",)),
    Noticed(run="a-1", text="all train rows have one outcome (ε)", site="east"),
    Noticed(run="a-1", text="for all"),
    PrivacySpent(run="a-1", round=0, stage="prepare", unit="record", sites={"east": {"delta": 1e-5, "lines": 2}}),
    RoundStarted(run="a-1", round=1, sites=()),
    SiteAnswered(run="a-1", round=1, site="east", seconds=0.1, received=10, sent=2**40),
    SiteFailed(run="a-1", round=0, site="east", stage="describe", code="data", reason="no such file\n  → give one"),
    Evaluated(run="a-1", round=0, pooled={}, sites={"east": {"auc": None}}),
    Evaluated(
        run="a-1",
        round=2,
        pooled={"auc": 0.1 + 0.2},
        sites={"east": {"auc": 1.0}},
        final=True,
        pooled_intervals={"auc": (0.1, 0.9)},
        site_intervals={"east": {"auc": (0.0, 1.0)}},
        curves={"roc": [[0.0, 0.0, 1.0]]},
    ),
    FineTuned(run="a-1", round=2, sites={"east": {"auc": None}}, site_intervals={"east": {"auc": (0.0, 1.0)}}),
    RoundFinished(run="a-1", round=1, model="m", state="s", sites=("east",), loss=None),
    RunFinished(run="a-1", rounds=2, model="", seconds=1.5),
    RunFailed(run="a-1", code="diverged", message="site east, round 2: …"),
    RunInterrupted(run="a-1"),
    RunStopped(run="a-1"),
    RunStopped(run="a-1", by="anna", why="the night", paused=True),
    SiteDropped(run="a-1", round=3, site="east", by="anna", why="its server is replaced", decided="2026-01-02"),
]


def test_there_is_an_example_of_every_kind() -> None:
    assert {type(event) for event in EXAMPLES} == set(KINDS.values())


@pytest.mark.parametrize("event", [*EXAMPLES, *story.execution()[:40]], ids=lambda event: type(event).__name__)
def test_an_event_comes_back_from_its_json(event: Event) -> None:
    body = json.loads(json.dumps(to_json(event)))
    assert "run" not in body
    back = from_json(type(event).__name__, event.run, body)
    assert back is not None
    assert plain([back]) == plain([event])


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_an_event_of_plain_fields_comes_back_equal(event: Event) -> None:
    """Only what is nested in a mapping comes back as JSON has it: lists for tuples."""
    back = from_json(type(event).__name__, event.run, json.loads(json.dumps(to_json(event))))
    assert back == event or isinstance(event, Evaluated | FineTuned)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_a_field_of_a_newer_version_is_passed_over(event: Event) -> None:
    body = to_json(event) | {"since_version_9": {"more": [1]}}
    assert from_json(type(event).__name__, event.run, body) == event


def test_a_kind_of_a_newer_version_is_passed_over() -> None:
    assert from_json("SiteReconsidered", "a-1", {"site": "east"}) is None


def test_a_field_with_a_default_may_be_absent_in_an_older_journal() -> None:
    body = {"round": 1, "site": "east", "seconds": 1.0, "received": 1, "sent": 1}
    assert from_json("SiteAnswered", "a", body) == SiteAnswered(run="a", **body)  # type: ignore[arg-type]


def test_every_event_of_the_module_is_a_kind() -> None:
    found = {name: value for name, value in vars(events).items() if inspect.isclass(value) and issubclass(value, Event)}
    assert {name: value for name, value in found.items() if value is not Event} == dict(KINDS)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_kind_is_frozen_and_says_what_it_means(kind: type[Event]) -> None:
    assert is_dataclass(kind)
    text = inspect.getdoc(kind) or ""
    inherited = {"run", "versions", "platform"} if kind is RunResumed else {"run"}
    for field in fields(kind):
        assert field.name in inherited or field.name in text, f"{field.name} is not documented"
    example = next(event for event in EXAMPLES if type(event) is kind)
    with pytest.raises(FrozenInstanceError):
        example.run = "other"  # type: ignore[misc]
