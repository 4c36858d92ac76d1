"""What ``medfl runs --watch`` and ``medfl submit --watch`` show, until Ctrl-C or the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

import click

from medfl.console import console_of, failing_in_json, print_json, say
from medfl.errors import PlanError
from medfl.store.home import Home

if TYPE_CHECKING:
    from medfl.publish.watching import Standing
    from medfl.store.views import RunView

EVERY = 0.5
"""Seconds between two looks at what the journal says that is new."""


def watch(home: Path | None, *, baselines: bool, as_json: bool) -> None:
    """Show the runs while they go on, until Ctrl-C."""
    with failing_in_json(as_json), Home(home) as place:
        if not as_json:
            say(f"Watching {place.folder}; Ctrl-C ends only this.", dim=True)
        with suppress(KeyboardInterrupt):
            _follow(place, lambda view: True, baselines=baselines, as_json=as_json, over=lambda: False)


def watch_execution(home: Path, execution: str, *, over: Callable[[], bool], as_json: bool) -> None:
    """Show an execution until it is over, or until Ctrl-C, which ends only the watching.

    Parameters
    ----------
    home
        Where it is stored.
    execution
        Its id.
    over
        Whether nobody will carry it on by himself.
    as_json
        Whether a line of JSON is printed for each change.

    Raises
    ------
    PlanError
        If it is over and not all of it is finished.
    """
    from medfl.store.shelf import whole_execution

    with failing_in_json(as_json), Home(home) as place:
        with suppress(KeyboardInterrupt):
            _follow(place, lambda view: view.execution == execution, baselines=True, as_json=as_json, over=over)
            left = [run for run in whole_execution(place, execution).every if run.status != "finished"]
            if left:
                raise PlanError(
                    "the study did not come to its end",
                    where=left[0].run,
                    received=left[0].status,
                    remedy=f"see why: medfl show {left[0].run} --home {place.folder}",
                )
            return
        say("The study goes on without being watched.", dim=True)


class _Show(Protocol):
    def on(self, every: Sequence[Standing]) -> None: ...


def _follow(
    place: Home, wanted: Callable[[RunView], bool], *, baselines: bool, as_json: bool, over: Callable[[], bool]
) -> None:
    """Look again and again, and show what is new; a last time once it is over."""
    from medfl.publish.watching import standing
    from medfl.store.summary import listed
    from medfl.store.watching import Watch

    watched, pause = Watch(place), Event()
    with _display(as_json=as_json) as show:
        while True:
            last = over()
            now = datetime.now(UTC)
            views = listed(filter(wanted, watched.look()), baselines=baselines)
            show.on([standing(view, now=now) for view in views])
            if last:
                return
            pause.wait(EVERY)


def _display(*, as_json: bool) -> AbstractContextManager[_Show]:
    console = console_of()
    if console.is_terminal and not as_json:
        return _Moving()
    return nullcontext(_Lines(as_json=as_json))


class _Lines:
    """A line for each change: what has ended before the first look is left out, but for the JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._before: dict[str, Standing] | None = None

    def on(self, every: Sequence[Standing]) -> None:
        """Print what has changed."""
        from medfl.publish.watching import changed, line

        first = self._before is None
        for told in changed(self._before or {}, every, brief=not self._as_json):
            if self._as_json:
                print_json(told.as_json(), line=True)
            elif not (first and told.status in ("finished", "failed", "stopped", "interrupted")):
                click.echo(f"{datetime.now(UTC):%H:%M:%S} {line(told)}")
        self._before = {told.run: told for told in every}


class _Moving:
    """One table that is drawn anew, in a terminal."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(console=console_of(), auto_refresh=False)

    def on(self, every: Sequence[Standing]) -> None:
        """Draw the table."""
        from medfl.publish.watching import table

        self._live.update(table(every), refresh=True)

    def __enter__(self) -> _Moving:
        self._live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._live.stop()
