"""A site's end on a stock SuperNode, which starts a process for each message: answer one message and be gone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from flwr.app import Message as Message  # named so for those who may not know Flower
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import Metadata

from medfl.errors import MedflError, WireError
from medfl.messages import Refusal, Request, from_bytes, to_bytes
from medfl.run.flower.greeting import HELLO, Greeting, installed
from medfl.run.flower.postbox import Postbox
from medfl.run.flower.serving import Answer, Answering, settle
from medfl.run.flower.wire import brought, record
from medfl.run.threads import single_threaded


def replied(message: Message, answer: Answer, *, site: Callable[[], str], folder: Path) -> Message:
    """Return the reply to a message of the hub's: a greeting, or the answer to a request.

    A request that comes once more gets the answer that it got; one that the site has died of twice is refused.

    Parameters
    ----------
    message
        What came.
    answer
        What answers a request.
    site
        Says which site this is, or raises what keeps it from answering.
    folder
        Where answers are kept for a request that comes once more.

    Raises
    ------
    MedflError
        If the message is none of MEDfl's, or the site cannot answer.
    """
    body = brought(message)
    if body == HELLO:
        return _reply(Greeting(site(), installed()).to_bytes(), message)
    # Flower names a message anew each time it is sent; what the site remembers goes by what is asked.
    named = MessageProto(metadata=Metadata(message_id=hashlib.sha256(body).hexdigest()))
    box = Postbox(folder)
    with single_threaded():
        settle(box, named, body, Answering(answer))
    said = {kept.metadata.message_id: (kept, answered) for kept, answered in box.unsent()}
    for kept, _ in said.values():
        box.sent(kept)
    return _reply(said[named.metadata.message_id][1], message)


def refused(message: Message, error: MedflError) -> Message:
    """Return the reply of a site that cannot answer, so that its reasons travel and nothing else does."""
    try:
        body = brought(message)
        request = None if body == HELLO else from_bytes(body)
    except WireError:
        body, request = b"", None
    if body == HELLO:
        return _reply(Greeting("", installed(), str(error)).to_bytes(), message)
    about = (request.id, request.site) if isinstance(request, Request) else ("", "")
    return _reply(
        to_bytes(Refusal(request=about[0], site=about[1], code=error.code, complaints=error.complaints)), message
    )


def _reply(body: bytes, message: Message) -> Message:
    return Message(record(body), reply_to=message)
