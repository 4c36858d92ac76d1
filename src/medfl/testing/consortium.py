"""A hub and its hospitals, each a process of its own on this machine, that a test can hold, kill and start again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event as Pause
from typing import Any

from medfl.events import Event
from medfl.hosting import submit
from medfl.hub.deadline import NAME as DEADLINE
from medfl.hub.deadline import set_deadline
from medfl.site.datasets import DataSet, Datasets
from medfl.site.enrolled import SiteHome
from medfl.site.enrolling import enrol
from medfl.site.place import Place
from medfl.site.rules_template import template
from medfl.store.home import Home
from medfl.store.journal import Recorded
from medfl.testing.command import MEDFL
from medfl.testing.federation import table
from medfl.testing.hub import LOOPBACK, invited, made, updated
from medfl.testing.moments import Moments
from medfl.testing.relay import Relay

SITES = ("east", "north", "south", "west")
AWAY = "north"
"""The hospital that faults befall; it reaches the hub by a road of its own."""
POLICY = (
    template()
    .replace('mode = "each"', 'mode = "within-policy"')
    .replace("secure_aggregation = true", "secure_aggregation = false")
    .replace('ranges = "rounded"', 'ranges = "exact"')
    .replace("minimum_rows = 50", "minimum_rows = 40")
    .replace("minimum = 5", "minimum = 1")
    .replace("minimum_test_rows = 20", "minimum_test_rows = 1")
    .replace("minimum_difference = 5", "minimum_difference = 1")
    .replace("studies = []", 'studies = "any"')
)


@dataclass
class Consortium:
    """A hub and four hospitals.

    Parameters
    ----------
    folder
        Where everything is; its path is short.
    stack
        Ends what was started.
    """

    folder: Path
    stack: ExitStack
    homes: dict[str, SiteHome] = field(default_factory=dict)
    agents: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    serving: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        self.moments = self.stack.enter_context(Moments(self.folder))
        self.hub = made(self.folder / "hub")
        self.start()
        self.road = self.stack.enter_context(Relay((LOOPBACK, self.hub.about.port)))
        for number, name in enumerate(SITES):
            self._enrol(name, number)
        for home in self.homes.values():
            updated(home)
        for name in SITES:
            self.answer(name)

    def start(self) -> None:
        """Start the hub, and return when it listens."""
        command = [*MEDFL, "hub", "start", "--bind", LOOPBACK, "--home", str(self.hub.folder)]
        self.serving = subprocess.Popen(  # noqa: S603 - the command is this package's own
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self.moments.environment(),
        )
        self.stack.callback(_end, self.serving)
        if self.serving.stdout is None or "listens" not in self.serving.stdout.readline():
            raise ChildProcessError(f"the hub did not start; see {self.hub.log}")

    def answer(self, name: str, *, before: Sequence[str] = (), more: Mapping[str, str] | None = None) -> None:
        """Start a hospital's agent, by another command and in another environment where they are given."""
        command = [*before, *MEDFL, "site", "start", "--home", str(self.homes[name].folder)]
        with (self.folder / f"{name}.log").open("ab") as log:
            agent = subprocess.Popen(  # noqa: S603 - the command is this package's own
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self.moments.environment(), **(more or {})},
            )
        self.agents[name] = agent
        self.stack.callback(_end, agent)

    def kill(self, who: str, execution: str) -> None:
        """Kill a process of the federation with signal 9, and do what its people do: start what is not started anew."""
        match who:
            case "site":
                self.leave(AWAY)
                self.answer(AWAY)
            case "coordinator":
                os.kill(coordinator(execution), signal.SIGKILL)
            case "SuperLink":
                os.kill(child_of(self.hub_pid, b"medfl.run.flower.superlink"), signal.SIGKILL)
            case "hub":
                if self.serving is not None:
                    _kill(self.serving)
                self.start()

    def leave(self, name: str) -> None:
        """Kill a hospital's agent."""
        _kill(self.agents[name])

    @property
    def hub_pid(self) -> int:
        """The id of the hub's process."""
        return 0 if self.serving is None else self.serving.pid

    def submit(self, text: str) -> str:
        """Submit a study, and return its execution's id."""
        path = self.folder / "study.toml"
        path.write_text(text, encoding="utf-8")
        return submit(self.hub, path)[0]

    def deadline(self, seconds: float | None) -> None:
        """Give sites so many seconds for an answer; as many as they usually have where None."""
        if seconds is None:
            (self.hub.folder / DEADLINE).unlink(missing_ok=True)
        else:
            set_deadline(self.hub.folder, seconds)

    def recorded(self, execution: str) -> list[Recorded]:
        """Return what has happened in an execution's first run, and when."""
        with Home(self.hub.folder) as home:
            return list(home.journal.read(run=f"{execution}-1"))

    def events(self, execution: str) -> list[Event]:
        """Return what has happened in an execution's first run."""
        return [one.event for one in self.recorded(execution)]

    def done(self, execution: str, seconds: float = 200.0) -> list[Event]:
        """Return what happened in an execution, once nobody works on it any more."""
        until(lambda: execution not in self.hub.queue.waiting(), seconds)
        return self.events(execution)

    def abandon(self, execution: str) -> None:
        """Give an execution up, so that it is in no other's way."""
        self.moments.forget()
        self.hub.queue.done(execution)
        with suppress(LookupError, ProcessLookupError):
            os.kill(coordinator(execution), signal.SIGKILL)

    def whole(self) -> None:
        """Mend everything: all agents run, the road is good, the deadline is the usual one."""
        self.moments.forget()
        self.road.cut = self.road.slow = False
        self.deadline(None)
        if self.serving is None or self.serving.poll() is not None:
            self.start()
        for name, agent in self.agents.items():
            if agent.poll() is not None:
                self.answer(name)

    def _enrol(self, name: str, number: int) -> None:
        home = self.homes[name] = SiteHome(self.folder / name)
        invitation = invited(self.hub, name)
        enrol(home, str(replace(invitation, port=self.road.port) if name == AWAY else invitation))
        self.hub.register.approve(name, self.hub.authority)
        path, place = self.folder / f"{name}.csv", Place(home.folder)
        table(60 + 30 * number, number).to_csv(path, index=False)
        Datasets(place).add(path.name, DataSet(source=str(path), target="sick"))
        place.policy.write_text(POLICY, encoding="utf-8")


def until(true: Callable[[], bool], seconds: float = 200.0) -> None:
    """Return when something is true; it happens in other processes, so it is looked at again and again.

    Raises
    ------
    TimeoutError
        If it is not after so many seconds.
    """
    deadline, pause = time.monotonic() + seconds, Pause()
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("it never was")
        pause.wait(0.1)


def coordinator(execution: str) -> int:
    """Return the id of the process that carries an execution out.

    Raises
    ------
    LookupError
        If none does.
    """
    for pid, words in _processes():
        if b"medfl.coordinating" in words and execution.encode() in words:
            return pid
    raise LookupError(execution)


def child_of(parent: int, word: bytes = b"") -> int:
    """Return the id of a process that another one has started, by a word of its command.

    Raises
    ------
    LookupError
        If there is none.
    """
    for pid, words in _processes():
        with suppress(OSError, ValueError):
            status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
            if int(status.rpartition(")")[2].split()[1]) == parent and (not word or word in words):
                return pid
    raise LookupError(f"no child of {parent}")


def missing_tools(*tools: str) -> str:
    """Return what of these this machine lacks, or that the user is not root; nothing where all is there."""
    lacking = [tool for tool in tools if shutil.which(tool) is None]
    return ", ".join(lacking + (["root"] if os.geteuid() != 0 else []))


def _processes() -> Iterator[tuple[int, list[bytes]]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield int(path.parent.name), path.read_bytes().split(b"\0")


def _kill(process: subprocess.Popen[Any]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _end(process: subprocess.Popen[Any]) -> None:
    process.send_signal(signal.SIGCONT)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=20)
    _kill(process)
