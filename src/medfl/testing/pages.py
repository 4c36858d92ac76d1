"""The hub's pages over a store, served for real, and a visitor who was let in."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import httpx
import uvicorn
from starlette.types import ASGIApp

from medfl.announced import Announced
from medfl.hub.pages.bench import Told
from medfl.loopback import Sessions
from medfl.spec.checks import check
from medfl.spec.study import Study
from medfl.store.home import Home

STUDY = """
[study]
name = "tumours"
question = "Is it <malignant> & so on?"

[data]
target = "diagnosis"
positive = "malignant"

[data.simulate]
bundled = "breast-cancer"
sites = 3

[algorithm]
kind = "fedavg"
rounds = 2

[evaluation]
baselines = ["centralised", "local-only"]
"""


@dataclass
class Carriers:
    """Writes down what it is asked; nothing runs."""

    home: Home
    asked: list[str] = field(default_factory=list)

    def launch(self, study: Study, *, by: str = "", not_before: float = 0.0) -> str:
        """Write down that a study was to be launched."""
        self.asked.append(f"launch {study.study.name}")
        return "12345678"

    def stop(self, execution: str) -> None:
        """Write down that an execution was to stop."""
        self.asked.append(f"stop {execution}")

    def go_on(self, execution: str) -> None:
        """Write down that an execution was to go on."""
        self.asked.append(f"go on {execution}")


def looked(study: Study) -> Sequence[Told]:
    """Say what a study asks, or what is wrong with it."""
    check(study)
    return [Told("What is asked", (study.study.question,))]


@dataclass
class Visitor:
    """A browser that was let in, and what it sees."""

    client: httpx.Client
    sessions: Sessions
    carries: Carriers
    execution: str

    @property
    def token(self) -> str:
        """The session's token, as a page has it."""
        page = self.client.get("/new").text
        return page.partition('name="csrf" value="')[2].partition('"')[0]


@contextmanager
def serving(app: ASGIApp, listener: socket.socket, *, tls: tuple[Path, Path] | None = None) -> Iterator[None]:
    """Serve an application on a socket that listens, over TLS where there is a certificate and its key, until left."""
    ready = Event()

    certificate, key = tls or (None, None)
    config = uvicorn.Config(
        app,
        log_config=None,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    server = Announced(config)
    server.ready = ready.set
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    assert ready.wait(30), "the pages are not served"
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(30)
