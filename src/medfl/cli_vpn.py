"""``medfl vpn …``: a private network between hub and sites, as it is typed at either end."""

from __future__ import annotations

from pathlib import Path

import click

from medfl.cli_hub import HUB_HOME, JSON
from medfl.cli_site import HOME


@click.group()
def vpn() -> None:
    """Put hub and sites into a VPN: WireGuard, or Tailscale where it is there already."""


@vpn.command("init")
@click.option("--subnet", metavar="NETWORK", help="All its addresses [default: 10.77.0.0/24].")
@click.option("--endpoint", metavar="HOST", help="Where sites reach WireGuard [default: the hub's host].")
@click.option("--port", type=click.IntRange(1, 65535), default=51820, show_default=True, help="UDP port of WireGuard.")
@click.option("--tailscale", is_flag=True, help="Use this machine's Tailscale address instead of WireGuard.")
@click.option("--require/--no-require", default=None, help="Refuse the calls of studies that come another way.")
@HUB_HOME
@JSON
def init_vpn(home: Path | None, as_json: bool, **wanted: object) -> None:
    """At the hub: make the VPN, or change it; the hub must not run meanwhile."""
    from medfl import console_vpn

    console_vpn.init(home, wanted, as_json=as_json)


@vpn.command("config")
@HUB_HOME
@JSON
def configure(home: Path | None, as_json: bool) -> None:
    """At the hub: write WireGuard's configuration anew, with the enrolled sites that joined."""
    from medfl import console_vpn

    console_vpn.config(home, as_json=as_json)


@vpn.command("join")
@HOME
@JSON
def join_vpn(home: Path | None, as_json: bool) -> None:
    """At a site: join the hub's VPN, and write WireGuard's configuration; the agent must not run meanwhile."""
    from medfl import console_vpn

    console_vpn.join(home, as_json=as_json)


@vpn.command("leave")
@HOME
@JSON
def leave_vpn(home: Path | None, as_json: bool) -> None:
    """At a site: reach the hub by its host again."""
    from medfl import console_vpn

    console_vpn.leave(home, as_json=as_json)


@vpn.command("status")
@click.option("--site", type=click.Path(path_type=Path, file_okay=False), help="Folder of a site to look at.")
@click.option("--hub", "hub_home", type=click.Path(path_type=Path, file_okay=False), help="Folder of a hub to look at.")
@JSON
def status_of_vpn(site: Path | None, hub_home: Path | None, as_json: bool) -> None:
    """At either end: say which addresses there are, who joined, and whether the tunnel is up."""
    from medfl import console_vpn

    console_vpn.status(site, hub_home, as_json=as_json)
