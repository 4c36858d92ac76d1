"""Over a real Ray: the contract, a study whose workers are killed, and what a user may get wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from medfl.deploying import RayAt, address_of, chosen
from medfl.events import SiteFailed
from medfl.execution import lay_down
from medfl.inspection import opened
from medfl.publish.leaving import leaving
from medfl.run.engine import Engine
from medfl.run.ray.cluster import Cluster, environment
from medfl.run.ray.engine import RayEngine
from medfl.site.sources import Sources
from medfl.spec.study import Study
from medfl.store.home import Home
from medfl.store.shelf import whole_execution
from medfl.testing import probe
from medfl.testing.command import typed
from medfl.testing.engine_contract import RemoteEngineContract
from medfl.testing.federation import NAMES, rehearse, rounds

pytestmark = pytest.mark.slow
Rounds = list[tuple[int, tuple[str, ...], str]]


@pytest.fixture(scope="module")
def probes(cluster: Cluster) -> RayEngine:
    return RayEngine(reversed(NAMES), cluster=cluster, module=probe.__name__, opening=b"")


class TestRay(RemoteEngineContract):
    @pytest.fixture(autouse=True)
    def _started(self, probes: RayEngine) -> None:
        self.carried = probes

    def engine(self) -> Engine:
        return self.carried


def test_a_worker_killed_during_a_request_is_asked_again_to_the_same_model(
    tiny: Path, study: Study, carried: RayEngine, expected: Rounds
) -> None:
    deaths = [tiny.with_name(name) for name in ("keys 0 east", "train 2 north", "unmask 2 west")]
    for death in deaths:
        death.write_text("x")
    events, error = rehearse(study, carried)
    assert error is None
    assert [death.read_text() for death in deaths if death.exists() and death.read_text()] == []
    assert not [event for event in events if isinstance(event, SiteFailed)]
    assert rounds(events) == expected


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--engine", "processes", "--address", "head:6379"), ("only Ray is reached at an address", "--engine ray")),
        (
            ("--engine", "ray", "--address", "127.0.0.1:9"),
            ("no Ray cluster answers", "127.0.0.1:9", "ray start --head"),
        ),
        (("--engine", "ray", "--address", "ray://head"), ("no Ray cluster answers", "ray://head", "no ray://")),
    ],
    ids=["no address there", "nobody listens", "not of this kind"],
)
def test_an_address_that_cannot_be_used(tiny: Path, tmp_path: Path, words: Sequence[str], says: Sequence[str]) -> None:
    said = typed("run", tiny, "--home", tmp_path / "home", *words)
    assert said.code == 2
    assert all(part in said.err for part in says), said.err


def test_without_ray_the_extra_is_named(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medfl.deploying.find_spec", lambda name: None)
    said = typed("run", tiny, "--home", tmp_path / "home", "--engine", "ray")
    assert said.code == 2
    assert "pip install 'medfl[ray]'" in said.err


def test_a_run_of_another_engine_has_no_address_to_resume_at(tiny: Path, tmp_path: Path) -> None:
    run = typed("run", tiny, "--home", tmp_path / "home", "--json").json["runs"][0]["run"]
    said = typed("resume", run, "--home", tmp_path / "home", "--address", "head:6379")
    assert said.code == 2
    assert "only Ray is reached at an address" in said.err


def test_rays_processes_get_no_password_and_a_token_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hush")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "the cluster's")
    here, there = environment(None), environment("head:6379")
    assert "DB_PASSWORD" not in here | there
    assert here["RAY_AUTH_MODE"] == "token"
    assert len(here["RAY_AUTH_TOKEN"]) == 64
    assert here["RAY_AUTH_TOKEN"] != environment(None)["RAY_AUTH_TOKEN"]
    assert there["RAY_AUTH_TOKEN"] == "the cluster's"
    assert {here["RAY_USAGE_STATS_ENABLED"], there["RAY_USAGE_STATS_ENABLED"]} == {"0"}
    assert {here["OPENBLAS_NUM_THREADS"], there["OMP_NUM_THREADS"]} == {"1"}


@pytest.mark.parametrize(
    ("engine", "address", "told"),
    [("ray", "head:6379", "the machines of one Ray cluster"), ("ray", "local", "on one machine")],
)
def test_where_a_run_was_carried_is_kept_and_told(
    tiny: Path, tmp_path: Path, engine: str, address: str, told: str
) -> None:
    asked, base = opened(tiny)
    home = Home(tmp_path / "home")
    sources = Sources(base, home.folder / "sites")
    execution = lay_down(asked, home, sources=sources, engine=chosen(engine, address), arm=None)
    view = whole_execution(home, execution)
    assert {(run.engine, run.address) for run in view.runs} == {("ray", address_of(RayAt(address)))}
    assert told in leaving(view).setting
