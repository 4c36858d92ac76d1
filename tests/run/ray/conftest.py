"""One real Ray for the tests of a module, and a small study over it whose sites die when a file says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medfl.inspection import opened
from medfl.run.ray.cluster import Cluster
from medfl.run.ray.engine import RayEngine
from medfl.site import worker
from medfl.site.sources import Sources
from medfl.spec.study import Study
from medfl.testing.federation import NAMES, in_process, rehearse, rounds

MORTAL = """
import os, signal
from pathlib import Path
from threading import Event
from medfl.site.answer import Site

answer, folder = Site.answer, Path({folder!r})

def mortal(site, request):
    done = answer(site, request)
    deaths = folder / f"{{request.task}} {{request.round}} {{site.name}}"
    if deaths.exists() and (left := deaths.read_text()):
        deaths.write_text(left[1:])
        os.kill(os.getpid(), signal.SIGKILL) if left[0] == "x" else Event().wait()
    return done

Site.answer = mortal
"""
"""A plugin whose sites, with their answer ready, die (x) or fall silent (z), as the letters of a file say."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Start Ray with two workers, once."""
    with Cluster(wanted=2) as two:
        yield two


@pytest.fixture
def study(tiny: Path) -> Study:
    """Return the small study as it is, with secure aggregation, which is the default."""
    return opened(tiny)[0].overridden({"algorithm": {"rounds": 3}, "evaluation": {"bootstrap": 20}})


@pytest.fixture
def carried(tiny: Path, study: Study, cluster: Cluster) -> RayEngine:
    """Return the engine for the study, with sites that die when told to."""
    plugin = tiny.with_name("mortal.py")
    plugin.write_text(MORTAL.format(folder=str(tiny.parent)), encoding="utf-8")
    opening = worker.opening(study, Sources(tiny.parent, tiny.parent / "vaults"), [plugin])
    return RayEngine(NAMES, cluster=cluster, module=worker.__name__, opening=opening)


@pytest.fixture
def expected(tiny: Path, study: Study) -> list[tuple[int, tuple[str, ...], str]]:
    """Return what every round of the study must give: who took part, and which model."""
    events, error = rehearse(study, in_process(Sources(tiny.parent, tiny.parent / "other vaults").sites(study)))
    assert error is None
    assert len(rounds(events)) == 3
    return rounds(events)
