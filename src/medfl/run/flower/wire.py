"""How a message of ours travels as a Flower message: its safetensors bytes in one record, three objects in all."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from flwr.app import ConfigRecord, Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    UnexpectedObjectContentError,
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from google.protobuf.message import DecodeError

from medfl.errors import WireError

_UNREADABLE = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError),
    *(DecodeError, UnexpectedObjectContentError),
)
MOST = 500
"""Parts of the largest message that is fetched."""
HUB = 1
"""Flower's number of the hub's end."""
KIND = "query.medfl"
LIVES = 7 * 86400.0
"""Seconds after which Flower forgets a message that nobody fetched."""
RECORD, BODY = "message", "body"


def letter(body: bytes, *, run: int, to: int) -> Message:
    """Return the Flower message that brings these bytes to a node."""
    return _sealed(body, Metadata(run, "", HUB, to, "", "", time.time(), LIVES, KIND))


def answer(body: bytes, asked: MessageProto) -> Message:
    """Return the Flower message that answers another one with these bytes."""
    to = asked.metadata
    left = to.created_at + to.ttl - time.time()
    about = (to.run_id, "", to.dst_node_id, HUB, to.message_id, "", time.time(), max(left - 1, 1.0), KIND)
    return _sealed(body, Metadata(*about))


def envelope(message: Message) -> tuple[MessageProto, ObjectTree, Mapping[str, InflatableObject]]:
    """Return what announces a message, and the objects that it is made of, by their id."""
    empty = make_message(metadata=message.metadata, content=RecordDict())
    return message_to_proto(empty), get_object_tree(message), get_all_nested_objects(message)


def contents(objects: Mapping[str, InflatableObject], wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the bytes of those objects that the other end does not have yet; it may ask for others, and gets none."""
    for name in wanted:
        if name in objects:
            yield name, objects[name].deflate()


def opened(name: str, tree: ObjectTree, fetch: Callable[[str], bytes]) -> bytes:
    """Fetch the objects of a message and return the bytes that it brings.

    Raises
    ------
    WireError
        If the message is none of ours.
    """
    wanted = list(dict.fromkeys(part.object_id for part in islice(iterate_object_tree(tree), MOST + 1)))
    if len(wanted) > MOST:
        raise WireError("a Flower message has too many parts", received=f"more than {MOST}")
    parts = {part: fetch(part) for part in wanted}
    # Names are digests: what bears another one was changed, or is to be written where it does not belong.
    if any(hashlib.sha256(content).hexdigest() != part for part, content in parts.items()):
        raise WireError("a part of a Flower message is not the one that was announced")
    try:
        message = inflate_object_from_contents(name, parts)
    except _UNREADABLE as error:
        raise WireError("a Flower message cannot be read", received=type(error).__name__) from error
    return brought(message)


def brought(message: object) -> bytes:
    """Return the bytes that a Flower message brings.

    Raises
    ------
    WireError
        If it is none of ours.
    """
    record = message.content.get(RECORD) if isinstance(message, Message) and message.has_content() else None
    body = record.get(BODY) if isinstance(record, ConfigRecord) else None
    if not isinstance(body, bytes):
        raise WireError("a Flower message brings no message of MEDfl")
    return body


def record(body: bytes) -> RecordDict:
    """Return what a Flower message holds that brings these bytes."""
    return RecordDict({RECORD: ConfigRecord({BODY: body})})


def root(certificate: Path) -> bytes:
    """Return the certificate that the SuperLink's own is checked against."""
    return certificate.read_bytes()


def _sealed(body: bytes, metadata: Metadata) -> Message:
    message = make_message(metadata=metadata, content=record(body))
    # Flower names a message after the digest of what it holds, and asks its sender to write the name down.
    metadata.__dict__["_message_id"] = message.object_id
    return message
