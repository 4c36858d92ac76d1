"""Worker processes are killed at every moment: the same answer, or the site is named; and no process is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from medfl.errors import EngineError
from medfl.events import Event, RoundFinished, SiteFailed
from medfl.messages import Refusal, Reply, Request
from medfl.run.engine import Engine
from medfl.run.processes import Processes
from medfl.simulate import opened
from medfl.site import worker
from medfl.site.sources import Sources
from medfl.spec.study import Study
from medfl.testing.algorithm_contract import print_of
from medfl.testing.engine_contract import asked
from medfl.testing.federation import NAMES, Through, in_process, rehearse

REAL = (sys.executable, "-m", worker.__name__)
MORTAL = (sys.executable, "-c", """
import os, signal, sys
from pathlib import Path
from medfl.site import worker
from medfl.site.answer import Site

task, lives = sys.argv[1], Path(sys.argv[2])
answer = Site.answer

def mortal(site, request):
    done = answer(site, request)
    if site.name == "north" and request.task == task and request.round != 1 and lives.read_text():
        lives.write_text(lives.read_text()[1:])
        os.kill(os.getpid(), signal.SIGKILL)
    return done

Site.answer = mortal
worker.serve(sys.stdin.buffer, sys.stdout.buffer)
""")  # fmt: skip
"""A worker that dies with its answer to north's request ready, as often as there are letters in a file."""


@pytest.fixture
def whole(tiny: Path) -> Study:
    return opened(tiny)[0].overridden({"algorithm": {"rounds": 2}, "evaluation": {"bootstrap": 20}})


@contextmanager
def processes(tiny: Path, study: Study, command: Sequence[str] = REAL, *, workers: int = 2) -> Iterator[Processes]:
    sources = Sources(tiny.parent, tiny.parent / "vaults")
    with Processes(NAMES, command=command, opening=worker.opening(study, sources), workers=workers) as engine:
        yield engine


def living(engine: Processes) -> list[int]:
    """Return the ids of an engine's worker processes."""
    return [one._process.pid for one in engine._workers if one._process is not None]


def models(events: list[Event]) -> list[tuple[int, tuple[str, ...], str]]:
    return [(event.round, event.sites, event.model) for event in events if isinstance(event, RoundFinished)]


def expected(tiny: Path, study: Study) -> list[tuple[int, tuple[str, ...], str]]:
    sites = Sources(tiny.parent, tiny.parent / "other vaults").sites(study)
    events, error = rehearse(study, in_process(sites))
    assert error is None
    return models(events)


def test_every_answer_is_that_of_the_same_site_in_process(tiny: Path, whole: Study) -> None:
    """All messages of a whole run, words and numbers, bit for bit; only the seconds differ."""
    heard: dict[str, list[Reply | Refusal]] = {"here": [], "there": []}

    def listened(engine: Engine, where: str) -> Through:
        def keep(answers: list[Reply | Refusal]) -> list[Reply | Refusal]:
            heard[where] += sorted(answers, key=lambda answer: answer.site)
            return answers

        return Through(engine, keep)

    rehearse(whole, listened(in_process(Sources(tiny.parent, tiny.parent / "here").sites(whole)), "here"))
    with processes(tiny, whole) as engine:
        rehearse(whole, listened(engine, "there"))
    assert len(heard["here"]) == len(heard["there"]) == 3 * 5
    for here, there in zip(heard["here"], heard["there"], strict=True):
        assert isinstance(here, Reply)
        assert isinstance(there, Reply)
        assert (there.request, there.site, there.content) == (here.request, here.site, here.content)
        assert print_of(there.arrays) == print_of(here.arrays)


def test_workers_killed_between_exchanges_are_started_again(tiny: Path, whole: Study) -> None:
    killed: set[int] = set()

    def kill_one(answers: list[Reply | Refusal]) -> list[Reply | Refusal]:
        victim = min(set(living(engine)) - killed)
        killed.add(victim)
        os.kill(victim, signal.SIGKILL)
        return answers

    with processes(tiny, whole) as engine:
        events, error = rehearse(whole, Through(engine, kill_one))
    assert error is None
    assert len(killed) == 5, "one worker after each exchange"
    assert models(events) == expected(tiny, whole)


@pytest.mark.parametrize("task", ["prepare", "train"])
def test_a_worker_killed_during_a_request_is_asked_again(tiny: Path, whole: Study, task: str) -> None:
    (tiny.parent / "lives").write_text("x")
    with processes(tiny, whole, (*MORTAL, task, str(tiny.parent / "lives"))) as engine:
        events, error = rehearse(whole, engine)
    assert error is None
    assert (tiny.parent / "lives").read_text() == "", "it was killed"
    assert not [event for event in events if isinstance(event, SiteFailed)]
    assert models(events) == expected(tiny, whole)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "round"), [("describe", 0), ("prepare", 0), ("train", 2), ("evaluate", 2)])
def test_a_site_whose_worker_always_dies_is_named(tiny: Path, whole: Study, task: str, round: int) -> None:
    (tiny.parent / "lives").write_text("xx")
    with processes(tiny, whole, (*MORTAL, task, str(tiny.parent / "lives")), workers=1) as engine:
        events, error = rehearse(whole, engine)
    assert isinstance(error, EngineError)
    assert error.exit_code == 1
    place = f"site north, round {round}" if round else "site north"
    assert str(error).startswith(f"{place}: the worker process was lost at the stage {task!r}, twice")
    failed = [event for event in events if isinstance(event, SiteFailed)]
    assert [(event.site, event.stage, event.round, event.code) for event in failed] == [
        ("north", task, round, "engine")
    ]


@pytest.mark.slow
def test_the_others_go_on_without_a_lost_site(tiny: Path, whole: Study) -> None:
    two = whole.overridden({"algorithm": {"min_sites": 2}})
    (tiny.parent / "lives").write_text("xx")
    with processes(tiny, two, (*MORTAL, "train", str(tiny.parent / "lives")), workers=1) as engine:
        events, error = rehearse(two, engine)
    assert error is None
    assert [sites for _, sites, _ in models(events)] == [NAMES, ("east", "west")]


def test_no_worker_is_left_after_the_end(tiny: Path, whole: Study) -> None:
    with processes(tiny, whole) as engine:
        list(engine.exchange(_describe(whole)))
        pids = living(engine)
        assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_no_worker_is_left_when_the_hub_is_killed(tiny: Path, whole: Study) -> None:
    """Each worker holds the hub's standard error; it is closed when the last of them has ended."""
    hub = """
import sys
from pathlib import Path
from medfl.run.processes import Processes
from medfl.site import worker
from medfl.site.sources import Sources
from medfl.simulate import opened
from medfl.testing.engine_contract import asked

study, base = opened(sys.argv[1])
command = (sys.executable, "-m", worker.__name__)
engine = Processes(study.data.sites, command=command, opening=worker.opening(study, Sources(base, base)), workers=2)
print(len(list(engine.exchange(asked()))), flush=True)
sys.stdin.read()
"""
    command = (sys.executable, "-c", hub, str(tiny))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == b"3\n"
        process.kill()
        _, said = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert b"Traceback" not in said


@pytest.mark.slow
def test_a_worker_that_does_not_end_is_ended() -> None:
    deaf = (sys.executable, "-c", "import os, time; os.close(1); time.sleep(60)")
    with Processes(NAMES, command=deaf, opening=b"", workers=1) as engine:
        answers = list(engine.exchange(asked(NAMES[:1])))
        assert living(engine) == []
    assert [answer.site for answer in answers if isinstance(answer, Refusal)] == list(NAMES[:1])


@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, "-c", "print('hello, hub!', flush=True); import sys; sys.stdin.read()"),
        (sys.executable, "-c", "import sys; sys.stdout.buffer.write(bytes([9] + [0] * 7 + [1] * 9)); sys.exit()"),
        (sys.executable, "-c", "import sys; sys.exit(3)"),
        ("/nowhere/python",),
    ],
    ids=["chatter", "a frame of nonsense", "it ends at once", "it cannot be started"],
)
def test_a_worker_that_cannot_speak_is_lost_and_named(command: tuple[str, ...]) -> None:
    with Processes(NAMES, command=command, opening=b"opening", workers=1) as engine:
        (answer,) = engine.exchange(asked(NAMES[:1]))
    assert isinstance(answer, Refusal)
    assert (answer.site, answer.code) == ("east", "engine")


def test_there_are_never_more_workers_than_sites_or_than_asked_for() -> None:
    def count(**how: int) -> int:
        with Processes(NAMES, command=(), opening=b"", **how) as engine:
            return len(engine._workers)

    assert [count(workers=2), count(workers=9)] == [2, 3]
    assert count() == min(3, os.cpu_count() or 1)


def _describe(study: Study) -> list[Request]:
    return [
        Request(run="a", round=0, site=site, task="describe", study=study.canonical, seed=study.study.seed)
        for site in NAMES
    ]
