"""A site that only says what it received: the other end of the engine contract.

``python -m medfl.testing.probe`` is such a site as a process, which speaks the wire format on its pipes.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from medfl.errors import Complaint, RefusedError
from medfl.messages import Arrays, Refusal, Reply, Request, from_bytes, read_frame, to_bytes, write_frame

COMPLAINTS = (
    Complaint("the ε of this study is too large", "rule budget, site «Łódź»", "ε = 8", "ask for 1 or less"),
    Complaint("a second reason"),
)
"""What :func:`probe` refuses with."""


def probe(request: Request) -> Reply | Refusal:
    """Answer as a site of the contract: send everything back and say what it looked like here.

    With ``refuse`` in its content the request is refused; with ``end`` the process that received it ends at once.
    """
    if "end" in request.content:
        os.kill(os.getpid(), signal.SIGKILL)
    if "refuse" in request.content:
        return Refusal(request=request.id, site=request.site, code=RefusedError.code, complaints=COMPLAINTS)
    asked = {name: getattr(request, name) for name in ("run", "round", "site", "task", "study", "seed")}
    content = {"asked": asked, "content": request.content, "seen": seen(request.arrays)}
    return Reply(request=request.id, site=request.site, content=content, arrays=request.arrays, seconds=0.25)


def answering(opening: bytes) -> Callable[[Request], Reply | Refusal]:
    """Return :func:`probe`, whatever the opening, for engines that ask a module for what answers."""
    return probe


def seen(arrays: Arrays) -> dict[str, list[Any]]:
    """Return type, shape and sha256 of each array."""
    return {
        name: [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
        for name, array in arrays.items()
    }


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer with :func:`probe` until the pipe is closed; the first message only opens it."""
    read_frame(requests)
    while (body := read_frame(requests)) is not None:
        request = from_bytes(body)
        if isinstance(request, Request):
            write_frame(answers, to_bytes(probe(request)))


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
