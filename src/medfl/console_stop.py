"""What ``medfl stop``, ``medfl pause`` and ``medfl drop`` show."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medfl.console import failing_in_json, home_option, print_json, say
from medfl.store.decisions import Note
from medfl.store.home import Home

if TYPE_CHECKING:
    from medfl.store.views import RunView


def stop(run: str, home: Path | None, *, now: bool, as_json: bool) -> None:
    """Stop a run and wait until it has ended."""
    _ended(run, home, None, now=now, as_json=as_json)


def pause(run: str, home: Path | None, *, why: str, as_json: bool) -> None:
    """Pause a run and wait until its round is stored."""
    _ended(run, home, Note(by=_whoever(), why=why, paused=True), now=False, as_json=as_json)


def drop(run: str, site: str, home: Path | None, *, why: str, as_json: bool) -> None:
    """Have a site not asked any more from the next round on, and say what follows."""
    from medfl.steering import Steering
    from medfl.store.shelf import whole_run

    with failing_in_json(as_json), Home(home) as place:
        view, steering = whole_run(place, run), Steering(place)
        follows = steering.follows(view.execution, site)
        steering.drop(view.execution, site, by=_whoever(), why=why)
        goes_on = place.is_busy(view.execution)
    if as_json:
        print_json({"run": view.run, "site": site, "follows": list(follows)})
        return
    for sentence in follows:
        click.echo(sentence)
    if not goes_on:
        say(f"Nobody is working on it now. Go on with: medfl resume {view.run}{home_option(home)}", dim=True)


def _whoever() -> str:
    """Return who types this, as the machine knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this number, as in some containers
        return f"user {os.getuid()}"


def _ended(run: str, home: Path | None, note: Note | None, *, now: bool, as_json: bool) -> None:
    """Have a run stop, and wait until it has ended."""
    from medfl.stopping import stop as stopped

    def waiting(view: RunView) -> None:
        first = "once its process has noticed" if now else "once the round that is going on is stored"
        say(f"{view.run} ends {first}; Ctrl-C here does not change that.", dim=True)

    with failing_in_json(as_json), Home(home) as place:
        view = stopped(place, run, now=now, waiting=waiting, note=note)
    if as_json:
        print_json({"run": view.run, "status": view.status, "rounds": view.rounds})
    elif view.status == "finished":
        click.echo(f"{view.run} had come to its end before it could be stopped.")
    else:
        done = f"after round {view.rounds} of {view.planned_rounds}" if view.rounds else "before its first round ended"
        click.echo(f"{view.run} is {'paused' if note else 'stopped'} {done}.")
        say(f"Go on with: medfl resume {view.run}{home_option(home)}", dim=True)
