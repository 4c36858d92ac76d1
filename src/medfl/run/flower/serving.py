"""A site's end: fetches requests from the SuperLink, answers them from code installed here, never stops trying.

One process stays warm and drives Flower's Fleet interface itself. What it computes is what it is given to answer
with; nothing that comes from the hub is executed.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Protocol

import httpx
from flwr.proto.message_pb2 import Message as MessageProto

from medfl.errors import Complaint, EngineError, MedflError, SiteError, StoreError, WireError
from medfl.messages import TROUBLE, Refusal, Reply, Request, from_bytes, to_bytes
from medfl.run.flower.node import Address, NodeLine, key_of
from medfl.run.flower.postbox import Postbox
from medfl.run.flower.signing import Signing
from medfl.run.threads import single_threaded

log = logging.getLogger(__name__)
PAUSES = (0.02, 0.5)
"""Seconds between two looks for requests: the shortest, right after one came, and the longest."""
WOKEN = (1.0, 20.0)
"""The same while the site is woken when there is one: it looks all the same, should a call have been missed."""
AWAY = (0.1, 10.0)
"""Seconds between two tries to reach a SuperLink that is away."""
TRIES = 2
"""How often a request is begun before the site says that it dies of it."""
Answer = Callable[[Request], Reply | Refusal]


class Calls(Protocol):
    """What wakes a site when there is a request for it."""

    @property
    def up(self) -> bool:
        """Whether it would be woken now."""
        ...

    def wait(self, seconds: float) -> bool:
        """Return after so many seconds, or sooner if the site is woken or can be no longer; say whether that was so."""
        ...


class House(Protocol):
    """Whoever a site belongs to: what is said, and what is known, of requests beside their answers."""

    def before_connecting(self) -> None:
        """Be told that the site is about to connect; what this raises ends the serving."""
        ...

    def once_more(self, request: Request, given: bytes) -> Refusal | None:
        """Be told that an answer that was given before is asked for again; return a refusal to keep it in."""
        ...

    def unread(self, body: bytes, error: MedflError) -> None:
        """Be told that something came that is no request, and what it is."""
        ...


class _Open:
    """A house that lets everything pass, as in a rehearsal."""

    def before_connecting(self) -> None: ...

    def once_more(self, request: Request, given: bytes) -> None: ...

    def unread(self, body: bytes, error: MedflError) -> None: ...


@dataclass(frozen=True, slots=True)
class Answering:
    """Where requests are answered.

    Parameters
    ----------
    answer
        What answers a request.
    house
        Has a say in it.
    """

    answer: Answer
    house: House = field(default_factory=_Open)


def serve(
    address: Address,
    answer: Answer,
    *,
    folder: Path,
    house: House | None = None,
    calls: Calls | None = None,
) -> None:
    """Answer for a site until the process ends.

    Parameters
    ----------
    address
        The SuperLink.
    answer
        What answers a request.
    folder
        Where the site keeps requests and answers until they are done with.
    house
        Has a say in what goes in and out besides.
    calls
        What wakes the site; without it, it looks for requests again and again.
    """
    calls, house = calls or _Nobody(), house or _Open()
    box, pause, away, signing = Postbox(folder), Event(), AWAY[0], Signing(key_of(address))
    while True:
        try:
            house.before_connecting()
            with suppress(httpx.HTTPError), NodeLine(address, box, signing) as line:
                away = AWAY[0]
                _talk(line, box, Answering(answer, house), calls)
        except (OSError, StoreError) as error:
            # A full disk, say: nothing was answered that could not be kept, and there may be room again.
            log.warning("the site cannot keep what comes and goes on its disk: %s", " ".join(str(error).split()))
        # Jitter, so that all sites do not come back at the same moment; no result depends on it.
        pause.wait(away * random.uniform(0.5, 1.0))  # noqa: S311
        away = min(away * 2, AWAY[1])


def _talk(line: NodeLine, box: Postbox, desk: Answering, calls: Calls) -> None:
    """Fetch, answer and send until the connection fails."""
    # One that came in part before the connection failed is fetched before another one is begun.
    idle, came = PAUSES[0], line.fetch() if box.coming() is not None else None
    while True:
        looked = False
        for message, body in box.unsent():
            _take(line, box, came)
            came, looked = line.send(message, body), True
            box.sent(message)
        if came is None and (waiting := next(box.asked(), None)) is not None:
            settle(box, *waiting, desk)
            continue
        if came is None and not looked:
            came = line.fetch()
        if came is not None:
            _take(line, box, came)
            came, idle = None, PAUSES[0]
            continue
        least, most = WOKEN if calls.up else PAUSES
        idle = min(max(idle * 1.5, least), most)
        if calls.wait(idle * random.uniform(0.5, 1.0)):  # noqa: S311
            idle = PAUSES[0]


def _take(line: NodeLine, box: Postbox, came: tuple[MessageProto, bytes] | None) -> None:
    """Keep a request that came."""
    if came is not None:
        box.take(*came)
        line.confirm(came[0])


def settle(box: Postbox, message: MessageProto, body: bytes, desk: Answering) -> None:
    """Answer one request into the postbox.

    From memory if it was answered before, and with a refusal if the site has died of it twice.
    """
    try:
        request = from_bytes(body)
        if not isinstance(request, Request):
            raise SiteError("a site was sent something that is not a request")
    except (WireError, SiteError) as error:
        desk.house.unread(body, error)
        nobody = Refusal(request="", site="", code=error.code, complaints=error.complaints)
        box.answer(message, to_bytes(nobody), remember=None)
        return
    if (given := box.given(body)) is not None:
        refused = desk.house.once_more(request, given)
        box.answer(message, given if refused is None else to_bytes(refused), remember=None)
        return
    before = box.begun(message)
    with single_threaded():
        said = _lost(request) if before >= TRIES else desk.answer(request)
    if before and isinstance(said, Reply):
        said = _died(said, request)
    # A refusal costs nothing and may be another one tomorrow: only what was worked for is repeated.
    box.answer(message, to_bytes(said), remember=body if isinstance(said, Reply) else None)


def _died(reply: Reply, request: Request) -> Reply:
    """Say with a reply that the process before this one ended while it worked on the same request."""
    text = f"the site's agent ended while it worked on the stage {request.task!r}, and was started again"
    return replace(reply, content={**reply.content, TROUBLE: (*reply.content.get(TROUBLE, ()), text)})


def _lost(request: Request) -> Refusal:
    complaint = Complaint(
        f"the site's agent was lost at the stage {request.task!r}, twice",
        received="it ended without an answer",
        remedy="look for the operating system's out-of-memory message at the site; use fewer rows",
    )
    return Refusal(request=request.id, site=request.site, code=EngineError.code, complaints=(complaint,))


class _Nobody:
    """Wakes nobody."""

    up = False

    def __init__(self) -> None:
        self._never = Event()

    def wait(self, seconds: float) -> bool:
        return self._never.wait(seconds)
