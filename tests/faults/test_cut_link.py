"""A link that is cut again and again while a large model goes over it: what had arrived is not sent again."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread

import numpy as np
import pytest

from medfl.hub.fleet import Fleet
from medfl.hub.place import HubPlace
from medfl.messages import Reply
from medfl.over_hub import keys_of, reached
from medfl.private import write_private
from medfl.run.flower.superlink import Certificates, SuperLink
from medfl.site.enrolled import SiteHome
from medfl.testing.engine_contract import asked
from medfl.testing.hub import LOOPBACK, enrolled, made, served

MEGA = 10**6
MODEL, CUT = 24 * MEGA, 10 * MEGA
"""Bytes of the model, each way, and bytes after which every connection is cut."""


PROBE = """
import json, sys
from medfl.run.flower.orphans import end_with
from medfl.run.flower.rehearsal import serve_as_told
from medfl.testing.probe import probe

end_with(sys.stdin.buffer)
serve_as_told(json.loads(sys.argv[1]), probe)
"""


@dataclass
class Cutting:
    """A road to a port of this machine on which each connection is cut after so many bytes."""

    to: int
    carried: int = 0
    cuts: int = 0
    lock: Lock = field(default_factory=Lock)
    threads: list[Thread] = field(default_factory=list)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Carry for as long as the context lasts; yields the port."""
        with socket.create_server((LOOPBACK, 0)) as listener:
            self._start(self._accept, listener)
            try:
                yield int(listener.getsockname()[1])
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                for thread in self.threads:
                    thread.join()

    def _start(self, work: Callable[..., None], *about: object) -> Thread:
        thread = Thread(target=work, args=about)
        self.threads.append(thread)
        thread.start()
        return thread

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                here, _ = listener.accept()
                self._start(self._connected, here)

    def _connected(self, here: socket.socket) -> None:
        left = [CUT]
        with here, socket.create_connection((LOOPBACK, self.to)) as there:
            back = Thread(target=self._carry, args=(there, here, left))
            back.start()
            self._carry(here, there, left)
            back.join()

    def _carry(self, source: socket.socket, sink: socket.socket, left: list[int]) -> None:
        with suppress(OSError):
            while left[0] > 0 and (body := source.recv(65536)):
                sink.sendall(body)
                with self.lock:
                    self.carried += len(body)
                    left[0] -= len(body)
                    self.cuts += left[0] <= 0 < left[0] + len(body)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def answering(home: SiteHome, port: int) -> Iterator[None]:
    """Answer for a site that reaches its hub by this port, in a process of its own."""
    root = home.folder / "hub.crt"
    write_private(root, home.enrolled().trust.encode())
    home.node()
    where = {"address": f"{LOOPBACK}:{port}", "root": str(root), "key": str(home.node_key)}
    words = json.dumps({"flower": where | {"postbox": str(home.folder / "postbox")}})
    with subprocess.Popen((sys.executable, "-c", PROBE, words), stdin=subprocess.PIPE) as process:
        try:
            yield
        finally:
            process.terminate()


@pytest.mark.slow
def test_a_large_model_gets_through_a_link_that_is_cut_every_few_megabytes(tmp_path: Path) -> None:
    hub: HubPlace = made(tmp_path / "hub")
    hub.renew()
    with ExitStack() as stack:
        link = stack.enter_context(SuperLink(hub.superlink, Certificates(hub.authority_file, *hub.loopback)))
        fleet = Fleet(link.address, hub.authority_file, lambda: keys_of(hub))
        stack.enter_context(served(hub, fleet=fleet))
        home = enrolled(hub, tmp_path, "east")["east"]
        link.wait()
        engine = stack.enter_context(reached(hub.folder, ("east",)))
        road = Cutting(hub.about.port)
        port = stack.enter_context(road.opened())
        stack.enter_context(answering(home, port))
        arrays = {"weights": np.random.default_rng(1).normal(size=MODEL // 4).astype(np.float32)}
        (reply,) = engine.exchange(asked(["east"], arrays=arrays), timeout=200)
    assert isinstance(reply, Reply), reply
    assert reply.arrays["weights"].tobytes() == arrays["weights"].tobytes()
    given = list((tmp_path / "east" / "postbox" / "given").iterdir())
    assert len(given) == 1, "it was asked for once"
    assert road.cuts >= 2 * MODEL // CUT - 1, "the link was cut in the middle, both ways"
    assert road.carried < 1.6 * 2 * MODEL, "and what had arrived was not sent again"
