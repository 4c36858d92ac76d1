"""``medfl hub service`` and ``medfl site service``, as they are typed."""

from __future__ import annotations

from pathlib import Path

import click

from medfl.cli_hub import HUB_HOME
from medfl.cli_site import HOME

USER = click.option("--user", metavar="NAME", help="Whom it runs as [default: who owns the folder].")
OUTPUT = click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write [default: the terminal]."
)


@click.command("service")
@click.option(
    "--for",
    "kind",
    type=click.Choice(("systemd", "container", "nginx", "caddy")),
    default="systemd",
    show_default=True,
    help="What keeps the hub running, or passes it on.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Port the hub listens on [default: the invitations'].")
@USER
@OUTPUT
@HUB_HOME
def service_of_hub(kind: str, port: int | None, user: str | None, output: Path | None, home: Path | None) -> None:
    """Print what keeps the hub running: a systemd unit, a Containerfile, or what stands before it on port 443."""
    from medfl import console_services

    console_services.hub(home, kind, port=port, user=user, output=output)


@click.command("service")
@USER
@OUTPUT
@HOME
def service_of_site(user: str | None, output: Path | None, home: Path | None) -> None:
    """Print a systemd unit that keeps the site's agent running, with no more rights than it needs."""
    from medfl import console_services

    console_services.site(home, user=user, output=output)
