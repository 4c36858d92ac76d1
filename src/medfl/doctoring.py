"""``medfl doctor``: what stands in the way of a site or a hub, from its own machine to the other end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from medfl.doctor import machine
from medfl.doctor.finding import Finding, blocked, caution, clear
from medfl.doctor.hops import Target, walk
from medfl.errors import MedflError, NotFoundError
from medfl.hub.place import PORT, HubPlace
from medfl.site.datasets import Datasets
from medfl.site.enrolled import Enrolment, SiteHome
from medfl.site.enrolling import refresh
from medfl.site.place import Place
from medfl.site.reaching import inspector
from medfl.tunnel import here


def of_site(folder: Path | None) -> Iterator[Finding]:
    """Look at a site: its folder, its machine, the way to its hub, what the hub thinks of its key, its data sets."""
    home = SiteHome(folder)
    yield from _machine(home.folder)
    enrolment = home.enrolment()
    if enrolment is None:
        yield caution("enrolment", "this site is not enrolled anywhere", "medfl site enrol INVITATION")
    else:
        yield from _way(enrolment)
        yield _key(home, enrolment)
    yield from _tables(home)


def of_address(host: str, port: int) -> Iterator[Finding]:
    """Look at the way to a hub that this machine does not know yet."""
    return walk(Target(host, port, inspector=inspector()))


def of_hub(folder: Path | None) -> Iterator[Finding]:
    """Look at a hub: its folder, its machine, and whether its own address leads to it."""
    place = HubPlace(folder)
    about = place.about
    yield from _machine(place.folder)
    yield from walk(Target(about.host, about.port, place.trust.text))


def is_hub(folder: Path | None) -> bool:
    """Say whether there is a hub in a folder, or in the usual one."""
    return (HubPlace(folder).folder / "hub.json").is_file()


def is_site(folder: Path | None) -> bool:
    """Say whether there is a site in a folder, or in the usual one."""
    home = SiteHome(folder)
    return home.file.is_file() or home.datasets.is_file()


def address_of(text: str) -> tuple[str, int]:
    """Return host and port of an address as people write it.

    Raises
    ------
    NotFoundError
        If it is none.
    """
    bare = text.removeprefix("https://").split("/", 1)[0]
    host, _, port = bare.rpartition(":") if bare.count(":") == 1 or bare.startswith("[") else (bare, "", "")
    if not host.strip("[]") or not (port or str(PORT)).isdigit() or int(port or PORT) > 65535:
        raise NotFoundError("this is no address of a hub", received=repr(text[:80]), remedy="write HOST or HOST:PORT")
    return host.strip("[]"), int(port or PORT)


def _machine(folder: Path) -> Iterator[Finding]:
    yield machine.privacy(folder)
    yield machine.disk(folder)
    yield machine.memory()


def _way(enrolment: Enrolment) -> Iterator[Finding]:
    if enrolment.tunnel:
        yield _tunnel(enrolment)
    direct = bool(enrolment.tunnel)
    yield from walk(Target(enrolment.way, enrolment.port, enrolment.trust, inspector(), direct))


def _tunnel(enrolment: Enrolment) -> Finding:
    """Look whether the VPN that the site joined is up here."""
    if here(enrolment.inside):
        return clear("tunnel", f"this machine is {enrolment.inside} in the VPN; the hub is {enrolment.tunnel}")
    return blocked(
        "tunnel",
        f"the VPN is not up: this machine does not have the address {enrolment.inside}",
        "bring it up (medfl vpn status says how), or go around it again: medfl vpn leave",
    )


def _key(home: SiteHome, enrolment: Enrolment) -> Finding:
    """Ask the hub how the site stands, with the site's own key."""
    if enrolment.status == "applying":
        return caution("key", "the hub has not seen this site's application yet", "medfl site enrol")
    try:
        found, _ = refresh(home, enrolment)
    except MedflError as error:
        first = error.complaints[0]
        said = f"{first.what} ({first.received})" if first.received else first.what
        return blocked("key", said, first.remedy or "ask whoever runs the hub")
    match found.status:
        case "approved":
            return clear("key", f"the hub knows this site's key, as {found.site}")
        case "revoked":
            return blocked("key", "the hub has revoked this site", "ask whoever runs the hub for a new invitation")
    return caution("key", "the hub has not approved this site yet", f"read them {found.fingerprint} by telephone")


def _tables(place: Place) -> Iterator[Finding]:
    """Read each data set, as a study would."""
    found = Datasets(place).all()
    if not found:
        yield caution("data", "no data set is registered", "medfl site dataset add NAME SOURCE --target COLUMN")
    for name, dataset in found.items():
        try:
            rows = len(dataset.table())
        except MedflError as error:
            first = error.complaints[0]
            yield blocked("data", f"{name}: {first.what}", first.remedy or f"medfl site dataset check {name}")
        else:
            yield clear("data", f"{name}: {rows} rows can be read")
