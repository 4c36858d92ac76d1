"""A site's end: fetches requests from the SuperLink, answers them from code installed here, never stops trying.

One process stays warm and drives Flower's Fleet interface itself. What it computes is what it is given to answer
with; nothing that comes from the hub is executed.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
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
from flwr.supernode.fleet_http_client import FleetHttpClient

from medfl.errors import Complaint, EngineError, SiteError, WireError
from medfl.messages import Refusal, Reply, Request, from_bytes, to_bytes
from medfl.run.flower.coordinator import fetched
from medfl.run.flower.postbox import Postbox
from medfl.run.flower.signing import Signing
from medfl.run.flower.wire import answer as sealed
from medfl.run.flower.wire import contents, envelope, opened
from medfl.run.threads import single_threaded

LIFE = 30.0
"""Seconds that Flower is told to expect between two signs of life; it waits for twice that."""
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
    between: Callable[[], None] | None = None,
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
    between
        Is called before each try to connect; what it raises ends the serving.
    calls
        What wakes the site; without it, it looks for requests again and again.
    """
    calls = calls or _Nobody()
    box, pause, away, signing = Postbox(folder), Event(), AWAY[0], Signing(_key(address))
    while True:
        if between is not None:
            between()
        with suppress(httpx.HTTPError), _Line(address, box, signing) as line:
            away = AWAY[0]
            _talk(line, box, answer, calls)
        # Jitter, so that all sites do not come back at the same moment; no result depends on it.
        pause.wait(away * random.uniform(0.5, 1.0))  # noqa: S311
        away = min(away * 2, AWAY[1])


def _talk(line: _Line, box: Postbox, answer: Answer, calls: Calls) -> None:
    """Fetch, answer and send until the connection fails."""
    idle = PAUSES[0]
    while True:
        for message, body in box.unsent():
            line.send(message, body)
            box.sent(message)
        waiting = next(box.asked(), None)
        if waiting is not None:
            settle(box, *waiting, answer)
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


def settle(box: Postbox, message: MessageProto, body: bytes, answer: Answer) -> None:
    """Answer one request into the postbox.

    From memory if it was answered before, and with a refusal if the site has died of it twice.
    """
    given = box.given(body)
    if given is not None:
        box.answer(message, given, remember=None)
        return
    try:
        request = from_bytes(body)
        if not isinstance(request, Request):
            raise SiteError("a site was sent something that is not a request")
    except (WireError, SiteError) as error:
        nobody = Refusal(request="", site="", code=error.code, complaints=error.complaints)
        box.answer(message, to_bytes(nobody), remember=None)
        return
    with single_threaded():
        said = _lost(request) if box.begun(message) >= TRIES else answer(request)
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
        self._client = FleetHttpClient(f"https://{address.where}", interceptors=chain, verify=_trusting(address.root))
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
        for message, tree in zip(response.messages_list, response.message_object_trees, strict=True):
            run = message.metadata.run_id

            def part(name: str, run: int = run) -> bytes:
                asked = PullObjectRequest(node=self._node, run_id=run, object_id=name)
                return fetched(lambda: self._client.PullObject(asked))

            with suppress(WireError):
                return message, opened(message.metadata.message_id, tree, part)
        return None

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
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cafile=root)
    return context
