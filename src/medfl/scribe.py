"""Writes down what happens in a run, while it happens, and how it ended; hears when somebody wants it to stop."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from dataclasses import asdict
from threading import Event as Flag
from threading import Lock, Thread
from time import monotonic
from types import TracebackType
from typing import Protocol, Self

from medfl.errors import MedflError, StoppedError
from medfl.events import Event, RoundFinished, RunFailed, RunInterrupted, RunStopped
from medfl.store.decisions import Note, note_of
from medfl.store.home import Home
from medfl.store.views import RunView

LATE = 0.5
"""Seconds after which an event is written that rides along with the next one, if that has not come."""


class Display(Protocol):
    """Shows what happens while it happens."""

    def on(self, event: Event) -> None:
        """Take notice of one event."""
        ...


class Scribe:
    """Writes events down in batches; each batch ends where something durable was reached, or where nothing goes on.

    As a context it writes down how the run ended, too. Where somebody has asked the run to stop, it ends with
    :class:`StoppedError`: once a round is finished, or at once.

    Parameters
    ----------
    home
        Where the journal is.
    run
        The run.
    display
        Is told everything too.
    """

    _ride_along = ("SiteAnswered", "RoundStarted", "SiteDropped", "Noticed", "Evaluated", "PrivacySpent")

    def __init__(self, home: Home, run: RunView, display: Display | None) -> None:
        self._home, self._run, self._display = home, run, display
        self._pending: list[Event] = []
        self._wrote = False
        self._since, self._turn, self._closing = 0.0, Lock(), Flag()
        self._main = threading.current_thread() is threading.main_thread()

    def on(self, event: Event) -> None:
        """Take notice of one event.

        Raises
        ------
        StoppedError
            If it finished a round, and somebody wants the run to stop.
        """
        with self._turn:
            self._since = self._since if self._pending else monotonic()
            self._pending.append(event)
            if type(event).__name__ not in self._ride_along:
                self._write()
        if self._display is not None:
            self._display.on(event)
        if isinstance(event, RoundFinished) and self._run.federated:
            require_going_on(self._home, self._run)

    def _write(self) -> None:
        self._home.journal.append(self._pending)
        self._pending, self._wrote = [], True

    def __enter__(self) -> Self:
        self._watch = Thread(target=self._look, daemon=True)
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._watch.join()
        match error:
            case StoppedError():
                if self._wrote or self._run.status != "stopped":
                    self.on(self._stopped())
            case MedflError():
                self.on(RunFailed(run=self._run.run, code=error.code, message=str(error)))
            case KeyboardInterrupt() if self._home.asked_to_stop(self._run.execution):
                self.on(self._stopped())
                raise _stopped(self._run, note_of(self._home, self._run.execution)) from None
            case KeyboardInterrupt():
                self.on(RunInterrupted(run=self._run.run))

    def _stopped(self) -> RunStopped:
        return RunStopped(run=self._run.run, **asdict(note_of(self._home, self._run.execution)))

    def _look(self) -> None:
        """Write down what waits for long, for those who look on; end what is to stop at once."""
        while not self._closing.wait(LATE):
            # Where it cannot be written, the run itself finds out.
            with self._turn, suppress(MedflError):
                if self._pending and monotonic() - self._since > LATE:
                    self._write()
            if self._main and self._home.asked_to_stop(self._run.execution) == "now":
                # Never in the midst of writing: what was written would be written twice.
                with self._turn:
                    _interrupt()
                return


def require_going_on(home: Home, run: RunView) -> None:
    """Refuse to go on with what somebody has stopped.

    Raises
    ------
    StoppedError
        If somebody has.
    """
    if home.asked_to_stop(run.execution):
        raise _stopped(run, note_of(home, run.execution))


def _stopped(run: RunView, note: Note) -> StoppedError:
    by, why = f" by {note.by}" if note.by else "", f": {note.why}" if note.why else ""
    what = f"the run was paused{by}{why}" if note.paused else "the run was stopped with medfl stop"
    return StoppedError(what, where=run.run, remedy=f"go on: medfl resume {run.run}")


def _interrupt() -> None:
    """Interrupt the main thread as Ctrl-C would, unless it does not hear that: then the round is finished first."""
    main = threading.main_thread().ident
    if main is not None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.pthread_kill(main, signal.SIGINT)
