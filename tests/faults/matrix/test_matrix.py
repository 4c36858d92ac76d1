"""The kill matrix: who is killed, and when, and in which of three modes; and what else goes wrong in a federation.

``make kill-matrix`` goes through all of it, and a few cases stand for the others in ``make test``. In each round of a
run another thing goes wrong, at a named moment; each round's model must be that of one process with the same sites.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from medfl.events import Event, Noticed, RunResumed, RunStarted, SiteFailed
from medfl.testing.consortium import AWAY, Consortium, missing_tools, until
from medfl.testing.disk import filled, has_own_disk
from medfl.testing.mishaps import MODES, PATIENCE, Mishap
from medfl.testing.moments import Moment
from medfl.testing.namespace import Cable

Through = Callable[[str, Sequence[Mishap]], list[Event]]
WHO = ("site", "coordinator", "SuperLink", "hub")
NORTH = {"moment": "worked", "site": AWAY}
WHEN: Mapping[str, Mapping[str, Any]] = {
    "before a round": {"moment": "asking", "task": "train"},
    "while training": {**NORTH, "task": "train"},
    "uploading": {"moment": "announced", "site": AWAY, "task": "train"},
    "masked sums there": {"moment": "gathered", "task": "train"},
    "unmasking": {**NORTH, "task": "unmask"},
    "while aggregating": {"moment": "aggregating"},
    "model stored, not told": {"moment": "stored"},
    "between rounds": {"moment": "finished"},
    "keys": {**NORTH, "task": "keys", "round": 0},
}
WAITING = "studies wait until there is room"
MASKED = ("keys", "masked sums there", "unmasking")
"""Stages that secure aggregation alone has."""


def kill(who: str, when: str) -> Mishap:
    def act(consortium: Consortium, execution: str, moment: Moment) -> None:
        consortium.kill(who, execution)

    return Mishap(f"{who} killed, {when}", WHEN[when], act)


def patient(consortium: Consortium, execution: str, moment: Moment) -> None:
    """Have sites keep a short deadline."""
    consortium.deadline(PATIENCE)


def stopped(consortium: Consortium, execution: str, moment: Moment) -> None:
    os.kill(consortium.agents[AWAY].pid, signal.SIGSTOP)


def continued(consortium: Consortium, execution: str, moment: Moment) -> None:
    os.kill(consortium.agents[AWAY].pid, signal.SIGCONT)
    consortium.deadline(None)


def gone(consortium: Consortium, execution: str, moment: Moment) -> None:
    consortium.leave(AWAY)


def started(consortium: Consortium, execution: str, moment: Moment, **more: Any) -> None:
    """Start the hospital's agent, in another way than the one that may be running."""
    consortium.leave(AWAY)
    consortium.answer(AWAY, **more)
    consortium.deadline(None)


def slowly(consortium: Consortium, execution: str, moment: Moment) -> None:
    consortium.road.slow = True


def quickly(consortium: Consortium, execution: str, moment: Moment) -> None:
    consortium.road.slow = False
    consortium.road.break_off()


def full(consortium: Consortium, execution: str, moment: Moment) -> None:
    """Leave little room at the hub, which says so, and then none, until the run's process has ended by that."""
    folder, log = consortium.hub.folder, consortium.hub.log
    said = log.read_text(encoding="utf-8").count(WAITING)
    with filled(folder, left=2**23):
        until(lambda: log.read_text(encoding="utf-8").count(WAITING) > said)
        with filled(folder):
            moment.over()
            until(lambda: not Path(f"/proc/{moment.reached['pid']}").exists())


def ahead() -> dict[str, str]:
    """Return the environment of a process whose clock is an hour ahead."""
    library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
    faked = {"LD_PRELOAD": str(library), "FAKETIME": "+1h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return faked if library is not None else {}


def late(cable: Cable | None) -> list[Mishap]:
    """Return what makes a site miss the deadline of one round."""

    def plugged(consortium: Consortium, execution: str, moment: Moment) -> None:
        patient(consortium, execution, moment)
        if cable is not None:
            consortium.leave(AWAY)
            consortium.answer(AWAY, before=cable.inside)

    def cut(consortium: Consortium, execution: str, moment: Moment) -> None:
        consortium.road.cut = cable is None
        if cable is not None:
            cable.pull()

    def mended(consortium: Consortium, execution: str, moment: Moment) -> None:
        consortium.road.cut = False
        if cable is not None:
            cable.plug()
        consortium.deadline(None)

    how = "network namespace" if cable is not None else "relay"
    return [
        Mishap("SIGSTOP for longer than the deadline", WHEN["while training"], stopped, "", patient, continued, lost=1),
        Mishap(f"link cut ({how})", WHEN["while training"], cut, "", plugged, mended, lost=1),
    ]


def on_the_way() -> list[Mishap]:
    """Return what happens to messages on their way, and is made good by asking again."""
    train = {"site": AWAY, "task": "train"}
    return [
        Mishap("request corrupted", {"moment": "fetched", **train}, says="bend"),
        Mishap("answer corrupted", {"moment": "pulled", **train}, says="bend"),
        Mishap("answered twice", {"moment": "sent", **train}, says="twice"),
        Mishap("300 ms and 30 % losses (relay)", WHEN["before a round"], slowly, mend=quickly),
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_few_that_stand_for_the_others(through: Through) -> None:
    """Under masks and with noise, where most can go wrong; with nothing that a machine may not have."""
    few = [
        kill("site", "while training"),
        kill("coordinator", "masked sums there"),
        Mishap("answer corrupted", {"moment": "pulled", "site": AWAY, "task": "train"}, says="bend"),
        kill("SuperLink", "uploading"),
        kill("hub", "while aggregating"),
    ]
    events = through("dp", few)
    assert any("the stage 'train' of round 1" in text for text in named(events))
    assert any("did not arrive as it was sent" in text for text in named(events))
    assert sum(isinstance(event, RunStarted | RunResumed) for event in events) == 3


@pytest.mark.matrix
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("who", WHO)
def test_kill_minus_nine(consortium: Consortium, through: Through, who: str, mode: str) -> None:
    stages = [when for when in WHEN if mode != "plain" or when not in MASKED]
    # Keys come before the first round, and whoever is killed then is killed first.
    events = through(mode, [kill(who, when) for when in sorted(stages, key=lambda when: when != "keys")])
    if who == "site":
        assert len(named(events)) >= len(stages) - 1, "each time the journal says that the site was away"
        assert any("the stage 'train' of round" in text for text in named(events))
    elif who != "SuperLink":
        again = sum(isinstance(event, RunStarted | RunResumed) for event in events)
        assert again == len(stages) + 1, "each time the run was taken up again"


@pytest.mark.matrix
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", MODES)
def test_the_sites_worker_is_killed(consortium: Consortium, through: Through, mode: str) -> None:
    """Where a site trains in a process of its own, that may be killed by the operating system, for want of memory."""

    def act(consortium: Consortium, execution: str, moment: Moment) -> None:
        assert moment.reached["pid"] != consortium.agents[AWAY].pid
        os.kill(moment.reached["pid"], signal.SIGKILL)

    stages = [when for when in WHEN if WHEN[when].get("moment") == "worked" and (mode != "plain" or when not in MASKED)]
    events = through(mode, [Mishap(f"site's worker killed, {when}", WHEN[when], act) for when in reversed(stages)])
    assert any("the stage 'train' of round" in text for text in named(events))


@pytest.mark.matrix
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", MODES)
def test_what_else_goes_wrong(consortium: Consortium, through: Through, mode: str) -> None:
    fake = ahead()
    with ExitStack() as stack:
        cable = None if missing_tools("ip") else Cable(consortium.road.port, stack)
        # The last agent lives beyond the cable, or by another clock.
        stack.callback(consortium.leave, AWAY)
        clock = Mishap("clock an hour ahead", WHEN["before a round"], partial(started, more=fake))
        disk = Mishap("disk full at the hub", WHEN["while aggregating"], full)
        events = through(
            mode,
            [
                *on_the_way(),
                *([clock] if fake else []),
                *([disk] if has_own_disk(consortium.hub.folder) else []),
                *late(cable),
            ],
        )
    failed = [event.reason for event in events if isinstance(event, SiteFailed) and event.site == AWAY]
    assert sum("gave no answer within 20 s at the stage 'train'" in reason for reason in failed) == 2
    assert sum("did not arrive as it was sent" in text for text in named(events)) == 2


@pytest.mark.matrix
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", MODES)
def test_a_site_leaves_for_good(consortium: Consortium, through: Through, mode: str) -> None:
    """And in the round after that the run's process is killed, which has to do without the site from its start."""

    def killed(consortium: Consortium, execution: str, moment: Moment) -> None:
        consortium.kill("coordinator", execution)

    left = Mishap("site leaves for good", WHEN["while training"], gone, prepare=patient, lost=1)
    without = Mishap("coordinator killed, a site gone", WHEN["while aggregating"], killed, lost=1)
    events = through(mode, [left, without])
    assert any(event.site == AWAY and event.stage == "train" for event in events if isinstance(event, SiteFailed))


def named(events: list[Event]) -> list[str]:
    """Return what the journal says of a site that failed without being lost to a round."""
    return [event.text for event in events if isinstance(event, Noticed) and event.site == AWAY]
