"""What a site tells of its machine: coarsely, and only where its policy says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from medfl.channel import Hardware
from medfl.site.machine import coarse, hardware
from medfl.site.rules import Releases, Rules

OPEN = Rules(releases=Releases(hardware=True))


def test_nothing_is_told_unless_the_policy_says_so() -> None:
    assert hardware(Rules()) is None


@pytest.mark.parametrize(("device", "there"), [("nvidia0", True), ("kfd", True), ("nvidiactl", False), ("sda", False)])
def test_a_gpu_is_there_where_a_driver_has_found_one(tmp_path: Path, device: str, there: bool) -> None:
    (tmp_path / device).touch()
    found = hardware(OPEN, devices=tmp_path)
    assert found is not None
    assert found.gpu is there
    assert found.cores >= 1


@pytest.mark.parametrize(
    ("memory", "told"),
    [(0.0, 0), (0.3e9, 1), (2**30 * 7.6, 8), (2**30 * 15.5, 16), (2**30 * 24, 32), (2**30 * 22, 16)],
)
def test_memory_is_told_as_a_power_of_two(memory: float, told: int) -> None:
    assert coarse(memory) == told


def test_it_is_said_in_words() -> None:
    assert str(Hardware(1, 0, gpu=True)) == "1 core, a GPU"
    assert str(Hardware(64, 512, gpu=False)) == "64 cores, about 512 GB of memory, no GPU"
