"""The engine of a hub's studies: over its SuperLink, to the agents of its enrolled sites."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from medfl.errors import Complaint, PlanError, VersionError, listed
from medfl.hub.bell import ring
from medfl.hub.place import HubPlace
from medfl.hub.told import Told
from medfl.run.flower.coordinator import register
from medfl.run.flower.engine import FlowerEngine
from medfl.run.flower.superlink import Certificates, Elsewhere
from medfl.spec.study import Study
from medfl.versions import agreed, here


@contextmanager
def reached(folder: Path, sites: tuple[str, ...]) -> Iterator[FlowerEngine]:
    """Open the engine over the enrolled sites of a hub that runs.

    Parameters
    ----------
    folder
        The hub's folder.
    sites
        The sites' names.

    Raises
    ------
    PlanError
        If one is not enrolled any more.
    VersionError
        If one speaks no version in common with this hub.
    EngineError
        If the hub was never started.
    """
    hub = HubPlace(folder)
    link, keys = link_of(hub), keys_of(hub)
    if gone := [name for name in sites if name not in keys]:
        raise PlanError(
            "a site of the study is not enrolled any more",
            where=f"site {listed(gone)}",
            remedy="enrol it again and resume the run, or submit the study without it",
        )
    require_understood(hub, sites)
    nodes = register(link, {name: keys[name] for name in sites})
    engine = FlowerEngine(link, nodes, asked=lambda site: ring(folder, site))
    try:
        yield engine
    finally:
        engine.leave()


def require_understood(hub: HubPlace, sites: Iterable[str]) -> None:
    """Refuse sites that speak no version in common with this hub, by what they said when they last connected.

    Raises
    ------
    VersionError
        With each of them, and what to upgrade.
    """
    complaints: list[Complaint] = []
    for site in sites:
        speaks = Told.at(hub.folder, site).speaks
        try:
            agreed(here(), speaks or here())
        except VersionError as error:
            complaints += [replace(one, where=f"site {site}") for one in error.complaints]
    if complaints:
        raise VersionError.of(complaints)


def keys_of(hub: HubPlace) -> dict[str, bytes]:
    """Return the public key of each enrolled site's node, PEM."""
    return {record.name: record.node.encode() for record in hub.register.sites() if record.status == "approved"}


def link_of(hub: HubPlace) -> Elsewhere:
    """Return the SuperLink of a running hub.

    Raises
    ------
    EngineError
        If the hub was never started.
    """
    certificate, key = hub.loopback
    return Elsewhere.at(hub.superlink, Certificates(hub.authority_file, certificate, key))


def sites_of(study: Study) -> tuple[str, ...]:
    """Return the sites that the arms of a study name, sorted."""
    return tuple(sorted({name for arm in study.arms.values() for name in arm.data.sites or ()}))
