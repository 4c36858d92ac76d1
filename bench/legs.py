"""The legs of one request and its answer over a hub, each timed: driven here instead of by a run and an agent."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from medfl.enrolment import address
from medfl.hub.bell import ring
from medfl.hub.place import HubPlace
from medfl.over_hub import keys_of, link_of
from medfl.private import write_private
from medfl.run.flower.coordinator import Channel, register
from medfl.run.flower.node import Address, NodeLine, key_of
from medfl.run.flower.postbox import Postbox
from medfl.run.flower.signing import Signing
from medfl.site.enrolled import SiteHome
from medfl.site.woken import Woken


def legs(hub: HubPlace, home: SiteHome, *, size: int, times: int) -> dict[str, float]:
    """Return the median seconds of each leg of requests and answers of so many bytes."""
    site, enrolment = home.folder.name, home.enrolled()
    root = home.folder / "hub.crt"
    write_private(root, enrolment.trust.encode())
    home.node()
    where = Address(address(enrolment.way, enrolment.port), root, home.node_key)
    link, box, spent = link_of(hub), Postbox(home.folder / "postbox"), _Spent()
    node = register(link, {site: keys_of(hub)[site]})[site]
    channel = Channel(link)
    with Woken(home) as calls, NodeLine(where, box, Signing(key_of(where))) as line:
        while not calls.up:
            calls.wait(0.1)
        for _ in range(times):
            request, answer = os.urandom(size), os.urandom(size)
            calls.wait(0.0)
            with spent("push (run's process)"):
                channel.push([(request, node)])
            with spent("wake (hub to site)"):
                ring(hub.folder, site)
                calls.wait(5.0)
            with spent("pull (site)"):
                came = line.fetch()
            if came is None:
                raise SystemExit("the request never came")
            with spent("keep and confirm (site)"):
                box.take(*came)
                line.confirm(came[0])
            with spent("keep the answer (site)"):
                box.answer(came[0], answer, remember=came[1])
            with spent("reply (site)"):
                line.send(came[0], answer)
            box.sent(came[0])
            with spent("collect (run's process)"):
                found = channel.pull([came[0].metadata.message_id], patience=1.0)
            if [body for _, body in found] != [answer]:
                raise SystemExit("another answer came")
    channel.close()
    return {name: statistics.median(took) for name, took in spent.took.items()}


class _Spent:
    def __init__(self) -> None:
        self.took: dict[str, list[float]] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.took.setdefault(name, []).append(time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit("this is for bench/round.py")
