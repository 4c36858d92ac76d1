"""An engine of another package: announced in its metadata, found by its name, ended with the runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from medfl.cli import main
from medfl.console import guarded
from medfl.deploying import OWN, chosen
from medfl.errors import PlanError, SystemFault
from medfl.messages import Reply, Request
from medfl.run import engines
from medfl.run.engine import Engine
from medfl.run.engines import GROUP, OtherEnd, installed, opened
from medfl.run.in_process import InProcess
from medfl.run.processes import Processes
from medfl.simulate import simulate
from medfl.testing import probe
from medfl.testing.contracts import NAMES, PROBE, EngineContract
from medfl.testing.engine_contract import asked

ENDED: list[str] = []


def pipes(end: OtherEnd) -> Processes:
    """Return an engine made of what another package is told, and of nothing else."""
    return Processes(end.sites, command=(sys.executable, "-m", end.module), opening=end.opening, workers=2)


class Plain(InProcess):
    """An engine without an end, in the process that opens it."""

    def __init__(self, end: OtherEnd) -> None:
        super().__init__(dict.fromkeys(end.sites, end.answer()))


class Ended(Plain):
    """An engine that says when it is left."""

    def __enter__(self) -> Ended:
        return self

    def __exit__(self, *_: object) -> None:
        ENDED.append("left")


def announced(monkeypatch: pytest.MonkeyPatch, **named: str) -> None:
    points = [EntryPoint(name, f"{__name__}:{value}", GROUP) for name, value in named.items()]
    monkeypatch.setattr(engines, "entry_points", lambda group: points if group == GROUP else [])


@pytest.fixture
def pluggable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    announced(monkeypatch, pipes="pipes", plain="Plain", ended="Ended")
    yield
    ENDED.clear()


class TestPlain(EngineContract):
    def engine(self) -> Engine:
        return Plain(OtherEnd(NAMES, PROBE, b""))


@pytest.mark.usefixtures("pluggable")
def test_it_gives_the_same_model_and_is_written_down_by_its_name(tiny: Path, tmp_path: Path) -> None:
    told = {
        name: simulate(tiny, home=tmp_path / "home", engine=name, progress=False) for name in ("in-process", "pipes")
    }
    assert len({results.summary["runs"][0]["model"] for results in told.values()}) == 1
    assert told["pipes"].view.runs[0].engine == "pipes"


@pytest.mark.usefixtures("pluggable")
def test_it_is_left_with_the_runs(tiny: Path, tmp_path: Path) -> None:
    simulate(tiny, home=tmp_path / "home", engine="ended", progress=False)
    assert ENDED == ["left"]


@pytest.mark.usefixtures("pluggable")
def test_what_is_misspelled_is_said_before_anything_is_laid_down(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"did you mean 'pipes'\?.*flower, ray, ended, pipes and plain") as error:
        simulate(tiny, home=tmp_path / "home", engine="pipse", progress=False)
    assert error.value.exit_code == 2
    assert not list((tmp_path / "home").glob("*.db"))


@pytest.mark.usefixtures("pluggable")
def test_the_command_line_knows_it(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def typed(engine: str) -> int:
        home = str(tmp_path / "home")
        monkeypatch.setattr(sys, "argv", ["medfl", "run", str(tiny), "--engine", engine, "--home", home])
        return guarded(main, debug=False)

    assert typed("plain") == 0
    capsys.readouterr()
    assert typed("hub") == 2, "enrolled sites are nobody's to simulate with"
    assert "there are in-process, processes, flower, ray, ended, pipes and plain" in capsys.readouterr().err


def test_a_run_whose_engine_is_not_installed_any_more_says_so() -> None:
    with pytest.raises(PlanError, match="install the package that brings another"):
        chosen("pipes", None)


@pytest.mark.parametrize("name", ["processes", "pipes"])
def test_a_name_stands_for_one_engine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint(name, value, GROUP) for value in ("one:Engine", "two:Engine")]
    monkeypatch.setattr(engines, "entry_points", lambda group: points)
    with pytest.raises(SystemFault, match=f"two installed engines are called '{name}'"):
        installed(taken=OWN)


def test_one_engine_announced_twice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "entry_points", lambda group: [EntryPoint("pipes", "one:Engine", GROUP)] * 2)
    assert list(installed(taken=OWN)) == ["pipes"]


def test_what_answers_does_so_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[int] = []

    def looking(opening: bytes) -> Callable[[Request], Reply]:
        def answer(request: Request) -> Reply:
            inside.append(threads())
            return Reply(request=request.id, site=request.site, content={}, arrays={}, seconds=0.0)

        return answer

    monkeypatch.setattr(probe, "answering", looking)
    with threadpool_limits(2):
        assert threads() == 2
        OtherEnd(NAMES, PROBE, b"").answer()(next(asked()))
    assert inside == [1]


def threads() -> int:
    return max(int(library["num_threads"]) for library in threadpool_info())


def test_an_engine_without_an_end_is_opened_as_it_is() -> None:
    with ExitStack() as stack:
        point = EntryPoint("plain", f"{__name__}:Plain", GROUP)
        engine = opened(point, OtherEnd(NAMES, PROBE, b""), stack)
        assert tuple(engine.sites()) == NAMES
