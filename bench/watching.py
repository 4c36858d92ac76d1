"""How live a page is: fifty people watch a run of fifty sites, and each event is timed from the journal to the reader.

``python bench/watching.py`` serves the pages in a process of their own, has fifty WebSockets watch from another, and
writes rounds of a run with invented numbers as a hub's process does. The limit is 500 ms for the slowest twentieth of
what the readers see; exit code 1 if it is missed.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import monotonic

import httpx
from websockets.asyncio.client import connect

from medfl.hub.pages.application import OPEN, application
from medfl.hub.pages.bench import Bench
from medfl.hub.people.alone import alone
from medfl.loopback import Sessions
from medfl.store.home import Home
from medfl.testing.pages import Carriers, looked, serving
from medfl.testing.wall import EXECUTION, RUN, beginning, one_round

SITES, WATCHERS, ROUNDS = 50, 50, 20
BEFORE = 100
"""Rounds that the run has behind it when the watching begins."""
BEAT = 0.2
"""Seconds between two writes of the run's process; a round has seven of them."""
LIMIT = 0.5
STORED = re.compile(r"Round (\d+) is stored")


def main() -> int:
    """Serve, watch, write, print."""
    with tempfile.TemporaryDirectory() as folder, Home(Path(folder)) as home:
        home.journal.append(beginning(SITES, BEFORE + ROUNDS))
        home.journal.append([event for number in range(1, BEFORE + 1) for some in _round(number) for event in some])
        with home.lock(EXECUTION), home.lock(RUN):
            command = [sys.executable, __file__, "serve", folder]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as server:
                try:
                    return _measured(home, server)
                finally:
                    server.communicate("")


def serve(folder: Path) -> None:
    """Serve the pages of a store until standard input ends; print the link first."""
    sessions = Sessions()
    with Home(folder) as home, socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
        bench = Bench(home, looked, looked, Carriers(home), home.is_busy)
        with serving(application(bench, *alone(sessions, port=port, open_to_all=OPEN)), listener):
            print(f"http://127.0.0.1:{port}{sessions.link()}", flush=True)
            sys.stdin.read()


def _measured(home: Home, server: subprocess.Popen[str]) -> int:
    """Have readers watch while a run is written; return the exit code."""
    assert server.stdout is not None
    link = server.stdout.readline().strip()
    base = link.partition("/enter")[0]
    with httpx.Client(base_url=base, follow_redirects=True, trust_env=False, timeout=60) as client:
        client.get(link)
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    written: dict[int, float] = {}
    ready, used = Event(), _cpu(server.pid)
    writer = Thread(target=_write, args=(home, written, ready))
    writer.start()
    began = monotonic()
    seen, size = asyncio.run(_watch(base.replace("http", "ws"), cookie, ready))
    writer.join()
    share = (_cpu(server.pid) - used) / (monotonic() - began)
    late = sorted(at - written[number] for number, at in seen if number in written)
    expected = WATCHERS * ROUNDS
    p95 = late[int(0.95 * len(late))]
    print(f"{WATCHERS} readers, {SITES} sites, {BEFORE}+{ROUNDS} rounds: {len(late)} of {expected} rounds were seen")
    print(f"from the journal to the reader: median {median(late) * 1e3:.0f} ms, 95 % {p95 * 1e3:.0f} ms")
    print(f"slowest {late[-1] * 1e3:.0f} ms; {size / WATCHERS / 1e6:.2f} MB a reader; server {share:.0%} of a core")
    return int(p95 > LIMIT or len(late) < expected)


def _write(home: Home, written: dict[int, float], ready: Event) -> None:
    """Write rounds as they would come, and note when each is in the journal."""
    ready.wait(60)
    pause = Event()
    for number in range(BEFORE + 1, BEFORE + ROUNDS + 1):
        for some in _round(number):
            pause.wait(BEAT)
            home.journal.append(some)
        written[number] = monotonic()


def _round(number: int) -> list[list[object]]:
    return [list(some) for some in one_round(number, SITES)]


async def _watch(base: str, cookie: str, ready: Event) -> tuple[list[tuple[int, float]], int]:
    """Watch with all readers; return which round each saw when, and how many bytes came in all."""
    seen: list[tuple[int, float]] = []
    sizes: list[int] = []
    there = asyncio.Semaphore(0)

    async def one() -> None:
        last = BEFORE
        headers = {"Cookie": cookie}
        async with connect(f"{base}/live/{EXECUTION}", additional_headers=headers, max_size=2**24, proxy=None) as wire:
            async for message in wire:
                sizes.append(len(message))
                there.release()
                for number in sorted({int(found) for found in STORED.findall(str(message))}):
                    if number > last:
                        seen.append((number, monotonic()))
                        last = number
                if last == BEFORE + ROUNDS:
                    return

    async def begin() -> None:
        for _ in range(WATCHERS):
            await there.acquire()
        ready.set()

    await asyncio.wait_for(asyncio.gather(begin(), *(one() for _ in range(WATCHERS))), 300)
    return seen, sum(sizes)


def _cpu(process: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(Path(sys.argv[2]))
    else:
        sys.exit(main())
