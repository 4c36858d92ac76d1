"""Which engine carries a run, and how a deployment is rehearsed on this machine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from medfl.errors import PlanError
from medfl.privacy.secure.keeping import keep_first
from medfl.run.engine import Engine
from medfl.site.sources import Sources

EngineName = Literal["in-process", "processes", "flower", "hub"]
HUB = "hub"
"""The engine of what was submitted at a hub: its enrolled sites."""


def require_engine(engine: EngineName, sources: Sources) -> None:
    """Refuse an engine that cannot work here.

    Raises
    ------
    PlanError
        If its sites cannot read these tables, or Flower is not installed.
    """
    if engine != "in-process" and sources.tables is not None:
        raise PlanError(
            "worker processes read files, not data frames",
            where="engine",
            received=engine,
            remedy='use engine "in-process", or save the frames as files and name them in [data.sites]',
        )
    if engine == "flower" and find_spec("flwr") is None:
        raise PlanError(
            "Flower is not installed",
            where="engine",
            received=engine,
            remedy="pip install 'medfl[flower]', or use engine \"processes\"",
        )


def over_hub(sources: Sources, sites: Iterable[str]) -> AbstractContextManager[Engine]:
    """Open the engine over the enrolled sites of a hub; its store is in its own folder."""
    from medfl.over_hub import reached

    return reached(sources.vaults.parent, tuple(sites))


def noise_key(sources: Sources) -> bytes:
    """Return the key of the noise that a hub adds where a study trusts it with that."""
    # Not from medfl.seeds: whoever knows the seed of a study must not know this.
    return keep_first(sources.vaults.parent / "noise", os.urandom(32))


@contextmanager
def deployed(sites: Iterable[str], opening: bytes) -> Iterator[Engine]:
    """Open a rehearsed deployment: a SuperLink and a process for each site, ended afterwards.

    Parameters
    ----------
    sites
        The sites' names.
    opening
        The first message of a worker's pipe: which study, where its tables are.
    """
    # Flower is an extra, and takes a second to import.
    from medfl.run.flower.rehearsal import Rehearsal
    from medfl.site import flower_worker

    command = (sys.executable, "-m", flower_worker.__name__)
    with (
        TemporaryDirectory(prefix="medfl-flower-") as folder,
        Rehearsal(Path(folder), sites, command=command, words=json.loads(opening)) as engine,
    ):
        yield engine
