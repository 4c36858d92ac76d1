"""A site's connection to its SuperLink, as one node: takes requests and brings answers, and gives signs of life."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import TypeVar

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    ActivateNodeResponse,
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest, SendNodeHeartbeatResponse
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ConfirmMessageReceivedResponse,
    ObjectTree,
    PullObjectRequest,
    PullObjectResponse,
)
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_object import get_object_id, iterate_object_tree
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from google.protobuf.message import Message

from medfl.errors import SiteError, WireError
from medfl.run.flower.frames import SITE, bring, packed, read, unpacked
from medfl.run.flower.postbox import Postbox
from medfl.run.flower.signing import Signing
from medfl.run.flower.sober import sober
from medfl.run.flower.wire import answer, fetched, opened

log = logging.getLogger("medfl.site.serving")
GONE = frozenset({400, 403, 404, 500})
"""What Flower says of a request that is there no more: its run has ended, or a restored hub does not know of it."""
UNREADABLE, KNOWN = 5, 1000
"""How often a message that cannot be read is fetched, and of how many it is remembered how often they were."""
LIFE = 30.0
"""Seconds that Flower is told to expect between two signs of life; it waits for twice that."""
PATIENCE = 30.0
"""Seconds that the other end has for an answer."""
KEPT = 15.0
"""Seconds for which an idle connection is used again: longer than between two signs of life; hubs keep it longer."""
M = TypeVar("M", bound=Message)


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


class NodeLine:
    """A connection as one node, with signs of life while the site works.

    Parameters
    ----------
    address
        The SuperLink.
    box
        Where the site keeps what is not done with.
    signing
        Signs calls.
    """

    def __init__(self, address: Address, box: Postbox, signing: Signing) -> None:
        self._box, self._signing = box, signing
        self._client = sober(
            httpx.Client(
                base_url=f"https://{address.where}",
                verify=_trusting(address.root),
                timeout=PATIENCE,
                limits=httpx.Limits(keepalive_expiry=KEPT),
            )
        )
        self._unreadable: dict[str, int] = {}
        self._public = public_key_to_bytes(key_of(address).public_key())
        self._node, self._closing = Node(), Event()

    def __enter__(self) -> NodeLine:
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
        if (begun := self._box.coming()) is not None:
            return self._rest(*begun)
        return self._exchanged(PushMessagesRequest(node=self._node), ())[1]

    def send(self, message: MessageProto, body: bytes) -> tuple[MessageProto, bytes] | None:
        """Send an answer and return the next request, if there is one.

        An answer that the hub no longer wants is dropped, for it asks again for what it needs. One that is large goes
        in several calls, and where they were cut off, only what has not arrived goes again.
        """
        sealed = answer(body, message)
        asked = PushMessagesRequest(
            node=self._node, messages_list=[sealed.announced], message_object_trees=[sealed.tree]
        )
        found: list[tuple[MessageProto, bytes] | None] = [None]

        def call(contents: Iterable[bytes]) -> list[str]:
            missing, found[0] = self._exchanged(asked, contents)
            return missing

        try:
            bring(sealed.objects, len(body), call)
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in (400, 413):
                raise
        return found[0]

    def confirm(self, message: MessageProto) -> None:
        """Say that a request is safe here, where it came in several calls."""
        if self._box.came(message):
            about = message.metadata
            asked = ConfirmMessageReceivedRequest(
                node=self._node, run_id=about.run_id, message_object_id=about.message_id
            )
            self._call("confirm-message-received", asked, ConfirmMessageReceivedResponse)

    def _exchanged(
        self, brought: PushMessagesRequest, contents: Iterable[bytes]
    ) -> tuple[list[str], tuple[MessageProto, bytes] | None]:
        """Bring an answer or a part of it; return which objects of it are missing, else the next request."""
        asked = PullMessagesRequest(node=self._node)
        said = self._post(SITE, packed((asked.SerializeToString(), brought.SerializeToString(), *contents)))
        try:
            frames = unpacked(said)
            missing = list(read(PushMessagesResponse, frames[0]).objects_to_push)
            found = read(PullMessagesResponse, frames[1])
        except WireError as error:
            raise httpx.RemoteProtocolError("the SuperLink answers something else") from error
        given = {get_object_id(content): content for content in frames[2:]}
        for message, tree in zip(found.messages_list, found.message_object_trees, strict=False):
            name = message.metadata.message_id
            if self._unreadable.get(name, 0) >= UNREADABLE:
                continue
            if any(part.object_id not in given for part in iterate_object_tree(tree)):
                self._box.expect(message, tree)
                return missing, self._rest(message, tree)
            try:
                return missing, (message, opened(name, tree, given.__getitem__))
            except WireError as error:
                self._noted(name, error)
        return missing, None

    def _noted(self, name: str, error: WireError) -> None:
        """Say that a message cannot be read; the first times it may still be on its way to the SuperLink."""
        if len(self._unreadable) >= KNOWN:
            self._unreadable.clear()
        times = self._unreadable[name] = self._unreadable.get(name, 0) + 1
        log.warning("refused a message of the hub, %r: %s", name[:64], " ".join(str(error).split()))
        if times == UNREADABLE:
            log.warning("the message %r is not looked at any more", name[:64])

    def _rest(self, message: MessageProto, tree: ObjectTree) -> tuple[MessageProto, bytes] | None:
        """Fetch what is missing of a request that comes in several calls; None if it is there no more."""
        run = message.metadata.run_id

        def part(name: str) -> bytes:
            asked = PullObjectRequest(node=self._node, run_id=run, object_id=name)
            return self._box.part(name, lambda: fetched(lambda: self._call("pull-object", asked, PullObjectResponse)))

        try:
            return message, opened(message.metadata.message_id, tree, part)
        except WireError as error:
            self._box.came(message)
            self._noted(message.metadata.message_id, error)
            return None
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in GONE:
                raise
            # Else the site would ask for nothing else any more. If somebody still waits for it, it is sent again.
            self._box.came(message)
            log.warning("a request that came in part is there no more: the hub says %d", error.response.status_code)
            return None

    def _signed_on(self) -> int:
        """Return the number of this site's node.

        Flower lets a node sign on only after it has missed it for a minute. Who was killed and is back before that
        gives a sign of life instead, under the number that it had.
        """
        if (known := self._box.node) is not None:
            alive = SendNodeHeartbeatRequest(node=Node(node_id=known), heartbeat_interval=LIFE)
            with suppress(httpx.HTTPStatusError):
                if self._call("send-node-heartbeat", alive, SendNodeHeartbeatResponse).success:
                    return known
        asked = ActivateNodeRequest(public_key=self._public, heartbeat_interval=LIFE)
        self._box.node = node = int(self._call("activate-node", asked, ActivateNodeResponse).node_id)
        return node

    def _live(self) -> None:
        asked = SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=LIFE)
        while not self._closing.wait(LIFE / 3):
            with suppress(httpx.HTTPError):
                self._call("send-node-heartbeat", asked, SendNodeHeartbeatResponse)

    def _call(self, name: str, asked: Message, kind: type[M]) -> M:
        """Make one of Flower's own calls."""
        try:
            return read(kind, self._post(f"/v1/fleet/{name}", asked.SerializeToString()))
        except WireError as error:
            raise httpx.RemoteProtocolError("the SuperLink answers something else") from error

    def _post(self, path: str, body: bytes) -> bytes:
        request = self._client.build_request("POST", path, content=body, headers={"content-type": PROTOBUF_MEDIA_TYPE})
        response = self._signing.sent(request, self._client.send)
        response.raise_for_status()
        return response.content


def key_of(address: Address) -> EllipticCurvePrivateKey:
    """Return the private key of a site's node.

    Raises
    ------
    SiteError
        If it is of another kind.
    """
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
