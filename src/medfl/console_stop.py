"""What ``medfl stop`` shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from medfl.console import failing_in_json, home_option, print_json, say
from medfl.store.home import Home

if TYPE_CHECKING:
    from medfl.store.views import RunView


def stop(run: str, home: Path | None, *, now: bool, as_json: bool) -> None:
    """Stop a run and wait until it has ended."""
    from medfl.stopping import stop as stopped

    def waiting(view: RunView) -> None:
        first = "once its process has noticed" if now else "once the round that is going on is stored"
        say(f"{view.run} ends {first}; Ctrl-C here does not change that.", dim=True)

    with failing_in_json(as_json), Home(home) as place:
        view = stopped(place, run, now=now, waiting=waiting)
    if as_json:
        print_json({"run": view.run, "status": view.status, "rounds": view.rounds})
    elif view.status == "finished":
        click.echo(f"{view.run} had come to its end before it could be stopped.")
    else:
        done = f"after round {view.rounds} of {view.planned_rounds}" if view.rounds else "before its first round ended"
        click.echo(f"{view.run} is stopped {done}.")
        say(f"Go on with: medfl resume {view.run}{home_option(home)}", dim=True)
