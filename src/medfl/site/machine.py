"""What the machine of a site is like, in coarse words."""

from __future__ import annotations

import math
import os
from pathlib import Path

from medfl.channel import Hardware
from medfl.site.place import Place
from medfl.site.rules import Rules
from medfl.site.rules_reading import read

GPUS = ("nvidia[0-9]*", "kfd", "dxg")
"""Files under ``/dev`` that are there where a driver has found a GPU: NVIDIA's, AMD's, that of Windows."""


def told_hardware(place: Place) -> Hardware | None:
    """Return what the hub may know of a site's machine; None where nothing.

    Raises
    ------
    MedflError
        If the site's policy cannot be read.
    """
    return hardware(read(place.policy)) if place.policy.is_file() else None


def hardware(rules: Rules, *, devices: Path = Path("/dev")) -> Hardware | None:
    """Return what the hub may know of the machine; None where the site's policy does not say that it may.

    Parameters
    ----------
    rules
        The policy.
    devices
        Where the system lists its devices.
    """
    if not rules.releases.hardware:
        return None
    return Hardware(cores=_cores(), memory=coarse(_memory()), gpu=any(any(devices.glob(name)) for name in GPUS))


def coarse(memory: float) -> int:
    """Return an amount of memory as the nearest power of two in GB, 1 at least; 0 where it is not known.

    Parameters
    ----------
    memory
        In bytes; 0 where it is not known.
    """
    return 2 ** max(0, round(math.log2(memory / 2**30))) if memory > 0 else 0


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0


def _memory() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return 0.0
