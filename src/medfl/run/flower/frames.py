"""Several messages in one call: each with its length before it, as on a pipe."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import httpx
from google.protobuf.message import DecodeError, Message

from medfl.errors import WireError
from medfl.messages import read_frame, write_frame

SITE = "/v1/fleet/medfl"
"""Where a site brings its answer and fetches its next request, in one call."""
SEND, COLLECT = "/v1/runtime/medfl-send", "/v1/runtime/medfl-collect"
"""Where a run sends requests to any number of sites, and where it waits for answers, each in one call."""
ROOM = 8 * 2**20
"""Bytes of objects that one call brings; the others are in further calls, each of which can be made again."""
M = TypeVar("M", bound=Message)


def packed(frames: Iterable[bytes]) -> bytes:
    """Return frames as one body."""
    body = io.BytesIO()
    for frame in frames:
        write_frame(body, frame)
    return body.getvalue()


def unpacked(body: bytes, *, least: int = 2) -> list[bytes]:
    """Return the frames of a body.

    Parameters
    ----------
    body
        What came.
    least
        How many there must be.

    Raises
    ------
    WireError
        If it is cut off, or says less than it must.
    """
    pipe, frames = io.BytesIO(body), []
    while (frame := read_frame(pipe)) is not None:
        frames.append(frame)
    if len(frames) < least:
        raise WireError("a call says less than it must", received=f"{len(frames)} frames")
    return frames


def read(kind: type[M], frame: bytes) -> M:
    """Return a frame as a message of this kind.

    Raises
    ------
    WireError
        If it is none.
    """
    message: M = kind()
    try:
        message.ParseFromString(frame)
    except DecodeError as error:
        raise WireError("a frame is no message of Flower's", received=f"{len(frame)} bytes") from error
    return message


def bring(objects: Mapping[str, bytes], size: int, call: Callable[[Iterable[bytes]], Sequence[str]]) -> None:
    """Make a call until nothing is missing at the other end.

    Parameters
    ----------
    objects
        What is to be brought.
    size
        Bytes of all of it, roughly; where that is little, all is brought by the first call.
    call
        Makes the call with these objects and returns which are missing.

    Raises
    ------
    httpx.RemoteProtocolError
        If the other end does not keep what it is brought.
    """
    wanted: Sequence[str] = list(objects) if size < ROOM // 2 else ()
    # What is wanted besides is none of ours.
    while missing := [name for name in call(_fitting(objects, wanted)) if name in objects]:
        if wanted and len(missing) >= len(wanted):
            raise httpx.RemoteProtocolError("what is brought is not kept")
        wanted = missing


def _fitting(objects: Mapping[str, bytes], wanted: Iterable[str]) -> Iterator[bytes]:
    """Yield as many of the wanted objects' bytes as one call brings, one at least."""
    room = ROOM
    for name in wanted:
        content = objects[name]
        if len(content) > room and room < ROOM:
            return
        room -= len(content)
        yield content
