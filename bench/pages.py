"""How long the pages take at the server, with a thousand runs stored.

``python bench/pages.py`` makes a hub with a thousand runs, one of them of 200 rounds over 50 sites, with twenty
people, twenty sites and fifty drafts, serves its pages for real, and asks for each of them some times as somebody who
may see everything. The limit is 100 ms for a page: of the processor, as the machine may have other work to do, with the
asking; the median of the wall clock stands beside it. Exit code 1 if a page misses it. The report is a document, which
is drawn anew and one at a time, and has no such limit.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import httpx

from medfl import simulate
from medfl.events import Evaluated, RunFinished, RunPlanned
from medfl.hub.pages.application import OPEN, application
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.people.rooms import people_rooms
from medfl.hub.pages.shelf import Everything
from medfl.hub.people.audit import TERMINAL
from medfl.hub.people.consortium import People
from medfl.hub.people.entrance import COOKIE
from medfl.hub.people.permits import Role
from medfl.hub.place import HubPlace
from medfl.spec.reading import parse
from medfl.store.home import Home
from medfl.testing.hub import invited, made
from medfl.testing.pages import STUDY, Carriers, looked, serving
from medfl.testing.people import cheap
from medfl.testing.wall import EXECUTION, RUN, beginning, names, one_round

RUNS, PEOPLE, SITES, DRAFTS = 1000, 20, 20, 50
LONG, WIDE = 200, 50
"""Rounds and sites of the largest run."""
TIMES = 20
DOCUMENT = "/report.html"
LIMIT = 0.1


def main() -> int:
    """Fill, serve, ask, print."""
    with tempfile.TemporaryDirectory() as folder:
        hub = made(Path(folder) / "hub")
        with Home(hub.folder) as home:
            execution = filled(home)
            with served(hub, home) as client:
                return asked(client, paths(client, execution))


def filled(home: Home) -> str:
    """Store a study, copies of its events under other names, and a large run; return the study's execution."""
    first = simulate(parse(STUDY, source="study.toml"), home=home.folder, progress=False)
    events = [recorded.event for recorded in home.journal.read()]
    runs = sum(isinstance(event, RunPlanned) for event in events)
    for number in range(RUNS // runs):
        other = f"{number:08x}"
        copies = [replace(event, run=event.run.replace(first.execution, other)) for event in events]
        home.journal.append([replace(one, execution=other) if isinstance(one, RunPlanned) else one for one in copies])
    home.journal.append(beginning(WIDE, LONG))
    home.journal.append([event for number in range(1, LONG + 1) for some in one_round(number, WIDE) for event in some])
    home.journal.append([_judged()])
    home.journal.append([RunFinished(run=RUN, rounds=LONG, model="0" * 64, seconds=600.0)])
    print(f"{len(home.journal.runs())} runs, {len(events) * (RUNS // runs + 1)} events and {LONG} x {WIDE} answers")
    return first.execution


def _judged() -> Evaluated:
    """Return how the large run's last model was judged."""
    values = {"auc": 0.9, "accuracy": 0.85, "sensitivity": 0.8, "specificity": 0.88}
    sites = {
        site: {name: value - place / 500 for name, value in values.items()} for place, site in enumerate(names(WIDE))
    }
    return Evaluated(run=RUN, round=LONG, pooled=values, sites=sites, final=True)


@contextmanager
def served(hub: HubPlace, home: Home) -> Iterator[httpx.Client]:
    """Serve a hub's pages with people, sites and drafts; give who asks as somebody with every role."""
    for number in range(SITES):
        invited(hub, f"Hospital {number}")
    people = People.at(hub.folder, name=hub.about.name, hashes=cheap())
    for number in range(PEOPLE):
        people.accounts.add(f"person-{number}", f"Person {number}", list(Role), (), by=TERMINAL)
    secret = people.sessions.begin("person-0", address="127.0.0.1", agent="bench")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base = f"127.0.0.1:{listener.getsockname()[1]}"
        access, guard = people.before(hosts=[base], runs=Everything(home), open_to_all=OPEN)
        bench = Bench(home, looked, looked, Carriers(home), home.is_busy, hub)
        app = application(bench, access, guard, people_rooms(people, tuple))
        # Not over TLS, which is not what is measured; and so the cookie is set by hand.
        with (
            serving(app, listener),
            httpx.Client(
                base_url=f"http://{base}", trust_env=False, timeout=60, headers={"Cookie": f"{COOKIE}={secret}"}
            ) as client,
        ):
            token = client.get("/account").text.partition('name="csrf" value="')[2].partition('"')[0]
            for _ in range(DRAFTS):
                assert client.post("/drafts", data={"csrf": token, "text": STUDY}).status_code == 303
            yield client


def paths(client: httpx.Client, execution: str) -> list[str]:
    """Return the addresses of all pages and their twins."""
    draft = client.get("/api/home").json()["drafts"][0]["name"]
    twins = ["/sites", "/people", "/audit", "/queue", "/account", f"/drafts/{draft}"]
    twins += [f"/studies/{execution}/{page}" for page in ("watch", "events", "results", "code", "launch")]
    twins += [f"/studies/{EXECUTION}/{page}" for page in ("watch", "events", "results", "code")]
    alone = ["/new", f"/drafts/{draft}/share", f"/studies/{execution}/share", f"/studies/{execution}/report.html"]
    return [base + path for path in ["/home", *twins] for base in ("", "/api") if base + path != "/home"] + [
        "/",
        *alone,
    ]


def asked(client: httpx.Client, every: list[str]) -> int:
    """Ask for each page and print how long it took; return the exit code."""
    slow = 0
    for path in every:
        used = process_time()
        took = [_timed(client, path) for _ in range(TIMES)]
        each = (process_time() - used) / TIMES
        told = f"median {median(took) * 1e3:6.1f} ms, first {took[0] * 1e3:6.1f} ms"
        late = each > LIMIT and not path.endswith(DOCUMENT)
        print(f"{path:44} {told}, of the processor {each * 1e3:6.1f} ms{'   TOO LONG' if late else ''}")
        slow += late
    return int(slow > 0)


def _timed(client: httpx.Client, path: str) -> float:
    began = perf_counter()
    answer = client.get(path)
    answer.raise_for_status()
    return perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
