"""The engine for all cores: worker processes that speak the wire format on their pipes, each with some of the sites.

A worker that dies is started again and asked once more (asking twice is asking once); if it dies again, its site is
named as lost for this exchange. One that takes too long is ended, and its site is named at once.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Event, Timer
from typing import TypeAlias

from medfl.errors import Complaint, EngineError, WireError
from medfl.messages import Refusal, Reply, Request, from_bytes, read_frame, to_bytes, write_frame
from medfl.run.engine import unanswered

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class Processes:
    """One worker a core, each with its share of the sites.

    Parameters
    ----------
    sites
        The sites' names.
    command
        What starts a worker; it reads requests from its standard input and answers on its standard output.
    opening
        The first message a worker is sent: what it needs to open its sites.
    workers
        How many; one a core where None, and never more than sites.
    """

    def __init__(
        self, sites: Iterable[str], *, command: Sequence[str], opening: bytes, workers: int | None = None
    ) -> None:
        self._sites = tuple(sorted(sites))
        count = min(workers or os.cpu_count() or 1, len(self._sites))
        self._workers = [_Worker(command, opening) for _ in range(count)]

    def sites(self) -> Sequence[str]:
        """Return the sites' names, sorted."""
        return self._sites

    def exchange(self, requests: Iterable[Request], *, timeout: float | None = None) -> Iterator[Reply | Refusal]:
        """Let every worker answer for its sites, side by side.

        Parameters
        ----------
        requests
            What is asked.
        timeout
            Seconds that a worker has for one request, its start included; as long as it takes where None.
        """
        shares: list[list[Request]] = [[] for _ in self._workers]
        count = 0
        for request in requests:
            shares[self._sites.index(request.site) % len(shares)].append(request)
            count += 1
        arrived: _Arrived = SimpleQueue()
        stopped = Event()

        def ended(asking: Future[None]) -> None:
            # Whoever waits for answers that will not come any more must hear why.
            if (fault := asking.exception()) is not None:
                arrived.put(fault)

        with ThreadPoolExecutor(len(shares)) as pool:
            for worker, share in zip(self._workers, shares, strict=True):
                pool.submit(worker.answer_all, share, arrived, stopped, timeout=timeout).add_done_callback(ended)
            try:
                while count:
                    answer = arrived.get()
                    if isinstance(answer, BaseException):
                        raise answer
                    yield answer
                    count -= 1
            finally:
                if count:
                    # Ctrl-C, or nobody listens any more: what is left to answer may take long, and is worth nothing.
                    stopped.set()
                    for worker in self._workers:
                        worker.kill()

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.end()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_Arrived: TypeAlias = "SimpleQueue[Reply | Refusal | BaseException]"


class _Worker:
    """One process, started when first needed and again after it died."""

    def __init__(self, command: Sequence[str], opening: bytes) -> None:
        self._command, self._opening = command, opening
        self._process: subprocess.Popen[bytes] | None = None

    def answer_all(
        self, requests: Iterable[Request], arrived: _Arrived, stopped: Event, *, timeout: float | None
    ) -> None:
        """Put one answer for each request on the queue, whatever becomes of the process, until stopped."""
        for request in requests:
            if not stopped.is_set():
                arrived.put(self._answer(request, stopped, timeout=timeout))

    def _answer(self, request: Request, stopped: Event, *, timeout: float | None) -> Reply | Refusal:
        body = to_bytes(request)
        for _ in range(2):
            with suppress(OSError, WireError, EngineError), self._limited(timeout) as late:
                return self._asked(body, stopped, late)
            self.end()
            if late.is_set():
                return unanswered(request, _late(request, timeout))
            if stopped.is_set():
                break
        return unanswered(request, _lost(request))

    @contextmanager
    def _limited(self, timeout: float | None) -> Iterator[Event]:
        """End the process if it is still at work after so many seconds, and let it be known."""
        late = Event()

        def expire() -> None:
            late.set()
            self.kill()

        if timeout is None:
            yield late
            return
        timer = Timer(timeout, expire)
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()
            timer.join()

    def _asked(self, body: bytes, *ended: Event) -> Reply | Refusal:
        process = self._running()
        if process.stdin is None or process.stdout is None:
            raise EngineError("a worker was started without pipes")
        if any(event.is_set() for event in ended):
            raise EngineError("a worker was stopped while it started")
        write_frame(process.stdin, body)
        answer = read_frame(process.stdout)
        if answer is None:
            raise EngineError("a worker closed its pipe")
        message = from_bytes(answer)
        if isinstance(message, Request):
            raise WireError("a worker answered with a request")
        return message

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            # A session of its own: Ctrl-C is for the hub, which then ends its workers in order.
            self._process = subprocess.Popen(  # noqa: S603 - the command is this package's own
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | ONE_THREAD,
                start_new_session=True,
            )
            if self._process.stdin is not None:
                write_frame(self._process.stdin, self._opening)
        return self._process

    def kill(self) -> None:
        """End it at once, whatever it is doing; to be called while another thread waits for its answer."""
        if (process := self._process) is not None:
            process.kill()

    def end(self) -> None:
        """Close its pipes, which ends it, and make sure."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _lost(request: Request) -> Complaint:
    return Complaint(
        f"the worker process was lost at the stage {request.task!r}, twice",
        received="it ended without an answer",
        remedy="look for the operating system's out-of-memory message; use fewer rows, or --engine in-process",
    )


def _late(request: Request, timeout: float | None) -> Complaint:
    return Complaint(
        f"the worker process gave no answer within {timeout:g} s at the stage {request.task!r}",
        received="it was ended",
        remedy="allow it more time, use fewer rows, or --engine in-process",
    )
