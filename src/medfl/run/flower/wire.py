"""How a message of ours travels as a Flower message: its safetensors bytes in one record, three objects in all.

One that is large is cut into records of at most :data:`PART` bytes, so that who was cut off need not begin anew, and
so that arrays which several sites are sent are one and the same object: what comes before them is a record of its own.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from flwr.app import ConfigRecord, Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    UnexpectedObjectContentError,
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from google.protobuf.message import DecodeError

from medfl.errors import WireError
from medfl.messages import LARGEST

_UNREADABLE = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError),
    *(DecodeError, UnexpectedObjectContentError),
)
HUB = 1
"""Flower's number of the hub's end."""
KIND = "query.medfl"
LIVES = 7 * 86400.0
"""Seconds after which Flower forgets a message that nobody fetched."""
RECORD, BODY = "message", "body"
PART = 4 * 2**20
"""Bytes of the largest record."""
MOST = LARGEST // PART + 2
"""Records of the largest message."""
PARTS = MOST + 2
"""Objects of the largest message: its records, what holds them, and itself."""


class Sealed(NamedTuple):
    """A Flower message that is ready to be brought.

    Parameters
    ----------
    announced
        The message without what it holds.
    tree
        The digests of the objects that it is made of.
    objects
        Their bytes, by digest.
    """

    announced: MessageProto
    tree: ObjectTree
    objects: Mapping[str, bytes]


def letter(body: bytes, *, run: int, to: int) -> Sealed:
    """Return the Flower message that brings these bytes to a node."""
    return _sealed(body, Metadata(run, "", HUB, to, "", "", time.time(), LIVES, KIND))


def answer(body: bytes, asked: MessageProto) -> Sealed:
    """Return the Flower message that answers another one with these bytes."""
    # The same answer is the same message, whenever and however often it is sent: who was cut off goes on with it.
    to = asked.metadata
    about = (to.run_id, "", to.dst_node_id, HUB, to.message_id, "", to.created_at, to.ttl, KIND)
    return _sealed(body, Metadata(*about))


def opened(name: str, tree: ObjectTree, fetch: Callable[[str], bytes]) -> bytes:
    """Fetch the objects of a message and return the bytes that it brings.

    Raises
    ------
    WireError
        If the message is none of ours.
    """
    wanted = list(dict.fromkeys(part.object_id for part in islice(iterate_object_tree(tree), PARTS + 1)))
    if len(wanted) > PARTS:
        raise WireError("a Flower message has too many parts", received=f"more than {PARTS}")
    parts = {part: fetch(part) for part in wanted}
    # Names are digests: what bears another one was changed, or is to be written where it does not belong.
    if any(hashlib.sha256(content).hexdigest() != part for part, content in parts.items()):
        raise WireError("a part of a Flower message is not the one that was announced")
    try:
        message = inflate_object_from_contents(name, parts)
    except _UNREADABLE as error:
        raise WireError("a Flower message cannot be read", received=type(error).__name__) from error
    return brought(message)


def fetched(pull: Callable[[], Any], *, tries: int = 100) -> bytes:
    """Return an object's bytes; who sent it may still be sending it.

    Raises
    ------
    WireError
        If it is not there.
    """
    pause = Event()
    for _ in range(tries):
        response = pull()
        if response.object_available:
            return bytes(response.object_content)
        if not response.object_found:
            break
        pause.wait(0.05)
    raise WireError("a part of a Flower message never came")


def brought(message: object) -> bytes:
    """Return the bytes that a Flower message brings.

    Raises
    ------
    WireError
        If it is none of ours.
    """
    held = message.content if isinstance(message, Message) and message.has_content() else {}
    parts = []
    for name in _names(len(held)):
        part = held.get(name)
        body = part.get(BODY) if isinstance(part, ConfigRecord) else None
        if not isinstance(body, bytes):
            raise WireError("a Flower message brings no message of MEDfl")
        parts.append(body)
    return b"".join(parts) if len(parts) > 1 else parts[0]


def record(body: bytes) -> RecordDict:
    """Return what a Flower message holds that brings these bytes."""
    parts = list(_cut(body))
    return RecordDict({name: ConfigRecord({BODY: part}) for name, part in zip(_names(len(parts)), parts, strict=True)})


def root(certificate: Path) -> bytes:
    """Return the certificate that the SuperLink's own is checked against."""
    return certificate.read_bytes()


def _cut(body: bytes) -> Iterator[bytes]:
    """Yield a message's bytes in parts; where it is large, what comes before its arrays is one of its own."""
    if len(body) <= PART:
        yield body
        return
    head = 8 + int.from_bytes(body[:8], "little")
    head = head if head < PART else 0
    if head:
        yield body[:head]
    for start in range(head, len(body), PART):
        yield body[start : start + PART]


def _names(number: int) -> list[str]:
    """Return what the records of a message are called; a message has one at least, and not more than the largest."""
    return [RECORD, *(f"{RECORD}.{part}" for part in range(1, min(number, MOST)))]


def _sealed(body: bytes, metadata: Metadata) -> Sealed:
    # Flower works a digest out anew wherever it is asked for, which takes seconds where a message is large.
    with no_object_id_recompute():
        message = make_message(metadata=metadata, content=record(body))
        # Flower names a message after the digest of what it holds, and asks its sender to write the name down.
        metadata.__dict__["_message_id"] = message.object_id
        empty = message_to_proto(make_message(metadata=metadata, content=RecordDict()))
        objects = {name: part.deflate() for name, part in get_all_nested_objects(message).items()}
        return Sealed(empty, get_object_tree(message), objects)
