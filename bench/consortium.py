"""A hub and enrolled sites as processes of this machine, for measuring: what they cost, weigh and send.

Everything is as in a deployment: enrolment, keys, TLS, a database on disk; only that all of it is on loopback.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pandas as pd

from medfl.events import RoundFinished, RunFailed, RunFinished
from medfl.hosting import submit
from medfl.hub.place import HubPlace
from medfl.private import make_private
from medfl.site.datasets import DataSet, Datasets
from medfl.site.enrolled import SiteHome
from medfl.site.enrolling import enrol
from medfl.site.place import Place
from medfl.site.rules_template import template
from medfl.store.home import Home
from medfl.testing.command import MEDFL
from medfl.testing.hub import LOOPBACK, free_port, invited, made, updated

POLICY = (
    template()
    .replace('mode = "each"', 'mode = "within-policy"')
    .replace('ranges = "rounded"', 'ranges = "exact"')
    .replace("minimum = 5", "minimum = 1")
    .replace("minimum_test_rows = 20", "minimum_test_rows = 1")
    .replace("minimum_difference = 5", "minimum_difference = 1")
    .replace("secure_aggregation = true", "secure_aggregation = false")
    .replace("studies = []", 'studies = "any"')
)
STUDY = """
[study]
name = "{name}"
seed = 7

[data]
target = "sick"
sites = {{ {sites} }}

[model]
{model}

[training]
batch_size = 16

[algorithm]
kind = "fedavg"
rounds = {rounds}

[evaluation]
bootstrap = 20

[privacy]
secure_aggregation = {secure}
"""
LOGISTIC = 'kind = "logistic"'
PATIENCE = 1800.0
"""Seconds that a study may take."""
KINDS = tuple(kind.__name__ for kind in (RoundFinished, RunFailed, RunFinished))
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Consortium:
    """A hub and its sites, each a process.

    Parameters
    ----------
    folder
        Where everything is.
    stack
        Ends the processes.
    """

    folder: Path
    stack: ExitStack
    hub: HubPlace = field(init=False)
    homes: dict[str, SiteHome] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        make_private(self.folder)
        self.hub = made(self.folder / "hub", "Bench")

    def start(self) -> None:
        """Start the hub, and return when it listens."""
        serving = self._process("hub", "hub", "start", "--bind", LOOPBACK, "--home", self.hub.folder)
        line = serving.stdout.readline() if serving.stdout else ""
        if "listens" not in line:
            raise SystemExit(f"the hub did not start: {line}")

    def enrol(self, site: str, *, port: int | None = None) -> SiteHome:
        """Enrol a site, which reaches the hub by another port where one is given."""
        home = self.homes[site] = SiteHome(self.folder / site)
        invitation = invited(self.hub, site)
        enrol(home, str(invitation if port is None else replace(invitation, port=port)))
        self.hub.register.approve(site, self.hub.authority)
        updated(home)
        return home

    def equip(self, site: str, rows: pd.DataFrame) -> None:
        """Give a site its table and a policy that lets every study in."""
        place, file = Place(self.homes[site].folder), self.folder / f"{site}.csv"
        rows.to_csv(file, index=False)
        Datasets(place).add(file.name, DataSet(source=str(file), target="sick"))
        place.policy.write_text(POLICY)

    def answer(self, site: str) -> None:
        """Start a site's agent."""
        updated(self.homes[site])
        self._process(site, "site", "start", "--home", self.homes[site].folder)

    def study(self, name: str, sites: list[str], *, rounds: int, secure: bool, model: str = LOGISTIC) -> Path:
        """Write a study of these sites' tables, and return its path."""
        named = ", ".join(f'{site} = "{site}.csv"' for site in sites)
        path = self.folder / f"{name}.toml"
        path.write_text(
            STUDY.format(name=name, sites=named, model=model, rounds=rounds, secure="true" if secure else "false")
        )
        return path

    def watched(self, study: Path) -> Iterator[tuple[int, list[float]]]:
        """Submit a study; yield how many rounds are finished, and the seconds from each to the next."""
        execution, _ = submit(self.hub, study)
        run, told, until, pause = f"{execution}-1", -1, time.monotonic() + PATIENCE, Event()
        with Home(self.hub.folder) as home:
            while time.monotonic() < until:
                read = [one for one in home.journal.read(kinds=KINDS) if one.event.run == run]
                if failed := [one.event for one in read if isinstance(one.event, RunFailed)]:
                    raise SystemExit(f"{study.stem} failed: {failed[0]}")
                at = [datetime.fromisoformat(one.at) for one in read if isinstance(one.event, RoundFinished)]
                if len(at) != told:
                    told = len(at)
                    yield told, [(later - earlier).total_seconds() for earlier, later in pairwise(at)]
                if any(isinstance(one.event, RunFinished) for one in read):
                    return
                pause.wait(0.2)
        raise SystemExit(f"{study.stem} has not ended after {PATIENCE:.0f} s")

    def parts(self) -> dict[str, list[int]]:
        """Return the processes of each part: the hub's own, its SuperLink, its runs, each site with its children."""
        children = _children()
        hub = self.processes["hub"].pid
        found: dict[str, list[int]] = {"hub": [hub], "superlink": [], "coordinator": []}
        for child in children.get(hub, ()):
            part = "superlink" if "superlink" in _command(child) else "coordinator"
            found[part] += _descent(child, children)
        for name, process in self.processes.items():
            if name != "hub":
                found[name] = _descent(process.pid, children)
        return found

    def _process(self, name: str, *words: object) -> subprocess.Popen[str]:
        log = (self.folder / f"{name}.out").open("ab")
        process = subprocess.Popen([*MEDFL, *map(str, words)], stdout=subprocess.PIPE, stderr=log, text=True)

        def end() -> None:
            with process, log:
                process.terminate()

        self.stack.callback(end)
        self.processes[name] = process
        return process


def patients(rows: int, seed: int) -> pd.DataFrame:
    """Return a table whose outcome depends on two of its numbers."""
    draw = np.random.default_rng(seed)
    age, dose = draw.normal(60, 10, rows).round(1), draw.normal(size=rows).round(3)
    risk = (age - 60) / 10 + dose + draw.normal(0, 0.7, rows)
    return pd.DataFrame({"age": age, "dose": dose, "sick": (risk > 0.4).astype(int)})


def seconds_of(pids: list[int]) -> float:
    """Return the processor time (s) that processes have used, with that of their children which ended."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += sum(map(int, words[11:15]))
    return total / TICK


def megabytes_of(pids: list[int]) -> float:
    """Return the resident memory (MB) of processes."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS"):
                    total += int(line.split()[1])
    return total * 1024 / 1e6


class Counting:
    """Passes connections on to a port of this machine, and counts their bytes.

    Parameters
    ----------
    port
        The port.
    """

    def __init__(self, port: int) -> None:
        self._to, self.port, self.bytes = port, free_port(), 0
        self._listener = socket.create_server((LOOPBACK, self.port))
        Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection((LOOPBACK, self._to))
                for pair in ((here, there), (there, here)):
                    Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while body := source.recv(65536):
                self.bytes += len(body)
                sink.sendall(body)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
            found.setdefault(parent, []).append(int(path.parent.name))
    return found


def _descent(pid: int, children: dict[int, list[int]]) -> list[int]:
    return [pid, *(one for child in children.get(pid, ()) for one in _descent(child, children))]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def told(words: dict[str, Any]) -> str:
    """Return words and numbers in one line."""
    return "  ".join(f"{name} {value}" for name, value in words.items())


if __name__ == "__main__":
    sys.exit("this is for bench/round.py")
