"""The engine over Flower: one message a request, answers fetched as they come, whatever dies in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Event
from time import monotonic
from typing import Generic, Protocol, TypeVar

import httpx

from medfl.errors import Complaint, EngineError, WireError
from medfl.messages import TROUBLE, Refusal, Reply, Request, from_bytes, to_bytes
from medfl.run.engine import unanswered
from medfl.run.flower.coordinator import Channel
from medfl.run.flower.superlink import Link

AGAIN = 30.0
"""Seconds after which a request is sent once more, in case a site died while it fetched it; doubled each time."""
SLOW = 500_000
"""Bytes a second that a line brings at least, before it is thought that a request or its answer was lost."""
GONE = 600.0
"""Seconds without a SuperLink after which a run is given up; what is stored of it can be gone on with."""
BROKEN = 3
"""How often an answer may come that is none, before the site is done without."""
PAUSES = (0.02, 0.25)
"""Seconds for which a look waits for answers: the shortest, right after one came, and the longest."""
HELD = (2.0, 5.0)
"""The same where the other end answers as soon as there is one."""


class Line(Protocol):
    """A run of Flower's, through which requests go out and answers come in."""

    def push(self, letters: Sequence[tuple[bytes, int]]) -> list[str]:
        """Send bytes to nodes and return the ids under which the answers can be fetched."""
        ...

    def pull(self, ids: Iterable[str], *, patience: float) -> list[tuple[str, bytes | None]]:
        """Return the answers that have come by the ids of their requests; None where Flower gave up on the site.

        Where none has come, wait for one, up to so many seconds.
        """
        ...

    def close(self) -> None:
        """Leave the run."""
        ...


L = TypeVar("L", bound=Line)


class LineEngine(Generic[L]):
    """Reaches sites over a line of Flower's.

    A site is asked by the number of its node. A request whose answer does not come is sent again: sites answer the
    same request once and repeat the answer. When the SuperLink was away, or has forgotten the run, a new line is
    opened and what is not answered is sent once more.

    Parameters
    ----------
    line
        Opens a line.
    nodes
        The number of each site's node, by the site's name.
    where
        What the SuperLink is called in an error.
    again
        Seconds after which a request is sent once more; doubled each time.
    deadline
        Returns how many seconds sites have for the answers of an exchange; as many as they take where None.
    """

    _pauses = PAUSES

    def __init__(
        self,
        line: Callable[[], L],
        nodes: Mapping[str, int],
        *,
        where: str,
        again: float = AGAIN,
        deadline: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._line, self._nodes = line, dict(sorted(nodes.items()))
        self._where, self._again = where, again
        self._asked: Callable[[str], None] = lambda site: None
        self._deadline = deadline
        self._channel: L | None = None
        self._heard = monotonic()

    def sites(self) -> Sequence[str]:
        """Return the sites' names, sorted."""
        return tuple(self._nodes)

    def exchange(self, requests: Iterable[Request], *, timeout: float | None = None) -> Iterator[Reply | Refusal]:
        """Send every request and yield the answers as they come.

        Parameters
        ----------
        requests
            What is asked.
        timeout
            Seconds that all answers have. Where None, as many as the engine's own deadline says, not counting those
            without a SuperLink; where it has none, as long as it takes, or until Flower has not heard of a site's
            node for a minute.

        Raises
        ------
        EngineError
            If the SuperLink was away for ten minutes.
        """
        waiting = [_Asked(request, to_bytes(request)) for request in requests]
        strict, timeout = timeout is not None, self._deadline() if timeout is None else timeout
        idle, taken = self._pauses[0], 0.0
        self._heard = looked = monotonic()
        while waiting:
            left = idle if timeout is None else min(idle, max(timeout - taken, 0.0))
            came = self._looked(waiting, patience=left)
            now = monotonic()
            if strict or self._heard >= looked:
                taken += now - looked
            looked = now
            yield from came
            answered = {answer.request for answer in came}
            waiting = [one for one in waiting if one.request.id not in answered]
            if timeout is not None and taken > timeout:
                yield from (unanswered(one.request, _late(one.request, timeout)) for one in waiting)
                return
            idle = self._pauses[0] if came else min(idle * 1.5, self._pauses[1])

    def leave(self) -> None:
        """Leave the SuperLink; the next exchange comes back to it."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _looked(self, waiting: Sequence[_Asked], *, patience: float) -> list[Reply | Refusal]:
        """Send what is due, fetch what has come; nothing comes while the SuperLink is away."""
        try:
            channel = self._opened()
            due = [one for one in waiting if one.due(self._again)]
            letters = [(one.body, self._nodes[one.request.site]) for one in due]
            for one, name in zip(due, channel.push(letters), strict=True):
                one.sent(name)
                self._asked(one.request.site)
            found = channel.pull((name for one in waiting for name in one.names), patience=patience)
        except httpx.HTTPStatusError:
            self._forgotten(waiting)
            return self._away(patience)
        except httpx.HTTPError:
            return self._away(patience)
        self._heard = monotonic()
        asked = {name: one for one in waiting for name in one.names}
        answers: dict[str, Reply | Refusal] = {}
        for name, body in found:
            if name in asked:
                answer = asked[name].read(name, body)
                if answer is not None:
                    answers.setdefault(answer.request, answer)
        return list(answers.values())

    def _opened(self) -> L:
        if self._channel is None:
            self._channel = self._line()
        return self._channel

    def _away(self, patience: float) -> list[Reply | Refusal]:
        """Say that nothing came, after a pause, unless that has been so for too long."""
        if monotonic() - self._heard > GONE:
            raise EngineError(
                f"Flower's SuperLink has been away for {GONE:g} s",
                where=self._where,
                remedy="see why it does not come back, then: medfl resume",
            )
        Event().wait(min(patience, PAUSES[1]))
        return []

    def _forgotten(self, waiting: Iterable[_Asked]) -> None:
        """Begin anew: the SuperLink says that it knows nothing of this run."""
        self.leave()
        for one in waiting:
            one.names.clear()


class FlowerEngine(LineEngine[Channel]):
    """Reaches sites through a SuperLink of MEDfl's own.

    Parameters
    ----------
    link
        The SuperLink.
    nodes
        The number of each site's node, by the site's name.
    asked
        Is told the name of a site as soon as a request for it lies at the SuperLink.
    deadline
        Returns how many seconds sites have for the answers of an exchange; as many as they take where None.
    """

    _pauses = HELD

    def __init__(
        self,
        link: Link,
        nodes: Mapping[str, int],
        *,
        asked: Callable[[str], None] = lambda site: None,
        deadline: Callable[[], float | None] = lambda: None,
    ) -> None:
        super().__init__(lambda: Channel(link), nodes, where=link.address, deadline=deadline)
        self._asked = asked

    def wait(self, seconds: float, *, logs: Callable[[str], str], least: int | None = None) -> None:
        """Return when all sites are there, or enough of them after so many seconds.

        Parameters
        ----------
        seconds
            How long they may take.
        logs
            What a missing site's log says last, by the site's name.
        least
            How many sites are enough; all of them where None.

        Raises
        ------
        EngineError
            If one is missing after so many seconds.
        """
        until, pause = monotonic() + seconds, Event()
        while missing := self._missing():
            if monotonic() > until:
                if least is not None and len(self._nodes) - len(missing) >= least:
                    return
                raise EngineError(
                    f"not all sites came within {seconds:g} s",
                    where="engine flower",
                    received="; ".join(f"missing: {site}, which says: {logs(site)}" for site in missing),
                    remedy="see what the missing sites say",
                )
            pause.wait(PAUSES[1])

    def _missing(self) -> list[str]:
        try:
            online = self._opened().online()
        except httpx.HTTPError:
            return list(self._nodes)
        return [site for site, node in self._nodes.items() if node not in online]


@dataclass(slots=True)
class _Asked:
    """A request that waits for its answer, under every name that it was sent by."""

    request: Request
    body: bytes
    names: list[str] = field(default_factory=list)
    last: float = 0.0
    broken: int = 0

    def read(self, name: str, body: bytes | None) -> Reply | Refusal | None:
        """Return the answer that came by a name, or why there is none; None where it is to be asked for once more.

        An answer breaks off when its site is killed while it sends; request or answer may be changed on the way. The
        site repeats what it said, so nothing is lost by asking again; not for ever.
        """
        request = self.request
        if body is None:
            return unanswered(request, _lost(request))
        answer, fault = _read(request, body)
        if answer is not None:
            return answer if isinstance(answer, Refusal) or not self.broken else self._told(answer)
        self.names.remove(name)
        self.broken += 1
        return None if self.broken < BROKEN else unanswered(request, fault)

    def _told(self, reply: Reply) -> Reply:
        """Return a reply with a word that one before did not come as it was sent."""
        text = (
            f"an answer or a request at the stage {self.request.task!r} did not arrive as it was sent, and was repeated"
        )
        return replace(reply, content={**reply.content, TROUBLE: (*reply.content.get(TROUBLE, ()), text)})

    def due(self, after: float) -> bool:
        """Say whether it is to be sent: never yet, or so many seconds ago, doubled for each time.

        What is large is on its way for longer, and would be in its own way if it were sent again meanwhile.
        """
        after += 2 * len(self.body) / SLOW
        return not self.names or monotonic() - self.last > after * 2 ** (len(self.names) - 1)

    def sent(self, name: str) -> None:
        self.names.append(name)
        self.last = monotonic()


def _read(request: Request, body: bytes) -> tuple[Reply | Refusal | None, Complaint]:
    """Return the answer to a request; or none, and what is wrong with what came instead."""
    try:
        message = from_bytes(body)
    except WireError as error:
        return None, _broken(request, error.complaints[0])
    if isinstance(message, Request) or (message.request, message.site) != (request.id, request.site):
        return None, _strange(request)
    return message, _strange(request)


def _lost(request: Request) -> Complaint:
    return Complaint(
        f"the site could not be reached at the stage {request.task!r}",
        received="Flower has not heard of its node, lost its answer, or saw its process die",
        remedy="see whether the site's agent is running, and its log; it is asked again in the next round",
    )


def _broken(request: Request, complaint: Complaint) -> Complaint:
    return Complaint(
        f"the site's answer at the stage {request.task!r} cannot be read, {BROKEN} times",
        received=f"{complaint.what} ({complaint.received})" if complaint.received else complaint.what,
        remedy="see whether something between hub and site changes what they send, then resume the run",
    )


def _strange(request: Request) -> Complaint:
    return Complaint(
        f"the site answered something else at the stage {request.task!r}",
        received="a message that names another request",
        remedy="check that hub and sites run the same version of MEDfl",
    )


def _late(request: Request, timeout: float) -> Complaint:
    return Complaint(
        f"the site gave no answer within {timeout:g} s at the stage {request.task!r}",
        received="no answer",
        remedy="allow more time, or see whether the site's agent is running",
    )
