"""How long the pages take at the server, with a thousand runs stored.

``python bench/pages.py`` fills a store with copies of one small study, serves the pages for real, and asks for each of
them some times. The limit is 100 ms for the median of a page; exit code 1 if one misses it. What it takes of the
processor, with the asking, tells whether the machine had other work to do.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import httpx

from medfl import simulate
from medfl.events import RunPlanned
from medfl.hub.pages.application import OPEN, application
from medfl.hub.pages.bench import Bench
from medfl.hub.people.alone import alone
from medfl.loopback import Sessions
from medfl.spec.reading import parse
from medfl.store.home import Home
from medfl.testing.pages import STUDY, Carriers, looked, serving

RUNS = 1000
TIMES = 15
LIMIT = 0.1


def main() -> int:
    """Fill, serve, ask, print."""
    with tempfile.TemporaryDirectory() as folder, Home(Path(folder)) as home:
        execution = filled(home)
        sessions = Sessions()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
            bench = Bench(home, looked, looked, Carriers(home), home.is_busy)
            with (
                serving(application(bench, *alone(sessions, port=port, open_to_all=OPEN)), listener),
                httpx.Client(
                    base_url=f"http://127.0.0.1:{port}", follow_redirects=True, trust_env=False, timeout=60
                ) as client,
            ):
                client.get(sessions.link())
                return asked(client, execution)


def filled(home: Home) -> str:
    """Store a study, and copies of its events under other names; return its execution."""
    first = simulate(parse(STUDY, source="study.toml"), home=home.folder, progress=False)
    events = [recorded.event for recorded in home.journal.read()]
    runs = sum(isinstance(event, RunPlanned) for event in events)
    for number in range(RUNS // runs):
        other = f"{number:08x}"
        copies = [replace(event, run=event.run.replace(first.execution, other)) for event in events]
        home.journal.append([replace(one, execution=other) if isinstance(one, RunPlanned) else one for one in copies])
    print(f"{len(home.journal.runs())} runs, {len(events) * (RUNS // runs + 1)} events")
    return first.execution


def asked(client: httpx.Client, execution: str) -> int:
    """Ask for each page and print how long it took; return the exit code."""
    slow = 0
    paths = ("/", "/new", *(f"/studies/{execution}/{page}" for page in ("watch", "events", "results", "code")))
    for path in paths:
        for base in ("", "/api") if path not in ("/", "/new") else ("",):
            used = process_time()
            took = [_timed(client, base + path) for _ in range(TIMES)]
            each = (process_time() - used) / TIMES
            told = f"median {median(took) * 1e3:6.1f} ms, first {took[0] * 1e3:6.1f} ms"
            print(f"{base + path:44} {told}, of the processor {each * 1e3:6.1f} ms")
            slow += median(took) > LIMIT
    return int(slow > 0)


def _timed(client: httpx.Client, path: str) -> float:
    began = perf_counter()
    client.get(path).raise_for_status()
    return perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
