"""A site's end: fetches requests from the SuperLink, answers them from code installed here, never stops trying.

One process stays warm and drives Flower's Fleet interface itself. What it computes is what it is given to answer
with; nothing that comes from the hub is executed.
"""

from __future__ import annotations

import logging
import random
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Protocol

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest, PushMessagesRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PullObjectRequest, PushObjectRequest
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.node_pb2 import Node
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufClientInterceptor

from medfl.errors import Complaint, EngineError, MedflError, SiteError, WireError
from medfl.messages import Refusal, Reply, Request, from_bytes, to_bytes
from medfl.run.flower.coordinator import fetched
from medfl.run.flower.postbox import Postbox
from medfl.run.flower.signing import Signing
from medfl.run.flower.sober import SoberClient
from medfl.run.flower.wire import answer as sealed
from medfl.run.flower.wire import contents, envelope, opened
from medfl.run.threads import single_threaded

log = logging.getLogger("medfl.site.serving")
LIFE = 30.0
"""Seconds that Flower is told to expect between two signs of life; it waits for twice that."""
PAUSES = (0.02, 0.5)
"""Seconds between two looks for requests: the shortest, right after one came, and the longest."""
WOKEN = (1.0, 20.0)
"""The same while the site is woken when there is one: it looks all the same, should a call have been missed."""
AWAY = (0.1, 10.0)
"""Seconds between two tries to reach a SuperLink that is away."""
UNREADABLE, KNOWN = 5, 1000
"""How often a message that cannot be read is fetched, and of how many it is remembered how often they were."""
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


@dataclass(frozen=True, slots=True)
class Address:
    """Where the SuperLink is, and how a site proves who it is.

    Parameters
    ----------
    where
        Host and port.
    root
        File of the certificate that the SuperLink's own is checked against.
    key
        File of the site's private key, PEM, on a NIST curve.
    """

    where: str
    root: Path
    key: Path


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
    box, pause, away, signing = Postbox(folder), Event(), AWAY[0], Signing(_key(address))
    while True:
        house.before_connecting()
        with suppress(httpx.HTTPError), _Line(address, box, signing) as line:
            away = AWAY[0]
            _talk(line, box, Answering(answer, house), calls)
        # Jitter, so that all sites do not come back at the same moment; no result depends on it.
        pause.wait(away * random.uniform(0.5, 1.0))  # noqa: S311
        away = min(away * 2, AWAY[1])


def _talk(line: _Line, box: Postbox, desk: Answering, calls: Calls) -> None:
    """Fetch, answer and send until the connection fails."""
    idle = PAUSES[0]
    while True:
        for message, body in box.unsent():
            line.send(message, body)
            box.sent(message)
        waiting = next(box.asked(), None)
        if waiting is not None:
            settle(box, *waiting, desk)
        elif (came := line.fetch()) is not None:
            message, body = came
            box.take(message, body)
            line.confirm(message)
            idle = PAUSES[0]
        else:
            least, most = WOKEN if calls.up else PAUSES
            idle = min(max(idle * 1.5, least), most)
            if calls.wait(idle * random.uniform(0.5, 1.0)):  # noqa: S311
                idle = PAUSES[0]


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
    with single_threaded():
        said = _lost(request) if box.begun(message) >= TRIES else desk.answer(request)
    # A refusal costs nothing and may be another one tomorrow: only what was worked for is repeated.
    box.answer(message, to_bytes(said), remember=body if isinstance(said, Reply) else None)


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


class _Line:
    """A connection as one node, with signs of life while the site works."""

    def __init__(self, address: Address, box: Postbox, signing: Signing) -> None:
        self._box = box
        chain: list[ProtobufClientInterceptor] = [RuntimeVersionHttpInterceptor(component_name="SuperNode"), signing]
        self._client = SoberClient(f"https://{address.where}", interceptors=chain, verify=_trusting(address.root))
        self._unreadable: dict[str, int] = {}
        self._public = public_key_to_bytes(_key(address).public_key())
        self._node, self._closing = Node(), Event()

    def __enter__(self) -> _Line:
        try:
            self._node = Node(node_id=self._signed_on())
        except httpx.HTTPError:
            self._client.close()
            raise
        self._beat = Thread(target=self._live, daemon=True)
        self._beat.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._beat.join()
        self._client.close()

    def fetch(self) -> tuple[MessageProto, bytes] | None:
        """Return a request and what announced it; None where there is none."""
        response = self._client.PullMessages(PullMessagesRequest(node=self._node))
        for message, tree in zip(response.messages_list, response.message_object_trees, strict=False):
            run, name = message.metadata.run_id, message.metadata.message_id

            def part(name: str, run: int = run) -> bytes:
                asked = PullObjectRequest(node=self._node, run_id=run, object_id=name)
                return fetched(lambda: self._client.PullObject(asked))

            if self._unreadable.get(name, 0) >= UNREADABLE:
                continue
            try:
                return message, opened(name, tree, part)
            except WireError as error:
                self._noted(name, error)
        return None

    def _noted(self, name: str, error: WireError) -> None:
        """Say that a message cannot be fetched; the first times it may still be on its way to the SuperLink."""
        if len(self._unreadable) >= KNOWN:
            self._unreadable.clear()
        times = self._unreadable[name] = self._unreadable.get(name, 0) + 1
        log.warning("refused a message of the hub, %r: %s", name[:64], " ".join(str(error).split()))
        if times == UNREADABLE:
            log.warning("the message %r is not looked at any more", name[:64])

    def confirm(self, message: MessageProto) -> None:
        """Say that a request is safe here."""
        about = message.metadata
        asked = ConfirmMessageReceivedRequest(node=self._node, run_id=about.run_id, message_object_id=about.message_id)
        self._client.ConfirmMessageReceived(asked)

    def send(self, message: MessageProto, body: bytes) -> None:
        """Send an answer; one that the hub no longer wants is dropped, for it asks again for what it needs."""
        run = message.metadata.run_id
        announced, tree, objects = envelope(sealed(body, message))
        asked = PushMessagesRequest(
            node=self._node, messages_list=[announced], message_object_trees=[tree], clientapp_runtime_list=[0.0]
        )
        try:
            response = self._client.PushMessages(asked)
            for name, content in contents(objects, response.objects_to_push):
                self._client.PushObject(
                    PushObjectRequest(
                        node=self._node,
                        run_id=run,
                        session_id=response.session_id,
                        object_id=name,
                        object_content=content,
                    )
                )
        except httpx.HTTPStatusError as error:
            if error.response.status_code in (401, 408, 429) or error.response.status_code >= 500:
                raise

    def _signed_on(self) -> int:
        """Return the number of this site's node.

        Flower lets a node sign on only after it has missed it for a minute. Who was killed and is back before that
        gives a sign of life instead, under the number that it had.
        """
        if (known := self._box.node) is not None:
            alive = SendNodeHeartbeatRequest(node=Node(node_id=known), heartbeat_interval=LIFE)
            with suppress(httpx.HTTPStatusError):
                if self._client.SendNodeHeartbeat(alive).success:
                    return known
        asked = ActivateNodeRequest(public_key=self._public, heartbeat_interval=LIFE)
        self._box.node = node = int(self._client.ActivateNode(asked).node_id)
        return node

    def _live(self) -> None:
        asked = SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=LIFE)
        while not self._closing.wait(LIFE / 3):
            with suppress(httpx.HTTPError):
                self._client.SendNodeHeartbeat(asked)


def _key(address: Address) -> EllipticCurvePrivateKey:
    key = load_pem_private_key(address.key.read_bytes(), None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise SiteError("the key of a Flower node is on an elliptic curve", where=str(address.key))
    return key


def _trusting(root: Path) -> ssl.SSLContext:
    """Return what checks the other end: its certificate is this one, or signed by it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cafile=root)
    return context
