"""The one process in which an agent's site works, as the agent sees it.

It stays warm between requests, may take so much of the machine and no more, is started again whenever it dies, and
ends with the agent. A request whose worker dies is given to a new one: all that a site must find again (its memory,
its ledger, its log) is on the disk before an answer leaves, so the answer is the same and no budget is spent twice.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Event, Lock, Thread, Timer
from typing import Any, Self

from medfl.errors import EngineError, MedflError, OutOfMemoryError, WireError
from medfl.messages import Refusal, Reply, Request, from_bytes, read_frame, to_bytes, write_frame
from medfl.site.limits import ONE_THREAD, Limits, beyond, used

log = logging.getLogger("medfl.site")
WORKER = (sys.executable, "-m", "medfl.site.agent_worker")
DESCRIBE = b"what are the data sets like?"
"""Asks a worker for the catalogue; no request begins so."""
TRIES = 3
"""How many workers may die of one request."""
POLL = 0.05
"""Seconds between two looks at a worker that works."""
QUIET = 600.0
"""Seconds without a request after which the worker is ended, so that its memory is the hospital's again."""
NEAR = 0.9
"""Share of the memory that it may use from which on a worker that dies has died of that."""


class Workshop:
    """A worker, whichever it is at the moment.

    Parameters
    ----------
    words
        What it is told as it starts, besides its limits.
    limits
        What it may take.
    go_on
        Raises what stands against it, where work must end at once: the site was paused.
    tell
        Is told when a worker was lost.
    command
        What starts it.
    """

    def __init__(
        self,
        words: Mapping[str, Any],
        limits: Limits,
        *,
        go_on: Callable[[], None] = lambda: None,
        tell: Callable[[str], None] = lambda text: None,
        command: Sequence[str] = WORKER,
    ) -> None:
        # Names this agent, so that the hub can tell when another one has taken its place; no result depends on it.
        self._words, self._sitting, self._lost = {**words, "limits": limits.to_json()}, secrets.token_hex(4), 0
        self._limits, self._go_on, self._tell, self._command = limits, go_on, tell, tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._lock, self._retiring = Lock(), Timer(QUIET, self._retire)

    @property
    def pid(self) -> int | None:
        """The id of the process, where there is one now."""
        process = self._process
        return None if process is None else process.pid

    def answer(self, request: Request) -> Reply | Refusal:
        """Have a request answered.

        Raises
        ------
        OutOfMemoryError
            If that takes more memory than the worker may use.
        EngineError
            If one worker after the other died of it.
        MedflError
            What ``go_on`` has raised meanwhile.
        """
        with self._lock:
            self._retiring.cancel()
            try:
                return self._answered(request)
            finally:
                self._retire_later()

    def described(self) -> dict[str, Any] | None:
        """Return what the hub may see of the site's data sets, or None where it may not, under ``catalogue``.

        None while the worker has other work, or is lost.

        Raises
        ------
        MedflError
            What ``go_on`` raises meanwhile.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            self._retiring.cancel()
            watch = _Watch(self._limits, self._go_on, "describe")
            try:
                said: dict[str, Any] | None = json.loads(self._spoken(DESCRIBE, watch))
            except (OSError, WireError, EngineError, ValueError):
                self._end()
                said = None
            self._retire_later()
            return said
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the worker at once."""
        self._retiring.cancel()
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answered(self, request: Request) -> Reply | Refusal:
        body, peak = to_bytes(request), 0
        for _ in range(TRIES):
            watch = _Watch(self._limits, self._go_on, request.task)
            try:
                answer = self._asked(body, watch)
            except (OSError, WireError, EngineError) as error:
                code = self._end()
                self._lost += 1
                if watch.stopped is not None:
                    raise watch.stopped from error
                peak = max(peak, watch.peak)
                log.warning("the worker was lost at %s (code %s); a new one takes over", request.id, code)
                self._tell(f"the worker was lost at {request.task}; a new one takes over")
                continue
            if isinstance(answer, Refusal) and answer.code == OutOfMemoryError.code:
                # What it holds would be missing for the next request.
                self._end()
            return answer
        if self._limits.memory is not None and peak > NEAR * self._limits.memory:
            raise beyond(self._limits.memory, request.task)
        raise _lost(request)

    def _asked(self, body: bytes, watch: _Watch) -> Reply | Refusal:
        answer = from_bytes(self._spoken(body, watch))
        if isinstance(answer, Request):
            raise WireError("the worker answered with a request")
        return answer

    def _spoken(self, body: bytes, watch: _Watch) -> bytes:
        process = self._running()
        if process.stdin is None or process.stdout is None:
            raise EngineError("a worker was started without pipes")
        with watch.over(process):
            write_frame(process.stdin, body)
            found = read_frame(process.stdout)
        if found is None:
            raise EngineError("the worker closed its pipe")
        return found

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            # A session of its own: Ctrl-C is for the agent, which then ends its worker.
            self._process = subprocess.Popen(  # noqa: S603 - the command is this package's own
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | ONE_THREAD,
                start_new_session=True,
            )
            if self._process.stdin is not None:
                # One that died counts; one that was ended for want of work does not.
                sitting = f"{self._sitting}-{self._lost}"
                write_frame(self._process.stdin, json.dumps({**self._words, "sitting": sitting}).encode())
        return self._process

    def _retire_later(self) -> None:
        self._retiring = Timer(QUIET, self._retire)
        self._retiring.daemon = True
        self._retiring.start()

    def _retire(self) -> None:
        """End a worker that nobody has needed for long; the next request starts another one."""
        if self._lock.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._lock.release()

    def _end(self) -> int | None:
        """End it and return what it ended with; nothing has to be waited for, since nothing is lost."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        return process.wait()


class _Watch:
    """Looks at a worker while it works, and ends it where it must not go on."""

    def __init__(self, limits: Limits, go_on: Callable[[], None], task: str) -> None:
        self._limits, self._go_on, self._task = limits, go_on, task
        self._done = Event()
        self.peak = 0
        self.stopped: MedflError | None = None

    def over(self, process: subprocess.Popen[bytes]) -> Self:
        """Watch this process, as long as the context lasts."""
        self._thread = Thread(target=self._look, args=(process,), daemon=True)
        return self

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self, process: subprocess.Popen[bytes]) -> None:
        while not self._done.wait(POLL):
            try:
                self._go_on()
                self._require_room(process.pid)
            except MedflError as error:
                self.stopped = error
                process.kill()
                return
            except OSError:
                continue  # What cannot be looked at now is looked at again.

    def _require_room(self, pid: int) -> None:
        """Refuse to go on beyond the limit, where the system has not done so by itself."""
        memory, now = self._limits.memory, used(pid)
        self.peak = max(self.peak, now or 0)
        if memory is not None and now is not None and now > memory:
            raise beyond(memory, self._task)


def _lost(request: Request) -> EngineError:
    return EngineError(
        f"the site's worker died at the stage {request.task!r}, {TRIES} times in a row",
        where=f"run {request.run}",
        received="it ended without an answer",
        remedy="its people see why in site.log, or in the operating system's messages about memory",
    )
