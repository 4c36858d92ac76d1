"""How often a site looks for requests: often where nothing wakes it, and seldom where something does."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from medfl.run.flower.node import NodeLine
from medfl.run.flower.postbox import Postbox
from medfl.run.flower.serving import PAUSES, WOKEN, Answering, _Nobody, _talk


class Nothing:
    """A line with no request on it."""

    def __init__(self) -> None:
        self.fetched = 0

    def fetch(self) -> None:
        self.fetched += 1


class EnoughError(Exception):
    """It was looked often enough."""


@dataclass
class Waited:
    """Notes how long is waited; rings at the moments that are given."""

    up: bool
    rings: tuple[int, ...] = ()
    waited: list[float] = field(default_factory=list)

    def wait(self, seconds: float) -> bool:
        if len(self.waited) == 40:
            raise EnoughError
        self.waited.append(seconds)
        return len(self.waited) - 1 in self.rings


def looked(calls: Waited, folder: Path) -> Nothing:
    line = Nothing()
    with pytest.raises(EnoughError):
        _talk(cast(NodeLine, line), Postbox(folder), Answering(lambda request: pytest.fail("nothing came")), calls)
    return line


@pytest.mark.parametrize(("up", "pauses"), [(False, PAUSES), (True, WOKEN)])
def test_pauses_grow_to_the_longest(up: bool, pauses: tuple[float, float], tmp_path: Path) -> None:
    calls = Waited(up)
    line = looked(calls, tmp_path)
    assert line.fetched == 41
    assert all(pauses[0] / 2 <= one <= pauses[1] for one in calls.waited)
    assert max(calls.waited[:2]) < pauses[1] / 4
    assert min(calls.waited[-10:]) >= pauses[1] / 2


def test_who_is_woken_looks_at_once_and_begins_anew(tmp_path: Path) -> None:
    calls = Waited(up=True, rings=(30,))
    looked(calls, tmp_path)
    assert calls.waited[30] > WOKEN[1] / 2 - 1
    assert calls.waited[31] <= WOKEN[0]


def test_without_anything_that_wakes_the_time_passes() -> None:
    assert not _Nobody().wait(0.001)
