"""Ray as the hub sees it: workers that are asked by number, behind a process that speaks to Ray.

Ray changes the environment, the signals and the output of the process that speaks to it, and starts servers below it.
So that is a process of its own: what it prints goes to a file, what it is told is listed here, and it ends, with all
that it started, when its standard input is closed, however the hub ended.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory, gettempdir
from threading import Thread
from typing import IO, Any, Self, TypeAlias

from medfl.errors import EngineError, PlanError, WireError
from medfl.messages import read_frame, write_frame
from medfl.run.processes import ONE_THREAD

DRIVER = "medfl.run.ray.driver"
NEAR = 5.0
"""Seconds in which the address of a cluster must be heard of; Ray itself would try for minutes."""
ENDING = 20.0
"""Seconds that Ray has for its end."""
ROOM = 20
"""Bytes that the path of the temporary folder may have: Ray's sockets lie deep in it, and theirs may have 103."""
TOLD = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
"""What of the hub's environment Ray's processes get; no password that lies in it by chance is among it."""
TOLD_TOO = ("LC_", "PYTHON", "MEDFL_", "CUDA_")
"""Beginnings of further names that they get."""
QUIET: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a request.

    Parameters
    ----------
    ticket
        The number that it was asked under.
    body
        The answer; None where the worker was lost.
    """

    ticket: int
    body: bytes | None


class Cluster:
    """Workers of a Ray started here, or of one that runs elsewhere; ended, or left, on closing.

    Where Ray's own processes are killed it is started, or connected to, again by whatever is asked next. One thread
    at a time may use it.

    Parameters
    ----------
    address
        ``HOST:PORT`` of a running cluster; None to start Ray on this machine.
    wanted
        How many workers, at most; on this machine one a core where None.

    Raises
    ------
    PlanError
        If no cluster can be used at the address.
    EngineError
        If Ray cannot be started.
    """

    def __init__(self, *, address: str | None = None, wanted: int | None = None) -> None:
        self._address, self._wanted = address, wanted or os.cpu_count() or 1
        self._openings: dict[str, tuple[str, bytes]] = {}
        self._tickets = count()
        self._news: _News = SimpleQueue()
        self._driver = self._started()

    @property
    def workers(self) -> int:
        """How many workers there are."""
        return self._driver.workers

    def open(self, module: str, opening: bytes) -> str:
        """Take down what workers need to open some sites; return the key to ask for them with.

        Parameters
        ----------
        module
            The module whose function ``answering`` makes the answering function of an opening.
        opening
            What that function is told.
        """
        key = str(len(self._openings))
        self._openings[key] = (module, opening)
        self._driver.order({"do": "open", "key": key, "module": module}, opening)
        return key

    def ask(self, key: str, worker: int, body: bytes) -> int:
        """Send a request to a worker and return the ticket under which its answer is heard."""
        if self._driver.ended:
            self._driver.end()
            self._driver = self._started()
        ticket = next(self._tickets)
        self._driver.flying.add(ticket)
        self._driver.order({"do": "ask", "key": key, "worker": worker, "ticket": ticket}, body)
        return ticket

    def hear(self, timeout: float | None) -> Heard | None:
        """Return what is heard next; None where nothing is within so many seconds."""
        try:
            news = self._news.get(timeout=timeout)
        except Empty:
            return None
        if isinstance(news, Heard):
            return news
        for ticket in news.flying:
            self._news.put(Heard(ticket, None))
        news.flying.clear()
        return self.hear(timeout)

    def drop(self, key: str, worker: int) -> None:
        """End a worker, whatever it is doing; it is started anew when it is asked again."""
        self._driver.order({"do": "drop", "key": key, "worker": worker}, b"")

    def close(self) -> None:
        """End what was started."""
        self._driver.end()

    def _started(self) -> _Driver:
        if self._address not in (None, "auto"):
            _require_there(str(self._address))
        driver = _Driver(self._address, self._wanted, self._news)
        for key, (module, opening) in self._openings.items():
            driver.order({"do": "open", "key": key, "module": module}, opening)
        return driver

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Driver:
    """The process that speaks to Ray, and the folder that it uses."""

    def __init__(self, address: str | None, wanted: int, news: _News) -> None:
        self.flying: set[int] = set()
        self._reader: Thread | None = None
        with ExitStack() as stack:
            folder = Path(
                stack.enter_context(TemporaryDirectory(prefix="medfl-ray-", dir=_place(), ignore_cleanup_errors=True))
            )
            log = stack.enter_context((folder / "driver.log").open("wb"))
            # A session of its own: Ctrl-C is for the hub, which then ends it in order.
            self._process = subprocess.Popen(  # noqa: S603 - the command is this package's own
                (sys.executable, "-m", DRIVER),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(address),
                start_new_session=True,
            )
            stack.callback(self._stop)
            words = {"address": address, "wanted": wanted, "folder": str(folder)}
            self.order(words)
            self.workers = self._counted(address)
            self._reader = Thread(target=self._read, args=(news,), daemon=True)
            self._reader.start()
            self._stack = stack.pop_all()

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._reader is None or not self._reader.is_alive()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def order(self, words: Mapping[str, Any], body: bytes | None = None) -> None:
        """Send an order; a process that is gone is noticed where its news end."""
        if (pipe := self._process.stdin) is not None:
            with suppress(OSError):
                write_frame(pipe, json.dumps(words).encode())
                if body is not None:
                    write_frame(pipe, body)

    def end(self) -> None:
        """Close the pipe, which ends Ray, and make sure."""
        self._stack.close()

    def _stop(self) -> None:
        if (pipe := self._process.stdin) is not None:
            with suppress(OSError):
                pipe.close()
        try:
            self._process.wait(timeout=ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._reader is not None:
            self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _counted(self, address: str | None) -> int:
        """Return how many workers there are, as soon as they are there."""
        first = _frame(self._process.stdout)
        told = {"failed": "its process ended"} if first is None else json.loads(first)
        if "failed" not in told:
            return int(told["workers"])
        if address is None:
            raise EngineError(
                "Ray could not be started on this machine",
                where="engine ray",
                received=told["failed"],
                remedy='free some memory and disk, or use engine "processes"',
            )
        raise PlanError(
            "the Ray cluster cannot be used",
            where=f"--address {address}",
            received=told["failed"],
            remedy="run this on one of its machines, with RAY_AUTH_MODE and the token as they were when it was "
            "started; give all the same versions of Python, Ray and MEDfl; see with `ray status` what is free",
        )

    def _read(self, news: _News) -> None:
        while (head := _frame(self._process.stdout)) is not None:
            body = _frame(self._process.stdout)
            if body is None:
                break
            words = json.loads(head)
            self.flying.discard(words["ticket"])
            news.put(Heard(words["ticket"], None if words["lost"] else body))
        news.put(self)


_News: TypeAlias = "SimpleQueue[Heard | _Driver]"


def _frame(pipe: IO[bytes] | None) -> bytes | None:
    """Return the next frame; None where the process is gone, in whatever way."""
    with suppress(OSError, WireError):
        return None if pipe is None else read_frame(pipe)
    return None


def environment(address: str | None) -> dict[str, str]:
    """Return what Ray's processes are told of the world.

    Ray runs whatever it is sent by whoever reaches its ports and knows its token. One that is started here gets a token
    of its own, which nobody else on the machine can read.
    """
    cluster = ("RAY_",) if address is not None else ()
    told = {name: word for name, word in os.environ.items() if name in TOLD or name.startswith((*TOLD_TOO, *cluster))}
    own = {} if address is not None else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return told | ONE_THREAD | dict(QUIET) | own


def _place() -> str | None:
    """Return where Ray's folder goes: the system's temporary folder, unless its path is too long for sockets."""
    return "/tmp" if len(os.fsencode(gettempdir())) > ROOM else None  # noqa: S108 - a folder of our own is made in it


def _require_there(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=NEAR):
            return
    except (OSError, ValueError, OverflowError) as error:
        raise PlanError(
            "no Ray cluster answers at this address",
            where=f"--address {address}",
            received=getattr(error, "strerror", None) or type(error).__name__,
            remedy="give HOST:PORT as `ray start --head` printed it (no ray://), or leave --address out to start "
            "Ray on this machine",
        ) from error
