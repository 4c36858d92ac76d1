"""The application for one person on this machine: the pages on 127.0.0.1, and a process for each study that runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from typing import Any, Self

from medfl import costing
from medfl.errors import MissingExtraError
from medfl.execution import lay_down
from medfl.hub.pages.bench import Bench, Told
from medfl.hub.pages.weather import log_of
from medfl.inspection import inspect
from medfl.local_tables import LocalTables
from medfl.run.explain import explain
from medfl.run.plan import compile
from medfl.site.machine import machine
from medfl.site.sources import Sources
from medfl.spec.study import Study
from medfl.steering import Steering
from medfl.store.home import Home
from medfl.store.shelf import whole_execution
from medfl.trying import Trials

try:
    import uvicorn

    from medfl.announced import Announced, ending_well, listening
    from medfl.hub.pages.application import OPEN, application
    from medfl.hub.people.alone import alone
    from medfl.loopback import Sessions
except ImportError as missing:
    raise MissingExtraError(
        "the application is not installed", received=str(missing), remedy="pip install 'medfl[app]'"
    ) from missing

HERE = "127.0.0.1"
PATIENCE = 20.0
"""Seconds in which a study that is told to end writes down where it stands."""


class Workers:
    """Carries studies out in processes of their own, so that a page never waits and one study cannot harm another.

    Parameters
    ----------
    home
        Where they are stored.
    folder
        Where the paths in a study start from.
    """

    def __init__(self, home: Home, folder: Path) -> None:
        self._home, self._folder = home, folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def launch(self, study: Study, *, by: str = "", not_before: float = 0.0) -> str:
        """Lay a study down, begin with it, and return its execution's id; here nothing is put off."""
        sources = Sources(self._folder, self._home.folder / "sites")
        execution = lay_down(study, self._home, sources=sources, engine="in-process", arm=None)
        self.go_on(execution)
        return execution

    def go_on(self, execution: str) -> None:
        """Go on with an execution, unless a process of ours is at it."""
        if self.working(execution):
            return
        first = whole_execution(self._home, execution).every[0].run
        # Here, not in the process: who pauses from now on is heard, though it takes seconds until it listens.
        self._home.let_go_on(execution)
        home = str(self._home.folder)
        command = (sys.executable, "-m", "medfl", "resume", first, "--unless-stopped", "--home", home)
        path = log_of(self._home, execution)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            # A session of its own: Ctrl-C at the terminal ends the pages, which then end their studies in order.
            self._processes[execution] = subprocess.Popen(  # noqa: S603 - our own program, and an id of ours
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
            )
        finally:
            os.close(log)

    def working(self, execution: str) -> bool:
        """Say whether a process of ours is at an execution."""
        process = self._processes.get(execution)
        return process is not None and process.poll() is None

    def stop(self, execution: str) -> None:
        """Have an execution stop once its round is stored, whoever carries it out: a terminal may, too."""
        if self.working(execution) or self._home.is_busy(execution):
            self._home.ask_to_stop(execution)

    def close(self) -> None:
        """End all processes; each writes down where it stands."""
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in self._processes.values():
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Workbench:
    """Serves the pages until it is told to end.

    Parameters
    ----------
    home
        The store.
    folder
        Where the paths in a study start from.
    port
        A free one where 0.
    """

    def __init__(self, home: Home, folder: Path, *, port: int = 0) -> None:
        self._home, self.workers, self._sessions = home, Workers(home, folder), Sessions()
        self._socket = listening(HERE, port, who="the application")
        self.port = int(self._socket.getsockname()[1])
        self._tables, self.trials = LocalTables(folder), Trials(home.folder / "trials", folder)
        bench = Bench(
            home,
            _read,
            self._looked,
            self.workers,
            self._busy,
            sees=self._tables,
            uploads=home.folder / "tables",
            steers=Steering(home, self.workers.working),
            costs=costing.costs,
            tries=self.trials,
            machine=machine(),
        )
        config = uvicorn.Config(
            application(bench, *alone(self._sessions, port=self.port, open_to_all=OPEN)),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=2,
        )
        self._server = Announced(config)

    def link(self) -> str:
        """Return an address that lets one browser in, once."""
        return f"http://{HERE}:{self.port}{self._sessions.link()}"

    def run(self, ready: Callable[[], Any]) -> None:
        """Serve until Ctrl-C, TERM or :meth:`stop`; `ready` is called once it listens."""
        self._server.ready = ready
        Thread(target=self._warm, name="tables", daemon=True).start()
        with ending_well():
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Have it end, from any thread."""
        self._server.should_exit = True

    def _warm(self) -> None:
        self._tables.warm()
        costing.warm()

    def _busy(self, execution: str) -> bool:
        return self.workers.working(execution) or self._home.is_busy(execution)

    def _looked(self, study: Study) -> Sequence[Told]:
        found = inspect(study, home=self._home.folder)
        return [Told(section.title, tuple(section.sentences)) for section in found.sections]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.workers.close()
        self.trials.close()
        self._socket.close()


def _read(study: Study) -> Sequence[Told]:
    """Say what a study would do, as far as its text tells."""
    return [Told(section.title, tuple(section.sentences)) for section in explain(study, compile(study))]
