"""The verbs of ``medfl hub``, as they are typed."""

from __future__ import annotations

from pathlib import Path

import click

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output, also of a failure.")
HUB_HOME = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the hub [default: $MEDFL_HUB_HOME or ~/.medfl-hub].",
)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group()
def hub() -> None:
    """Run a hub: make it, serve it, invite hospitals and let them in."""


@hub.command("init")
@click.option("--name", required=True, help="What people call the hub.")
@click.option("--host", required=True, help="Name or address by which hospitals reach it.")
@click.option("--port", type=click.IntRange(1, 65535), default=8443, show_default=True, help="Port there.")
@click.option("--certificate", type=FILE, help="Certificate for TLS that you bring [default: one is made].")
@click.option("--key", type=FILE, help="Private key of that certificate.")
@HUB_HOME
@JSON
def init_hub(
    name: str, host: str, port: int, certificate: Path | None, key: Path | None, home: Path | None, as_json: bool
) -> None:
    """Make a hub: its authority, its certificate, its register of sites."""
    from medfl import console_hub

    console_hub.init(home, name=name, address=(host, port), brought=(certificate, key), as_json=as_json)


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Only say whether it fits what its sites have told of their data sets.")
@click.option("--watch", is_flag=True, help="Show how far it is until its end; Ctrl-C ends only that.")
@HUB_HOME
@JSON
def submit(study: Path, check: bool, watch: bool, home: Path | None, as_json: bool) -> None:
    """Queue a study at the hub on this machine: it is run over the enrolled sites that it names."""
    from medfl import console_hub

    if check:
        console_hub.fits(home, study, as_json=as_json)
    else:
        console_hub.submit(home, study, watch=watch, as_json=as_json)


@hub.command("start")
@click.option("--bind", help="Address of this machine to listen on [default: all].")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on [default: the one of the invitations].")
@HUB_HOME
def start_hub(bind: str | None, port: int | None, home: Path | None) -> None:
    """Serve the hub until Ctrl-C or TERM."""
    from medfl import console_hub

    console_hub.start(home, bind=bind, port=port)


@hub.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@HUB_HOME
@JSON
def back_up_hub(file: Path, home: Path | None, as_json: bool) -> None:
    """Copy the hub into one file, also while it runs; whoever has the file is the hub."""
    from medfl import console_backup

    console_backup.back_up(home, file, as_json=as_json)


@hub.command("restore")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@HUB_HOME
@JSON
def restore_hub(file: Path, home: Path | None, as_json: bool) -> None:
    """Make the hub of a backup, in a folder where there is nothing yet."""
    from medfl import console_backup

    console_backup.restore(home, file, as_json=as_json)


@hub.command("certificate")
@click.argument("certificate", type=FILE)
@click.argument("key", type=FILE)
@HUB_HOME
def certificate_of_hub(certificate: Path, key: Path, home: Path | None) -> None:
    """Take another certificate for TLS, such as a renewed one."""
    from medfl import console_hub

    console_hub.certificate(home, certificate, key)


@hub.command("deadline")
@click.argument("duration", required=False)
@HUB_HOME
@JSON
def deadline_of_hub(duration: str | None, home: Path | None, as_json: bool) -> None:
    """Show how long sites may take for one answer, or set it: 90s, 30m, 4h, 2d."""
    from medfl import console_hub

    console_hub.deadline(home, duration, as_json=as_json)


@hub.command("behind")
@click.argument("address", required=False)
@HUB_HOME
@JSON
def behind_what(address: str | None, home: Path | None, as_json: bool) -> None:
    """Show which web server stands before the hub, or set it: the address from which it connects, or none."""
    from medfl import console_hub

    console_hub.behind(home, address, as_json=as_json)


@hub.command("invite")
@click.option("--site", required=True, help="What people call the hospital.")
@click.option("--expires", default="7d", show_default=True, help="How long it holds: 30m, 12h, 7d.")
@HUB_HOME
@JSON
def invite_site(site: str, expires: str, home: Path | None, as_json: bool) -> None:
    """Print an invitation for one hospital, good once."""
    from medfl import console_hub

    console_hub.invite(home, site=site, expires=expires, as_json=as_json)


@hub.command("sites")
@HUB_HOME
@JSON
def list_sites(home: Path | None, as_json: bool) -> None:
    """List the sites: how each is enrolled, whether it is connected, what it does and which version it runs."""
    from medfl import console_hub

    console_hub.sites(home, as_json=as_json)


@hub.command("catalogue")
@click.argument("site", required=False)
@HUB_HOME
@JSON
def catalogue_of_sites(site: str | None, home: Path | None, as_json: bool) -> None:
    """Show what the sites' data sets are like, as far as their policies let them tell."""
    from medfl import console_hub

    console_hub.catalogue(home, site=site, as_json=as_json)


@hub.command("log")
@click.option("--site", metavar="NAME", help="Only what this site tells.")
@click.option("--last", type=click.IntRange(min=1), default=40, show_default=True, help="How many lines.")
@HUB_HOME
@JSON
def log_of_sites(site: str | None, last: int, home: Path | None, as_json: bool) -> None:
    """Show what the sites did for studies, by their own word, newest last."""
    from medfl import console_hub

    console_hub.log(home, site=site, last=last, as_json=as_json)


@hub.command("approve")
@click.argument("site")
@click.option("--yes", "sure", is_flag=True, help="The fingerprints were compared; do not ask.")
@HUB_HOME
@JSON
def approve_site(site: str, sure: bool, home: Path | None, as_json: bool) -> None:
    """Let a site in that waits, after comparing its fingerprint by telephone."""
    from medfl import console_hub

    console_hub.approve(home, site=site, sure=sure, as_json=as_json)


@hub.command("revoke")
@click.argument("site")
@HUB_HOME
@JSON
def revoke_site(site: str, home: Path | None, as_json: bool) -> None:
    """Put a site out: its keys are never accepted again."""
    from medfl import console_hub

    console_hub.revoke(home, site=site, as_json=as_json)
