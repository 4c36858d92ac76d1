"""The engine of a hub's studies: over its SuperLink, to the agents of its enrolled sites."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from medfl.errors import Complaint, PlanError, VersionError
from medfl.hub.bell import ring
from medfl.hub.place import HubPlace
from medfl.hub.told import Told
from medfl.messages import Refusal, Reply, Request
from medfl.run.flower.coordinator import register
from medfl.run.flower.engine import FlowerEngine
from medfl.run.flower.superlink import Certificates, Elsewhere
from medfl.spec.study import Study
from medfl.versions import agreed, here


class HubEngine(FlowerEngine):
    """Reaches the enrolled sites of a study; of one that is not enrolled any more it says so, and never waits for it.

    Parameters
    ----------
    folder
        The hub's folder.
    sites
        The sites' names.

    Raises
    ------
    VersionError
        If one speaks no version in common with this hub.
    EngineError
        If the hub was never started.
    """

    def __init__(self, folder: Path, sites: tuple[str, ...]) -> None:
        hub = HubPlace(folder)
        link, keys = link_of(hub), keys_of(hub)
        self._left = frozenset(sites) - keys.keys()
        require_understood(hub, [name for name in sites if name in keys])
        nodes = register(link, {name: keys[name] for name in sites if name in keys})
        super().__init__(link, nodes, asked=lambda site: ring(folder, site), deadline=lambda: hub.deadline)
        self._all = tuple(sorted(sites))

    def sites(self) -> Sequence[str]:
        """Return the names of all sites of the study, sorted."""
        return self._all

    def exchange(self, requests: Iterable[Request], *, timeout: float | None = None) -> Iterator[Reply | Refusal]:
        """Send every request whose site is enrolled and yield the answers as they come; the others get a refusal."""
        asked = list(requests)
        yield from (_not_enrolled(request) for request in asked if request.site in self._left)
        yield from super().exchange([one for one in asked if one.site not in self._left], timeout=timeout)


@contextmanager
def reached(folder: Path, sites: tuple[str, ...]) -> Iterator[HubEngine]:
    """Open the engine over the enrolled sites of a hub that runs, and leave it in the end.

    Parameters
    ----------
    folder
        The hub's folder.
    sites
        The sites' names.

    Raises
    ------
    VersionError
        If one speaks no version in common with this hub.
    EngineError
        If the hub was never started.
    """
    engine = HubEngine(folder, sites)
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


def _not_enrolled(request: Request) -> Refusal:
    complaint = Complaint(
        f"the site is not enrolled any more, at the stage {request.task!r}",
        remedy="enrol it again and resume, or start a study without it, or with min_sites in [algorithm]",
    )
    return Refusal(request=request.id, site=request.site, code=PlanError.code, complaints=(complaint,))
