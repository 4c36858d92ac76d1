"""What the verbs of ``medfl vpn`` show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medfl.console import failing_in_json, print_json, say
from medfl.errors import MedflError, NotFoundError
from medfl.tunnel import CONFIGURATION, Offer, here, reload_command, up_command

if TYPE_CHECKING:
    from medfl.site.enrolled import SiteHome


def init(home: Path | None, wanted: Mapping[str, Any], *, as_json: bool) -> None:
    """Make the hub's VPN."""
    from medfl.hub.place import HubPlace
    from medfl.hub.vpn import Wanted, open_network

    with failing_in_json(as_json):
        hub = HubPlace(home)
        words = {"required": wanted["require"]} | {name: word for name, word in wanted.items() if name != "require"}
        offer = open_network(hub, Wanted(**words))
    if as_json:
        print_json(_offered(offer))
        return
    click.echo(f"The hub's address in the VPN is {offer.address}, its network {offer.network}.")
    if offer.required:
        say("Calls of studies that come another way are refused.")
    if offer.kind == "wireguard":
        say(f"Let UDP {offer.port} in at {offer.host}, and bring the tunnel up:", dim=True)
        click.echo(up_command(hub.vpn.configuration))
    else:
        say(f"To listen there only: medfl hub start --bind {offer.address}", dim=True)
    say("Then start the hub: medfl hub start. Each enrolled site types: medfl vpn join", dim=True)


def config(home: Path | None, *, as_json: bool) -> None:
    """Write the configuration of the hub's end anew."""
    from medfl.hub.place import HubPlace

    with failing_in_json(as_json):
        vpn, sites = HubPlace(home).vpn, HubPlace(home).register.sites()
        joined, file = vpn.write(sites), vpn.configuration
    there = file.exists()
    if as_json:
        print_json({"file": str(file) if there else "", "sites": [one.site for one in joined]})
        return
    if not there:
        click.echo("With Tailscale there is nothing to write.")
        return
    click.echo(f"{file} has {len(joined)} {'site' if len(joined) == 1 else 'sites'} in it.")
    say("Bring the tunnel up; or, where it is up, tell WireGuard what is new:", dim=True)
    click.echo(up_command(file))
    click.echo(reload_command(file))


def join(home: Path | None, *, as_json: bool) -> None:
    """Join the hub's VPN."""
    from medfl.site.enrolled import SiteHome
    from medfl.site.joining import join as joined

    with failing_in_json(as_json):
        place = SiteHome(home)
        found, offer = joined(place)
    file = place.vpn / CONFIGURATION
    if as_json:
        told = {"site": found.site, "own": found.inside, "file": str(file) if file.exists() else ""}
        print_json(_offered(offer) | told)
        return
    click.echo(f"{found.site} is {found.inside} in the VPN of {found.hub}, and reaches it at {found.tunnel} only.")
    if offer.kind == "wireguard":
        say("Whoever runs the hub types 'medfl vpn config', and what that says. Bring the tunnel up here:", dim=True)
        click.echo(up_command(file))
    say("See whether the hub answers through it: medfl vpn status. Then: medfl site start", dim=True)


def leave(home: Path | None, *, as_json: bool) -> None:
    """Leave the hub's VPN."""
    from medfl.site.enrolled import SiteHome
    from medfl.site.joining import leave as left

    with failing_in_json(as_json):
        found = left(SiteHome(home))
    if as_json:
        print_json({"site": found.site, "hub": found.way})
        return
    click.echo(f"{found.site} reaches {found.hub or 'the hub'} at {found.way} again.")
    say(f"If the tunnel is still up: sudo wg-quick down {Path(CONFIGURATION).stem}", dim=True)


def status(site: Path | None, hub: Path | None, *, as_json: bool) -> None:
    """Say how the VPN stands, at the hub, at the site, or at both where both are here."""
    from medfl.doctoring import is_hub, is_site

    ends = (hub is not None or (site is None and is_hub(None)), site is not None or (hub is None and is_site(None)))
    with failing_in_json(as_json):
        if not any(ends):
            raise NotFoundError(
                "there is neither a hub nor a site here", remedy="say where with --site DIR or --hub DIR"
            )
        told = ({"hub": _of_hub(hub)} if ends[0] else {}) | ({"site": _of_site(site)} if ends[1] else {})
    if as_json:
        print_json(told)
        return
    for end, lines in told.items():
        click.echo(click.style(f"At the {end}", bold=True))
        for name, said in lines.items():
            click.echo(f"  {name.ljust(10)} {_spoken(said)}")


def _of_hub(home: Path | None) -> dict[str, Any]:
    from medfl.hub.place import HubPlace

    hub = HubPlace(home)
    offer = hub.vpn.offer
    if offer is None:
        return {"vpn": "none; make one: medfl vpn init"}
    joined, up = hub.vpn.joined(hub.register.sites()), here(offer.address)
    told: dict[str, Any] = {"vpn": offer.kind, "network": str(offer.network), "address": str(offer.address)}
    told |= {"required": offer.required, "up": up, "sites": [f"{one.site} {one.address}".strip() for one in joined]}
    if offer.kind == "wireguard":
        told |= {"endpoint": f"{offer.host}:{offer.port}/udp"} | (
            {} if up else {"bring up": up_command(hub.vpn.configuration)}
        )
    return told


def _of_site(home: Path | None) -> dict[str, Any]:
    from medfl.site.enrolled import SiteHome

    place = SiteHome(home)
    found = place.enrolled()
    if not found.tunnel:
        return {"vpn": "not joined; join the hub's, if it has one: medfl vpn join"}
    file, up = place.vpn / CONFIGURATION, here(found.inside)
    told: dict[str, Any] = {"address": found.inside, "hub": f"{found.tunnel}:{found.port}", "up": up}
    return told | {"answers": _answers(place)} | ({"bring up": up_command(file)} if file.exists() and not up else {})


def _answers(place: SiteHome) -> str:
    """Ask the hub through the tunnel how the site stands."""
    from medfl.site.enrolling import refresh

    try:
        found, _ = refresh(place, place.enrolled())
    except MedflError as error:
        return f"no: {error.complaints[0].what} ({error.complaints[0].received})"
    return f"yes: the site is {found.status}"


def _offered(offer: Offer) -> dict[str, Any]:
    where = {"kind": offer.kind, "address": str(offer.address), "network": str(offer.network)}
    return where | {"required": offer.required, "host": offer.host, "port": offer.port}


def _spoken(said: object) -> str:
    if isinstance(said, bool):
        return "yes" if said else "no"
    return (", ".join(said) or "none") if isinstance(said, list) else str(said)
