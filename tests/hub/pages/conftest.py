"""Pages over a store with one small study, seen by somebody who was let in."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from medfl import simulate
from medfl.hub.pages.application import OPEN, application
from medfl.hub.pages.bench import Bench
from medfl.hub.people.alone import alone
from medfl.loopback import Sessions
from medfl.spec.reading import parse
from medfl.store.home import Home
from medfl.testing.pages import STUDY, Carriers, Visitor, looked, serving


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, str]]:
    folder: Path = tmp_path_factory.mktemp("pages")
    results = simulate(parse(STUDY, source="study.toml"), home=folder, progress=False)
    with Home(folder) as place:
        yield place, results.execution


@pytest.fixture(scope="package")
def served(home: tuple[Home, str]) -> Iterator[tuple[Sessions, Carriers, int]]:
    place, _ = home
    sessions, carries = Sessions(), Carriers(place)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
        bench = Bench(place, looked, looked, carries, place.is_busy)
        with serving(application(bench, *alone(sessions, port=port, open_to_all=OPEN)), listener):
            yield sessions, carries, port


@pytest.fixture
def visitor(home: tuple[Home, str], served: tuple[Sessions, Carriers, int]) -> Iterator[Visitor]:
    sessions, carries, port = served
    carries.asked.clear()
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", follow_redirects=True, trust_env=False, timeout=60
    ) as client:
        client.get(sessions.link())
        yield Visitor(client, sessions, carries, home[1])
