"""Worker processes are killed at every moment: the same answer, or the site is named; and no process is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from medfl.errors import EngineError
from medfl.events import Event, RoundFinished, SiteFailed
from medfl.inspection import opened
from medfl.messages import Refusal, Reply
from medfl.run.engine import Engine
from medfl.run.processes import Processes
from medfl.site import worker
from medfl.site.sources import Sources
from medfl.spec.merging import Override
from medfl.spec.study import Study
from medfl.testing import probe
from medfl.testing.algorithm_contract import print_of
from medfl.testing.engine_contract import asked
from medfl.testing.federation import NAMES, Through, in_process, rehearse

REAL = (sys.executable, "-m", worker.__name__)
PROBE = (sys.executable, "-m", probe.__name__)
MORTAL = (sys.executable, "-c", """
import os, signal, sys
from pathlib import Path
from medfl.site import worker
from medfl.site.answer import Site

answer = Site.answer

def mortal(site, request):
    done = answer(site, request)
    deaths = Path(sys.argv[1], f"{request.task} {request.round} {site.name}")
    if deaths.exists() and (left := deaths.read_text()):
        deaths.write_text(left[1:])
        os.kill(os.getpid(), signal.SIGKILL)
    return done

Site.answer = mortal
worker.serve(sys.stdin.buffer, sys.stdout.buffer)
""")  # fmt: skip
"""A worker that dies with its answer ready, as often as there are letters in the file that the request names."""


@pytest.fixture
def whole(tiny: Path) -> Study:
    """Return a study whose answers are seen: those under masks are others in every run."""
    seen: dict[str, Override] = {"privacy": {"secure_aggregation": False}}
    return opened(tiny)[0].overridden({"algorithm": {"rounds": 2}, "evaluation": {"bootstrap": 20}, **seen})


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
        assert (there.request, there.site) == (here.request, here.site)
        assert json.dumps(there.content) == json.dumps(here.content)
        assert print_of(there.arrays) == print_of(here.arrays)


def test_workers_killed_between_exchanges_are_started_again(tiny: Path, whole: Study) -> None:
    exchanges = 0

    def kill_all(answers: list[Reply | Refusal]) -> list[Reply | Refusal]:
        nonlocal exchanges
        exchanges += 1
        for victim in living(engine) if exchanges in (1, 3) else ():
            os.kill(victim, signal.SIGKILL)
        return answers

    with processes(tiny, whole, workers=1) as engine:
        events, error = rehearse(whole, Through(engine, kill_all))
    assert error is None
    assert exchanges == 5
    assert models(events) == expected(tiny, whole)


def test_a_worker_killed_during_a_request_is_asked_again(tiny: Path, whole: Study) -> None:
    deaths = tiny.parent / "train 2 north"
    deaths.write_text("x")
    with processes(tiny, whole, (*MORTAL, str(tiny.parent)), workers=1) as engine:
        events, error = rehearse(whole, engine)
    assert error is None
    assert deaths.read_text() == "", "it was killed"
    assert not [event for event in events if isinstance(event, SiteFailed)]
    assert models(events) == expected(tiny, whole)


@pytest.mark.slow
def test_a_site_whose_worker_always_dies_is_named_and_the_others_go_on(tiny: Path, whole: Study) -> None:
    """One site after the other takes its worker with it, each at another stage."""
    deadly = [("describe", 0, "east"), ("train", 2, "north"), ("evaluate", 2, "west")]
    for task, round, site in deadly:
        (tiny.parent / f"{task} {round} {site}").write_text("xx")
    asked = whole.overridden({"algorithm": {"min_sites": 1}})
    with processes(tiny, asked, (*MORTAL, str(tiny.parent)), workers=1) as engine:
        events, error = rehearse(asked, engine)
    assert error is None
    failed = [event for event in events if isinstance(event, SiteFailed)]
    assert [(event.stage, event.round, event.site) for event in failed] == deadly
    assert {event.code for event in failed} == {"engine"}
    assert all(f"lost at the stage {event.stage!r}, twice" in event.reason for event in failed)
    assert [sites for _, sites, _ in models(events)] == [("north", "west"), ("west",)]


def test_the_run_says_who_was_lost_when_all_must_answer(tiny: Path, whole: Study) -> None:
    with processes(tiny, whole, ("/nowhere/python",)) as engine:
        _, error = rehearse(whole, engine)
    assert isinstance(error, EngineError)
    assert error.exit_code == 1
    assert [complaint.where for complaint in error.complaints] == ["sites east, north and west"]
    assert "the worker process was lost at the stage 'describe', twice" in str(error)


def test_no_worker_is_left_after_the_end() -> None:
    with Processes(NAMES, command=PROBE, opening=b"", workers=2) as engine:
        list(engine.exchange(asked()))
        pids = living(engine)
        assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_no_worker_is_left_when_the_hub_is_killed() -> None:
    """Each worker holds the hub's standard error; it is closed when the last of them has ended."""
    hub = """
import sys
from medfl.run.processes import Processes
from medfl.testing.engine_contract import asked

engine = Processes(["east", "north", "west"], command=sys.argv[1:], opening=b"", workers=2)
print(len(list(engine.exchange(asked()))), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        (sys.executable, "-c", hub, *PROBE), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"3\n"
        process.kill()
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (-signal.SIGKILL, b"")


@pytest.mark.slow
def test_a_worker_that_does_not_end_is_ended() -> None:
    deaf = (sys.executable, "-c", "import time; time.sleep(60)")
    with Processes(NAMES, command=deaf, opening=b"", workers=1) as engine:
        process = engine._workers[0]._running()
    assert process.returncode == -signal.SIGKILL


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


def test_a_request_that_cannot_be_sent_is_an_error_not_a_wait() -> None:
    unfit = [replace(request, content={"set": {1, 2}}) for request in asked()]
    with Processes(NAMES, command=PROBE, opening=b"", workers=2) as engine, pytest.raises(TypeError):
        list(engine.exchange(unfit))


def test_a_worker_that_does_not_answer_in_time_is_ended_and_its_site_named() -> None:
    deaf = (sys.executable, "-c", "import sys, threading; threading.Event().wait()")
    with Processes(NAMES, command=deaf, opening=b"", workers=1) as engine:
        (answer,) = engine.exchange(asked(NAMES[:1]), timeout=0.2)
        assert living(engine) == []
    assert isinstance(answer, Refusal)
    assert (answer.site, answer.code) == ("east", "engine")
    assert "no answer within 0.2 s at the stage" in answer.reason


def test_who_answers_in_time_is_not_ended() -> None:
    with Processes(NAMES, command=PROBE, opening=b"", workers=2) as engine:
        answers = list(engine.exchange(asked(), timeout=60))
        assert all(isinstance(answer, Reply) for answer in answers)
        assert len(living(engine)) == 2
