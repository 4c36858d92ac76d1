"""What ``medfl hub backup`` and ``medfl hub restore`` show."""

from __future__ import annotations

import os
from pathlib import Path

import click

from medfl.console import failing_in_json, home_option, print_json, say


def back_up(home: Path | None, file: Path, *, as_json: bool) -> None:
    """Copy a hub into a file."""
    from medfl.hub.backup import back_up as backed_up
    from medfl.hub.place import HubPlace

    with failing_in_json(as_json):
        copied = backed_up(HubPlace(home), file)
    if as_json:
        print_json({"file": str(file), "hub": copied.hub, "made": copied.made, "files": len(copied.files)})
        return
    click.echo(f"Hub {copied.hub!r} is copied into {file}: {len(copied.files)} files.")
    say("Whoever has this file is the hub: encrypt it before it leaves this machine.", fg="yellow")
    if os.environ.get("MEDFL_JOURNAL"):
        say("The journal is elsewhere (MEDFL_JOURNAL): back it up with its own tool, such as pg_dump, before this.")


def restore(home: Path | None, file: Path, *, as_json: bool) -> None:
    """Make a hub of a backup."""
    from medfl.hub.backup import restore as restored
    from medfl.hub.place import HubPlace

    with failing_in_json(as_json):
        place = HubPlace(home)
        copied = restored(file, place)
    if as_json:
        print_json({"home": str(place.folder), "hub": copied.hub, "made": copied.made, "files": len(copied.files)})
        return
    click.echo(f"Hub {copied.hub!r} is restored in {place.folder}, as it was at {copied.made}.")
    say(f"Let the old one never run again, and start this one: medfl hub start{home_option(home)}", dim=True)
    say("Sites find it by themselves; what it had not finished then goes on.", dim=True)
