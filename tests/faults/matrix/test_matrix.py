"""The kill matrix: who is killed, and when, and in which of three modes; and what else goes wrong in a federation.

``make kill-matrix`` goes through all of it, and a few cases stand for the others in ``make test``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medfl.events import Event, Noticed, RoundFinished, RunFinished, RunResumed, RunStarted, SiteFailed
from medfl.testing.consortium import AWAY, Consortium
from medfl.testing.retold import retold, undercounted

Fault = Callable[[Consortium, str], tuple[list[Event], str]]
Note = Callable[[str, str, str, str, str, float], None]
STUDY = """
[study]
name = "matrix"
seed = 7

[data]
target = "sick"
sites = { east = "east.csv", north = "north.csv", south = "south.csv", west = "west.csv" }

[model]
kind = "logistic"

[training]
batch_size = 16

[algorithm]
kind = "fedavg"
rounds = 2

[evaluation]
bootstrap = 20
"""
MODES = {
    "plain": "[privacy]\nsecure_aggregation = false\n",
    "secure": "[privacy]\nsecure_aggregation = true\n",
    "dp": """
[preprocess]
impute = "drop"

[privacy]
secure_aggregation = true

[privacy.dp]
unit = "record"
epsilon = 4.0
ranges = { age = [20, 100], dose = [-4, 4] }
categories = { colour = ["amber", "blue", "clear"], sick = ["0", "1"] }
""",
}
WHO = ("site", "coordinator", "SuperLink", "hub")
WHEN: dict[str, dict[str, Any]] = {
    "before a round": {"moment": "asking", "task": "train", "round": 2},
    "while training": {"moment": "worked", "site": AWAY, "task": "train", "round": 2},
    "uploading": {"moment": "announced", "site": AWAY, "task": "train", "round": 2},
    "while aggregating": {"moment": "aggregating", "round": 2},
    "model stored, not told": {"moment": "stored", "round": 2},
    "between rounds": {"moment": "finished", "round": 1},
    "keys": {"moment": "worked", "site": AWAY, "task": "keys"},
    "masked sums there": {"moment": "gathered", "task": "train", "round": 2},
    "unmasking": {"moment": "worked", "site": AWAY, "task": "unmask", "round": 2},
}
MASKED = ("keys", "masked sums there", "unmasking")
KILLS = [(who, when, mode) for mode in MODES for when in WHEN for who in WHO if mode != "plain" or when not in MASKED]


def kill(consortium: Consortium, mode: str, who: str, when: str) -> tuple[list[Event], str]:
    """Kill one process at one moment of a run."""
    moment = consortium.moments.await_(**WHEN[when])
    execution = consortium.submit(STUDY + MODES[mode])
    moment.wait()
    consortium.kill(who, execution)
    moment.over()
    events = consortium.done(execution)
    assert who != "site" or when == "before a round" or named(events), "the journal names the site"
    if who in ("coordinator", "hub"):
        assert sum(isinstance(event, RunStarted | RunResumed) for event in events) == 2, "it was taken up again"
    return events, "killed, went on"


def named(events: list[Event], stage: str = "") -> list[str]:
    """Return what the journal says of the site that faults befall."""
    failed = [f"{event.stage}: {event.reason}" for event in events if isinstance(event, SiteFailed)]
    noticed = [event.text for event in events if isinstance(event, Noticed) and event.site == AWAY]
    return [text for text in (*failed, *noticed) if stage in text]


def check(consortium: Consortium, note: Note, mode: str, name: str, fault: Fault) -> None:
    """Let something go wrong in a run; look that it finished, with the right model, and that no ε is missing."""
    began, execution = time.monotonic(), ""
    consortium.whole()
    try:
        events, happened = fault(consortium, mode)
        with tempfile.TemporaryDirectory() as folder:
            expected = retold(events, consortium.homes, Path(folder))
    except BaseException:
        for execution in consortium.hub.queue.waiting():
            consortium.abandon(execution)
        note(name, mode, "FAILED", "", "", time.monotonic() - began)
        raise
    model = next((event.model for event in events if isinstance(event, RunFinished)), "none")
    took_part = {event.round: len(event.sites) for event in events if isinstance(event, RoundFinished)}
    same = "yes" if model == expected else "NO"
    rounds = "+".join(f"{took_part[number]}" for number in sorted(took_part))
    note(name, mode, happened, rounds, same, time.monotonic() - began)
    assert model == expected
    assert mode != "dp" or not undercounted(events, consortium.homes)


@pytest.mark.matrix
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("who", "when", "mode"), KILLS)
def test_kill_minus_nine(consortium: Consortium, note: Note, who: str, when: str, mode: str) -> None:
    def fault(consortium: Consortium, mode: str) -> tuple[list[Event], str]:
        return kill(consortium, mode, who, when)

    check(consortium, note, mode, f"{who} killed, {when}", fault)
