"""Whom the process of a study waits for, and what becomes of a site that is not enrolled any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medfl import coordinating, over_hub
from medfl.errors import EngineError
from medfl.events import Drop
from medfl.hub.place import HubPlace
from medfl.messages import Refusal
from medfl.over_hub import HubEngine
from medfl.run.flower.engine import FlowerEngine
from medfl.spec.study import Study
from medfl.store.decisions import drop as decide
from medfl.store.home import Home
from medfl.testing.engine_contract import asked
from medfl.testing.federation import study
from medfl.testing.hub import made

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


def three(least: int | None) -> Study:
    rule = {"kind": "fedavg", "rounds": 2} | ({} if least is None else {"min_sites": least})
    return study(data={"target": "sick", "sites": dict.fromkeys(NAMES, "table.csv")}, algorithm=rule)
