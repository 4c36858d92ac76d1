"""The engine over Ray: each worker answers for many sites, one request after the other.

A worker that is lost, with its process or with its machine, is started again wherever there is room, and asked once
more (asking twice is asking once); if it is lost again, its site is named as lost for this exchange. One that takes too
long is ended, and its site is named at once.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

from medfl.errors import Complaint, WireError
from medfl.messages import Refusal, Reply, Request, from_bytes, to_bytes
from medfl.run.engine import unanswered
from medfl.run.ray.cluster import Cluster

TRIES = 2
"""How often a request is sent before its site is given up for this exchange."""


class RayEngine:
    """Deals sites to the workers of a Ray cluster.

    Parameters
    ----------
    sites
        The sites' names.
    cluster
        Has the workers.
    module
        Name of the module whose function ``answering`` makes, at a worker, the answering function of an opening.
    opening
        What a worker needs to open its sites.
    """

    def __init__(self, sites: Iterable[str], *, cluster: Cluster, module: str, opening: bytes) -> None:
        self._sites, self._cluster = tuple(sorted(sites)), cluster
        self._key = cluster.open(module, opening)
        count = min(cluster.workers, len(self._sites))
        self._worker = {site: place % count for place, site in enumerate(self._sites)}

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

        Raises
        ------
        MedflError
            If Ray ended and cannot be started, or reached, again.
        """
        shares: dict[int, deque[Request]] = {}
        for request in requests:
            shares.setdefault(self._worker[request.site], deque()).append(request)
        under_way = _UnderWay(self._cluster, self._key, shares, timeout)
        try:
            yield from under_way.answers()
        finally:
            # Ctrl-C, or nobody listens any more: what is left to answer may take long, and is worth nothing.
            under_way.leave()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that waits for its answer."""

    request: Request
    worker: int
    until: float | None


class _UnderWay:
    """One exchange: a request at a time for each worker, so that it is known of which one it died."""

    def __init__(self, cluster: Cluster, key: str, shares: dict[int, deque[Request]], timeout: float | None) -> None:
        self._cluster, self._key, self._shares, self._timeout = cluster, key, shares, timeout
        self._asked: dict[int, _Asked] = {}
        self._sent: Counter[str] = Counter()

    def answers(self) -> Iterator[Reply | Refusal]:
        """Yield the answers as they come, one for each request."""
        for worker in self._shares:
            self._next(worker)
        while self._asked:
            heard = self._cluster.hear(self._left())
            if heard is None:
                yield from self._expired()
            elif (asked := self._asked.pop(heard.ticket, None)) is not None:
                answer = self._made(asked, heard.body)
                self._next(asked.worker)
                if answer is not None:
                    yield answer

    def leave(self) -> None:
        """End the workers that are still at work."""
        for asked in self._asked.values():
            self._cluster.drop(self._key, asked.worker)

    def _next(self, worker: int) -> None:
        """Send a worker what it is to answer next."""
        if not (share := self._shares[worker]):
            return
        request = share.popleft()
        until = None if self._timeout is None else monotonic() + self._timeout
        ticket = self._cluster.ask(self._key, worker, to_bytes(request))
        self._sent[request.id] += 1
        self._asked[ticket] = _Asked(request, worker, until)

    def _made(self, asked: _Asked, body: bytes | None) -> Reply | Refusal | None:
        """Return the answer; None where the request is to be sent again, before all others of its worker."""
        answer = None if body is None else _read(body)
        if answer is not None:
            return answer
        if self._sent[asked.request.id] >= TRIES:
            return unanswered(asked.request, _lost(asked.request))
        self._shares[asked.worker].appendleft(asked.request)
        return None

    def _left(self) -> float | None:
        if self._timeout is None:
            return None
        return max(0.0, min(asked.until or 0.0 for asked in self._asked.values()) - monotonic())

    def _expired(self) -> Iterator[Refusal]:
        """Name the sites whose time is up, and end their workers."""
        now = monotonic()
        for ticket, asked in list(self._asked.items()):
            if asked.until is not None and asked.until <= now:
                del self._asked[ticket]
                self._cluster.drop(self._key, asked.worker)
                self._next(asked.worker)
                yield unanswered(asked.request, _late(asked.request, self._timeout or 0.0))


def _read(body: bytes) -> Reply | Refusal | None:
    """Return the answer that these bytes are; None where they are none."""
    try:
        message = from_bytes(body)
    except WireError:
        return None
    return None if isinstance(message, Request) else message


def _lost(request: Request) -> Complaint:
    return Complaint(
        f"Ray's worker was lost at the stage {request.task!r}, twice",
        received="it ended without an answer",
        remedy="look for an out-of-memory message on its machine; use fewer rows, or --engine in-process",
    )


def _late(request: Request, timeout: float) -> Complaint:
    return Complaint(
        f"Ray's worker gave no answer within {timeout:g} s at the stage {request.task!r}",
        received="it was ended",
        remedy="allow it more time, use fewer rows, or --engine in-process",
    )
