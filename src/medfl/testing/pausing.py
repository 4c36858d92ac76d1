"""Named moments in the processes of a federation at which a test can hold one, or change what it sends: for tests.

Nothing of it is in the installed program's way. A test puts a folder with :data:`STARTUP` on the path of the processes
that it starts, and names a socket in their environment; then the functions below are wrapped as they are imported. At
each moment the process tells the socket where it is, and goes on as soon as it is told to.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import MappingProxyType, ModuleType
from typing import Any

SOCKET = "MEDFL_TESTING_MOMENTS"
"""Names the variable that says where the test listens."""
STARTUP = "import medfl.testing.pausing as pausing\n\npausing.install()\n"
"""What a file called ``sitecustomize.py`` holds, which Python runs before anything else."""


def install() -> None:
    """Wrap the functions below from now on, where a test listens."""
    if os.environ.get(SOCKET):
        sys.meta_path.insert(0, _Finder())


def reach(moment: str, **about: object) -> str:
    """Tell the test where this process is, and return what it says, once it lets it go on."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(os.environ[SOCKET])
            line.sendall(json.dumps({"moment": moment, "pid": os.getpid(), **about}).encode() + b"\n")
            return line.makefile().readline().strip()
    except OSError:
        return ""


def _site(module: ModuleType) -> None:
    """Before a site works on a request, and when it has, but nothing of it has left or been kept for sending."""
    answer = module.Site.answer

    @wraps(answer)
    def held(site: Any, request: Any) -> Any:
        about = {"run": request.run, "site": site.name, "task": request.task, "round": request.round}
        reach("begun", **about)
        reply = answer(site, request)
        reach("worked", **about)
        return reply

    module.Site.answer = held


def _node(module: Any) -> None:
    """When a call has brought a site's answer, or a part of it, to the SuperLink; once more when all of it is there."""
    line, opened = module.NodeLine, module.opened
    send, exchanged = line.send, line._exchanged
    sending: dict[str, Any] = {}

    @wraps(send)
    def sent(line: Any, message: Any, body: bytes) -> Any:
        sending.update(_about(body))
        found = send(line, message, body)
        if reach("sent", **sending) == "twice":
            again = send(line, message, body)
            return found or again
        return found

    @wraps(exchanged)
    def brought(line: Any, asked: Any, contents: Any) -> Any:
        said = exchanged(line, asked, contents)
        if asked.messages_list:
            reach("announced", **sending)
        return said

    @wraps(opened)
    def fetched(*words: Any) -> bytes:
        body = opened(*words)
        return _bent(body, reach("fetched", **_about(body)))

    line.send, line._exchanged, module.opened = sent, brought, fetched


def _channel(module: ModuleType) -> None:
    """When an answer has come to the hub."""
    pull = module.Channel.pull

    @wraps(pull)
    def pulled(channel: Any, ids: Any, **more: Any) -> Any:
        found = pull(channel, ids, **more)
        return [(name, _bent(body, reach("pulled", **_about(body))) if body else body) for name, body in found]

    module.Channel.pull = pulled


def _engine(module: ModuleType) -> None:
    """Before the hub sends its requests, and when all their answers are there."""
    exchange = module.LineEngine.exchange

    @wraps(exchange)
    def exchanged(engine: Any, requests: Any, *, timeout: float | None = None) -> Iterator[Any]:
        asked = list(requests)
        about = {"run": asked[0].run, "task": asked[0].task, "round": asked[0].round} if asked else {}
        reach("asking", **about)
        yield from exchange(engine, asked, timeout=timeout)
        reach("gathered", **about)

    module.LineEngine.exchange = exchanged


def _loop(module: Any) -> None:
    """Before a round's sum becomes a model."""
    follow = module._next

    @wraps(follow)
    def following(*words: Any, number: int) -> Any:
        reach("aggregating", round=number)
        return follow(*words, number=number)

    module._next = following


def _scribe(module: ModuleType) -> None:
    """When a round's model is stored and the journal does not know it yet, and when it does."""
    on = module.Scribe.on

    @wraps(on)
    def told(scribe: Any, event: Any) -> None:
        finished = type(event).__name__ == "RoundFinished"
        if finished:
            reach("stored", run=event.run, round=event.round)
        on(scribe, event)
        if finished:
            reach("finished", run=event.run, round=event.round)

    module.Scribe.on = told


_WRAPPED: MappingProxyType[str, Callable[[ModuleType], None]] = MappingProxyType(
    {
        "medfl.site.answer": _site,
        "medfl.run.flower.node": _node,
        "medfl.run.flower.coordinator": _channel,
        "medfl.run.flower.engine": _engine,
        "medfl.run.loop": _loop,
        "medfl.scribe": _scribe,
    }
)


class _Finder(MetaPathFinder):
    """Finds the modules whose functions are wrapped, and wraps them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        wrap = _WRAPPED.get(fullname)
        spec = None if wrap is None else PathFinder.find_spec(fullname, path)
        if wrap is not None and spec is not None and spec.loader is not None:
            spec.loader = _Wrapping(spec.loader, wrap)
        return spec


class _Wrapping(Loader):
    def __init__(self, loader: Loader, wrap: Callable[[ModuleType], None]) -> None:
        self._loader, self._wrap = loader, wrap

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._wrap(module)


def _about(body: bytes) -> dict[str, Any]:
    """Return what a message is about; nothing where it is none."""
    from medfl.errors import WireError
    from medfl.messages import from_bytes

    try:
        message = from_bytes(body)
    except WireError:
        return {}
    words = message.id if hasattr(message, "id") else message.request
    run, round, task, site = f"{words}///".split("/")[:4]
    return {"run": run, "round": int(round or 0), "task": task, "site": site}


def _bent(body: bytes, said: str) -> bytes:
    """Return the bytes with one bit of their head turned over, where the test says so."""
    if said != "bend":
        return body
    place = min(40, len(body) - 1)
    return body[:place] + bytes([body[place] ^ 0x80]) + body[place + 1 :]
