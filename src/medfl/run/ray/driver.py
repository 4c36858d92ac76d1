"""The process that speaks to Ray for the hub: requests on standard input, answers on standard output.

All that is decided (who is asked what, whether again, how long it may take) is decided in the hub. Ray is handed bytes,
which it moves as they are.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, BinaryIO, TypeAlias

import ray
from ray.exceptions import RayError, RayTaskError

from medfl.errors import EngineError, WireError
from medfl.messages import read_frame, write_frame
from medfl.run.processes import ONE_THREAD
from medfl.run.ray.hosting import Host

START = 60.0
"""Seconds in which Ray must have started a worker; those that it has not started then are done without."""
QUIET = 40
"""The level of Ray's own log in this process: errors only."""
_FAULTS = (RayError, ConnectionError, RuntimeError, ValueError, TimeoutError, OSError, EngineError)
Actor: TypeAlias = Any
Slot: TypeAlias = tuple[str, int]
"""Whose sites (the key of an opening), and which of its workers."""


def serve(orders: BinaryIO, news: BinaryIO) -> None:
    """Read what is wanted, say what there is, and carry messages until the pipe is closed."""
    first = read_frame(orders)
    if first is None:
        return
    words = json.loads(first)
    with ExitStack() as stack:
        # A hub that was killed removes nothing any more.
        stack.callback(shutil.rmtree, words["folder"], ignore_errors=True)
        try:
            stack.enter_context(connected(words))
            actors = started(int(words["wanted"]))
        except _FAULTS as error:
            write_frame(news, json.dumps({"failed": f"{type(error).__name__}: {error}"[:600]}).encode())
            return
        write_frame(news, json.dumps({"workers": len(actors)}).encode())
        Carrier(actors, news).carry(orders)


@contextmanager
def connected(words: Mapping[str, Any]) -> Iterator[None]:
    """Start Ray on this machine, or take part in the cluster at an address; leave nothing of it behind."""
    quiet = {"log_to_driver": False, "configure_logging": False, "logging_level": QUIET}
    if words["address"] is None:
        here = {"num_cpus": words["wanted"], "include_dashboard": False, "_temp_dir": words["folder"]}
        ray.init(address="local", **here, **quiet)
    else:
        # Workers of a cluster have the environment that its machines were given: of ours they get the one thread.
        ray.init(address=words["address"], runtime_env={"env_vars": ONE_THREAD}, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


def started(wanted: int) -> list[Actor]:
    """Start a worker for each free processor, as many as are wanted, and return those that are there in time.

    Raises
    ------
    EngineError
        If there is none, or one has another version of MEDfl.
    """
    free = int(ray.available_resources().get("CPU", 0))
    actors = [actor(processors=1) for _ in range(min(wanted, free))]
    asked = {one.version.remote(): one for one in actors}
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=START) if asked else ([], [])
    for one in late:
        ray.kill(asked[one])
    if not ready:
        raise EngineError(f"no processor is free: {free} of those of the cluster are, and no worker started on them")
    found, own = set(ray.get(ready)), Host().version()
    if found != {own}:
        raise EngineError(f"a worker has MEDfl {', '.join(sorted(found - {own}))}, and this is {own}")
    return [asked[one] for one in ready]


def actor(*, processors: int) -> Actor:
    """Have Ray start a worker; it is never started again by Ray, which does not know what must be asked again."""
    how = {"num_cpus": processors, "max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
    return ray.remote(Host).options(**how).remote()


@dataclass(frozen=True, slots=True)
class Order:
    """What the hub wants: to open sites, to ask, or to be rid of a worker."""

    words: Mapping[str, Any]
    body: bytes

    @property
    def slot(self) -> Slot:
        """The worker that it is for."""
        return self.words["key"], self.words["worker"]


@dataclass(frozen=True, slots=True)
class Opened:
    """A worker that was started for a request and knows its sites now, or did not come to life."""

    order: Order
    actor: Actor
    until: float
    future: Future[None]


@dataclass(frozen=True, slots=True)
class Done:
    """A request that was answered, or whose worker is lost."""

    ticket: int
    slot: Slot
    actor: Actor
    future: Future[bytes]


class Carrier:
    """Carries requests to actors and answers to the hub.

    Parameters
    ----------
    fresh
        Workers that are started and have no sites yet.
    news
        The pipe to the hub.
    """

    def __init__(self, fresh: Sequence[Actor], news: BinaryIO) -> None:
        self._fresh, self._news = list(fresh), news
        self._openings: dict[str, tuple[str, bytes]] = {}
        self._actors: dict[Slot, Actor] = {}
        self._queue: SimpleQueue[Order | Opened | Done | None] = SimpleQueue()

    def carry(self, orders: BinaryIO) -> None:
        """Do what the hub orders until it closes the pipe."""
        Thread(target=self._read, args=(orders,), daemon=True).start()
        while (event := self._queue.get()) is not None:
            if isinstance(event, Done):
                self._tell(event)
            elif isinstance(event, Opened):
                self._go_on(event)
            elif event.words["do"] == "open":
                self._openings[event.words["key"]] = (event.words["module"], event.body)
            elif event.words["do"] == "ask":
                self._ask(event)
            else:
                self._drop(event.slot)
        for slot in list(self._actors):
            self._drop(slot)

    def _read(self, orders: BinaryIO) -> None:
        try:
            with suppress(OSError, WireError):
                while (head := read_frame(orders)) is not None:
                    self._queue.put(Order(json.loads(head), read_frame(orders) or b""))
        finally:
            self._queue.put(None)

    def _ask(self, order: Order) -> None:
        if order.slot in self._actors:
            self._send(order)
        else:
            self._open(order, monotonic() + START)

    def _send(self, order: Order) -> None:
        slot, asked = order.slot, self._actors[order.slot]

        def done(future: Future[bytes]) -> None:
            self._queue.put(Done(order.words["ticket"], slot, asked, future))

        asked.answer.remote(order.body).future().add_done_callback(done)

    def _open(self, order: Order, until: float) -> None:
        """Start a worker and tell it its sites; where a machine was lost, its processors are, so it asks for none."""
        found = self._fresh.pop(0) if self._fresh else actor(processors=0)
        self._actors[order.slot] = found

        def opened(future: Future[None]) -> None:
            self._queue.put(Opened(order, found, until, future))

        found.open.remote(*self._openings[order.words["key"]]).future().add_done_callback(opened)

    def _go_on(self, opened: Opened) -> None:
        """Ask a worker that is there now. One that is not may have been sent to a machine that is gone: try again."""
        order, error = opened.order, opened.future.exception()
        if self._actors.get(order.slot) is not opened.actor:
            return
        if error is None:
            self._send(order)
            return
        self._drop(order.slot)
        if monotonic() < opened.until and not isinstance(error, RayTaskError):
            self._open(order, opened.until)
        else:
            self._write({"ticket": order.words["ticket"], "lost": type(error).__name__}, b"")

    def _tell(self, done: Done) -> None:
        error = done.future.exception()
        if error is None:
            self._write({"ticket": done.ticket, "lost": None}, done.future.result())
            return
        if self._actors.get(done.slot) is done.actor:
            self._drop(done.slot)
        self._write({"ticket": done.ticket, "lost": type(error).__name__}, b"")

    def _drop(self, slot: Slot) -> None:
        if (dropped := self._actors.pop(slot, None)) is not None:
            ray.kill(dropped)

    def _write(self, words: Mapping[str, Any], body: bytes) -> None:
        write_frame(self._news, json.dumps(words).encode())
        write_frame(self._news, body)


def main() -> None:
    """Keep whatever else prints off the pipe: it goes to standard error, which the hub has turned into a file."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with suppress(BrokenPipeError):
        serve(sys.stdin.buffer, pipe)


if __name__ == "__main__":
    main()
