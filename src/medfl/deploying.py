"""Which engine carries a run, how a deployment is rehearsed on this machine, and how Ray is used."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from medfl.errors import PlanError, did_you_mean, listed
from medfl.privacy.secure.keeping import keep_first
from medfl.run.engine import Engine
from medfl.run.engines import OtherEnd, installed, opened
from medfl.site import worker
from medfl.site.sources import Sources

if TYPE_CHECKING:
    from medfl.run.ray.cluster import Cluster

EngineName = Literal["in-process", "processes", "flower", "ray", "hub"]
OWN: tuple[str, ...] = get_args(EngineName)
HUB = "hub"
"""The engine of what was submitted at a hub: its enrolled sites."""
LOCAL = "local"
"""The address that stands for a Ray that is started on this machine."""


@dataclass(frozen=True, slots=True)
class RayAt:
    """The engine over a Ray cluster that runs already.

    Parameters
    ----------
    address
        ``HOST:PORT`` of its head; ``auto`` for the one that this machine is part of, ``local`` or nothing to start
        Ray on this machine, as the engine ``"ray"`` does.
    """

    address: str = ""


Chosen: TypeAlias = EngineName | RayAt | str
"""One of MEDfl's own, or the name of one that another package brings."""


def require_engine(engine: str, sources: Sources) -> None:
    """Refuse an engine that cannot work here.

    Raises
    ------
    PlanError
        If its sites cannot read these tables, or it, or what it is made of, is not installed.
    """
    if engine != "in-process" and sources.tables is not None:
        raise PlanError(
            "worker processes read files, not data frames",
            where="engine",
            received=engine,
            remedy='use engine "in-process", or save the frames as files and name them in [data.sites]',
        )
    if engine not in OWN and engine not in installed(taken=OWN):
        raise _unknown(engine)
    for name, package, title in (("flower", "flwr", "Flower"), ("ray", "ray", "Ray")):
        if engine == name and find_spec(package) is None:
            raise PlanError(
                f"{title} is not installed",
                where="engine",
                received=engine,
                remedy=f"pip install 'medfl[{name}]', or use engine \"processes\"",
            )


def chosen(engine: str, address: str | None) -> Chosen:
    """Return the engine of this name, at an address if there is one.

    Raises
    ------
    PlanError
        If the engine has no address, or there is no such engine.
    """
    if engine == "ray":
        return RayAt(address or "")
    if address:
        raise PlanError(
            "only Ray is reached at an address",
            where="--address",
            received=f"{address}, with the engine {engine}",
            remedy="add --engine ray, or leave --address out",
        )
    if engine not in OWN and engine not in installed(taken=OWN):
        raise _unknown(engine)
    return engine


def chosen_here(engine: str, address: str | None) -> Chosen:
    """Return the engine of this name for a simulation: any but the hub's, which is not for one who has the tables.

    Raises
    ------
    PlanError
        As :func:`chosen` does.
    """
    if engine == HUB:
        raise _unknown(engine)
    return chosen(engine, address)


def _unknown(engine: str) -> PlanError:
    known = [name for name in (*OWN, *installed(taken=OWN)) if name != HUB]
    hints = (did_you_mean(engine, known), f"there are {listed(known, 20)}", "install the package that brings another")
    return PlanError("there is no such engine", where="engine", received=engine, remedy="; ".join(filter(None, hints)))


def name_of(engine: RayAt | str) -> str:
    """Return the engine's name."""
    return "ray" if isinstance(engine, RayAt) else engine


def address_of(engine: RayAt | str) -> str:
    """Return where a running cluster is; nothing for what works, or is started, on this machine."""
    return engine.address if isinstance(engine, RayAt) and engine.address != LOCAL else ""


class OnRay:
    """Opens engines over one Ray, which is started or reached when the first of them is opened.

    Parameters
    ----------
    engine
        Where it is.
    stack
        Ends it.
    """

    def __init__(self, engine: Chosen, stack: ExitStack) -> None:
        self._address = address_of(engine) or None
        self._stack = stack
        self._cluster: Cluster | None = None

    def engine(self, sites: Iterable[str], opening: bytes) -> Engine:
        """Return an engine for these sites, with workers of its own."""
        from medfl.run.ray.cluster import Cluster
        from medfl.run.ray.engine import RayEngine

        names = tuple(sites)
        if self._cluster is None:
            most = len(names) if self._address is not None else min(len(names), os.cpu_count() or 1)
            self._cluster = self._stack.enter_context(Cluster(address=self._address, wanted=most))
        return RayEngine(names, cluster=self._cluster, module=worker.__name__, opening=opening)


def plugged(engine: str, sites: Iterable[str], *, opening: bytes, stack: ExitStack) -> Engine:
    """Open an engine that another package brings.

    Parameters
    ----------
    engine
        Its name.
    sites
        The sites' names.
    opening
        The first message of a worker: which study, where its tables are.
    stack
        Ends it.
    """
    point = installed(taken=OWN).get(engine)
    if point is None:
        raise _unknown(engine)
    return opened(point, OtherEnd(tuple(sorted(sites)), worker.__name__, opening), stack)


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
