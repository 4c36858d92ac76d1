"""Whom the process of a study waits for, and what becomes of a site that is not enrolled any more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medfl import coordinating, over_hub
from medfl.coordinating import ask
from medfl.errors import Complaint, EngineError
from medfl.events import Drop
from medfl.hub.asked import Asked
from medfl.hub.place import HubPlace
from medfl.hub.told import Told
from medfl.messages import Refusal, Reply, Request
from medfl.over_hub import HubEngine
from medfl.run.flower.engine import FlowerEngine
from medfl.spec.study import Study
from medfl.store.decisions import drop as decide
from medfl.store.home import Home
from medfl.store.views import RunView
from medfl.testing.engine_contract import asked
from medfl.testing.federation import study
from medfl.testing.hub import made
from medfl.versions import SPOKEN, here

NAMES = ("east", "north", "west")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubPlace:
    """Return a hub that north has left."""
    monkeypatch.setattr(over_hub, "link_of", lambda hub: SimpleNamespace(address="nowhere"))
    monkeypatch.setattr(over_hub, "keys_of", lambda hub: {"east": b"key", "west": b"key"})
    monkeypatch.setattr(over_hub, "register", lambda link, keys: {name: place for place, name in enumerate(keys)})
    return made(tmp_path / "hub")


def test_a_site_that_left_is_refused_at_once_and_the_others_are_asked(
    hub: HubPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exchange(engine: Any, requests: Any, *, timeout: float | None = None) -> Iterator[str]:
        yield from (f"asked {request.site}" for request in requests)

    monkeypatch.setattr(FlowerEngine, "exchange", exchange)
    engine = HubEngine(hub.folder, NAMES)
    assert engine.sites() == NAMES, "it is still a site of the study"
    first, *others = engine.exchange(asked(NAMES))
    assert isinstance(first, Refusal)
    assert (first.site, first.code) == ("north", "plan"), "only a person can go on, where all must answer"
    assert "not enrolled any more" in first.reason
    assert [str(one) for one in others] == ["asked east", "asked west"]


def test_enough_sites_are_enough_after_the_wait_and_not_before(hub: HubPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = HubEngine(hub.folder, NAMES)
    monkeypatch.setattr(engine, "_missing", lambda: ["west"])
    engine.wait(0.0, logs=str, least=1)
    with pytest.raises(EngineError, match="missing: west"):
        engine.wait(0.0, logs=str, least=2)
    with pytest.raises(EngineError, match="missing: west"):
        engine.wait(0.0, logs=str)


@pytest.mark.parametrize(("begun", "least", "waits"), [(True, 2, 2), (True, None, 3), (False, 2, None)])
def test_only_a_run_that_has_begun_goes_on_without_a_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool, least: int | None, waits: int | None
) -> None:
    waited: list[int | None] = []

    @contextmanager
    def reached(folder: Path, sites: tuple[str, ...]) -> Iterator[SimpleNamespace]:
        assert sites == NAMES
        yield SimpleNamespace(wait=lambda seconds, *, logs, least: waited.append(least))

    monkeypatch.setattr(coordinating, "reached", reached)
    coordinating._wait(tmp_path, three(least), frozenset(), begun=begun, over=lambda: False)
    assert waited == [waits]


def test_nobody_waits_for_a_site_that_was_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is dropped while all are waited for."""
    drop, opened = Drop(site=NAMES[1], by="anna", why="gone", decided="2026"), list[tuple[str, ...]]()

    @contextmanager
    def reached(folder: Path, sites: tuple[str, ...]) -> Iterator[SimpleNamespace]:
        opened.append(sites)

        def wait(seconds: float, *, logs: object, least: int | None) -> None:
            if drop.site in sites:
                decide(home, "e", drop)
                raise EngineError("it is not there", received="north")

        yield SimpleNamespace(wait=wait)

    monkeypatch.setattr(coordinating, "reached", reached)
    with Home(tmp_path) as home:
        coordinating._wait_for_sites(home, "e", three(None), begun=False)
    assert opened == [NAMES, tuple(name for name in NAMES if name != drop.site)]


def test_sites_are_asked_once_for_each_study_and_only_those_that_understand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """North is too old to be asked, west does not answer, and a policy's no is a no."""
    asked = three(None)
    words: dict[str, Any] = {"study": "tiny", "digest": asked.digest, "spec": json.loads(asked.canonical), "base": ""}
    words |= {"execution": "12345678", "engine": "hub", "role": "arm", "arm": "base"}
    runs = [RunView(run=f"12345678-{seed}", seed=seed, **words) for seed in (7, 8)]
    Told(speaks=replace(here(), spoken={**SPOKEN, "channel": (1, 2)})).keep(tmp_path, "north")
    asked_for: list[Request] = []

    def exchange(requests: list[Request], *, timeout: float) -> Iterator[Reply | Refusal]:
        asked_for.extend(requests)
        yield answers.pop()(next(one for one in requests if one.site == "east"))

    @contextmanager
    def reached(folder: Path, sites: tuple[str, ...]) -> Iterator[SimpleNamespace]:
        assert sites == NAMES
        yield SimpleNamespace(exchange=exchange)

    monkeypatch.setattr(coordinating, "reached", reached)
    answers: list[Callable[[Request], Reply | Refusal]] = [
        lambda one: Refusal(request=one.id, site="east", code="refused", complaints=(Complaint("the policy says no"),)),
        lambda one: Reply(request=one.id, site="east", content={"verdict": "approved", "why": ""}),
        lambda one: Reply(request=one.id, site="east", content={"verdict": "perhaps"}),
        lambda one: Reply(request=one.id, site="east", content={"verdict": "waiting", "why": "it waits"}),
    ]
    said = []
    for goes in (False, True, True, True):
        with Home(tmp_path) as home:
            assert ask(home, "12345678", runs) == goes
        kept = Asked.of(tmp_path, "12345678")
        assert [kept.now(site, Told()).said for site in ("north", "west")] == ["untold", "unanswered"]
        said.append(kept.now("east", Told()).said)
    assert said == ["waiting", "unanswered", "approved", "refused"]
    assert sorted((one.site, one.round) for one in asked_for) == sorted(
        (site, times) for times in range(4) for site in ("east", "west")
    ), "each time anew, or the site would say the same once more"


def three(least: int | None) -> Study:
    rule = {"kind": "fedavg", "rounds": 2} | ({} if least is None else {"min_sites": least})
    return study(data={"target": "sick", "sites": dict.fromkeys(NAMES, "table.csv")}, algorithm=rule)
