"""A whole study over a real SuperLink: the same model as in one process, whoever is killed in between."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from medfl.events import Event, RoundFinished, SiteFailed
from medfl.inspection import opened
from medfl.messages import Refusal, Reply
from medfl.run.flower.rehearsal import Rehearsal
from medfl.run.loop import Federation, carry_out
from medfl.run.plan import compile
from medfl.site import flower_worker, worker
from medfl.site.sources import Sources
from medfl.spec.study import Study
from medfl.testing.command import typed
from medfl.testing.federation import NAMES, Kept, Through, in_process, rehearse

REAL = (sys.executable, "-m", flower_worker.__name__)
MORTAL = (sys.executable, "-c", """
import os, signal, sys
from pathlib import Path
from medfl.site import flower_worker
from medfl.site.answer import Site

answer = Site.answer

def mortal(site, request):
    done = answer(site, request)
    death = Path(sys.argv[1], f"{request.task} {request.round} {site.name}")
    if death.exists():
        death.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return done

Site.answer = mortal
flower_worker.serve(sys.stdin.buffer)
""")  # fmt: skip
"""An agent that dies with its answer ready where a file asks for it."""

pytestmark = pytest.mark.slow


@pytest.fixture
def study(tiny: Path) -> Study:
    """Return the small study as it is, with secure aggregation, which is the default."""
    return opened(tiny)[0].overridden({"algorithm": {"rounds": 3}, "evaluation": {"bootstrap": 20}})


@contextmanager
def deployed(tiny: Path, study: Study, command: Sequence[str] = REAL) -> Iterator[Rehearsal]:
    words = json.loads(worker.opening(study, Sources(tiny.parent, tiny.parent / "vaults")))
    with Rehearsal(tiny.parent / "flower", NAMES, command=command, words=words) as engine:
        yield engine


def models(events: list[Event]) -> list[tuple[int, tuple[str, ...], str]]:
    return [(event.round, event.sites, event.model) for event in events if isinstance(event, RoundFinished)]


def expected(tiny: Path, study: Study) -> list[tuple[int, tuple[str, ...], str]]:
    events, error = rehearse(study, in_process(Sources(tiny.parent, tiny.parent / "other vaults").sites(study)))
    assert error is None
    return models(events)


def test_the_model_is_that_of_one_process_with_secure_sums(tiny: Path, study: Study) -> None:
    with deployed(tiny, study) as engine:
        events, ends = [], []
        for event in carry_out("rehearsal", compile(study)[0], Federation(engine, Kept().write)):
            events.append(event)
            if isinstance(event, RoundFinished):
                ends.append(time.monotonic())
    assert models(events) == expected(tiny, study)
    sys.stdout.write(f"over Flower: {(ends[-1] - ends[0]) / (len(ends) - 1):.2f} s a round\n")


def test_a_site_killed_during_a_round_comes_back_and_nothing_changes(tiny: Path, study: Study) -> None:
    death = tiny.parent / "train 2 north"
    death.touch()
    with deployed(tiny, study, (*MORTAL, str(tiny.parent))) as engine:
        before = engine.agents["north"].pid
        events, error = rehearse(study, engine)
        assert engine.agents["north"].pid != before
    assert error is None
    assert not death.exists(), "it was killed"
    assert not [event for event in events if isinstance(event, SiteFailed)]
    assert models(events) == expected(tiny, study)


def test_the_run_goes_on_after_the_superlink_was_killed(tiny: Path, study: Study) -> None:
    pids: list[int] = []

    def kill(answers: list[Reply | Refusal]) -> list[Reply | Refusal]:
        if len(pids) < 4:
            pids.append(engine.link.pid)
            if len(pids) == 4:
                os.kill(pids[-1], signal.SIGKILL)
        return answers

    with deployed(tiny, study) as engine:
        events, error = rehearse(study, Through(engine, kill))
        assert len(pids) == 4
        assert engine.link.pid != pids[-1]
    assert error is None
    assert models(events) == expected(tiny, study)


def test_a_user_rehearses_a_deployment_with_one_option(tiny: Path) -> None:
    said = {engine: typed("run", tiny, "--engine", engine, "--json") for engine in ("in-process", "flower")}
    assert [one.code for one in said.values()] == [0, 0], said
    runs = {engine: one.json["runs"] for engine, one in said.items()}
    assert [run["model"] for run in runs["flower"]] == [run["model"] for run in runs["in-process"]]
