"""What ``medfl hub service`` and ``medfl site service`` show."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from medfl.console import say
from medfl.errors import EnrolmentError, StoreError
from medfl.services import Kept, caddy, containerfile, hub_unit, nginx, site_unit

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}")
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
"""Whom most Linux machines trust to sign certificates."""


def hub(home: Path | None, kind: str, *, port: int | None, user: str | None, output: Path | None) -> None:
    """Show what keeps a hub running, or passes it on."""
    from medfl.hub.place import PORT, HubPlace

    place = HubPlace(home)
    about = place.about
    # Where something else has port 443, the hub itself listens behind it.
    before = kind in ("nginx", "caddy")
    listens = port or (PORT if before and about.port == 443 else about.port)
    if before and listens == 443:
        raise EnrolmentError(
            f"{kind} and the hub cannot both listen on port 443",
            where="--port",
            remedy=f"let the hub listen on another one: --port {PORT}",
        )
    if kind == "systemd":
        text = hub_unit(Kept(about.name, place.folder, _user(place.folder, user), Path(sys.executable)), port=listens)
    elif kind == "container":
        text = containerfile(listens)
    elif kind == "nginx":
        text = nginx(about.host, listens, authority=place.authority_file if about.own else BUNDLE)
    else:
        text = caddy(about.host, listens)
    if before and about.port != 443:
        say(
            f"Note: invitations name port {about.port}, not 443; a hub behind {kind} is made with --port 443.",
            fg="yellow",
        )
    _give(text, output)


def site(home: Path | None, *, user: str | None, output: Path | None) -> None:
    """Show what keeps a site's agent running."""
    from medfl.site.enrolled import SiteHome

    place = SiteHome(home)
    enrolment = place.enrolled()
    kept = Kept(enrolment.title or enrolment.site, place.folder, _user(place.folder, user), Path(sys.executable))
    _give(site_unit(kept), output)


def _give(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(
            "a file cannot be written",
            where=str(output),
            received=error.strerror or type(error).__name__,
            remedy="choose another place with -o, or print it and put it there as root",
        ) from error
    click.echo(f"Written: {output}")


def _user(folder: Path, named: str | None) -> str:
    """Return whom a service runs as: never the superuser.

    Raises
    ------
    EnrolmentError
        If it would be, or there can be no such user.
    """
    user = folder.owner() if named is None else named
    if user == "root":
        raise EnrolmentError(
            "the service would run as root, which it has no need of",
            where=str(folder),
            received="a folder of root's" if named is None else "--user root",
            remedy=f"make a user for it: useradd --system medfl && chown -R medfl {folder}; then --user medfl",
        )
    if not _USER.fullmatch(user):
        raise EnrolmentError("there can be no user of this name", where="--user", received=repr(user[:80]))
    return user
