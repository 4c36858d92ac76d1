"""Whole messages in one call: what MEDfl adds to the SuperLink's own calls, in the SuperLink's process.

By Flower's calls a message takes seven: announced, and each of its three objects sent; fetched, with each of them, and
confirmed at the other end, every call through a chain of middleware and several transactions. Here one call brings it
and one call takes it, behind Flower's own checks of who asks. Flower's calls stay as they are, beside these.

A message with more objects than one call holds is brought by several. Each says what the message is made of and is told
what is still missing, so that whoever was cut off goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from time import monotonic
from typing import Any

from fastapi import FastAPI
from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse, PushMessagesRequest, PushMessagesResponse
from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PushAppMessagesRequest, PushAppMessagesResponse
from flwr.proto.task_pb2 import Task
from flwr.supercore.constant import TASK_TOKEN_HEADER
from flwr.supercore.dependencies.task import authenticate_task
from flwr.supercore.error import FlowerError
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.superlink.routers.fleet.node_auth import authenticate_node
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from medfl.errors import WireError
from medfl.run.flower.frames import COLLECT, ROOM, SEND, SITE, packed, read, unpacked
from medfl.run.flower.holding import Holding

LARGEST = 4 * ROOM
"""Bytes of the largest call."""
LINGER = 0.02
"""Seconds that the first answer waits for others, so that they go in one call."""
HOLD = 10.0
"""Seconds that a call may wait for answers at most."""


class Whole:
    """An ASGI application before the SuperLink's: answers the calls of this module, and passes all others on.

    Parameters
    ----------
    superlink
        The SuperLink's application.
    holding
        Its messages.
    """

    def __init__(self, superlink: FastAPI, holding: Holding) -> None:
        self._superlink, self._holding = superlink, holding
        self._calls = {SITE: self._site, SEND: self._send, COLLECT: self._collect}
        self._came = asyncio.Event()

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve one connection's event, as ASGI has it."""
        call = self._calls.get(scope["path"]) if scope["type"] == "http" else None
        if call is None:
            await self._superlink(scope, receive, send)
            return
        # Flower's checks find its state by the application.
        request = Request({**scope, "app": self._superlink, "state": {}}, receive)
        response = await _answered(call, request)
        await response(scope, receive, send)

    async def _site(self, request: Request, frames: list[bytes]) -> bytes:
        """Take a site's answer, if it brings one, and give it its next request, if there is one."""
        asked, brought = read(PullMessagesRequest, frames[0]), read(PushMessagesRequest, frames[1])
        said, found = PushMessagesResponse(), PullMessagesResponse()
        given: list[bytes] = []

        def exchange() -> None:
            request.state.protobuf_request = asked
            authenticate_node(request)
            for message in zip(brought.messages_list, brought.message_object_trees, strict=True):
                if message[0].metadata.src_node_id != asked.node.node_id:
                    raise WireError("a site answers in its own name")
                said.objects_to_push.extend(self._holding.answered(message, frames[2:]))
            if not said.objects_to_push:
                next_one, contents = self._holding.for_site(asked)
                found.CopyFrom(next_one)
                given.extend(contents)

        await run_in_threadpool(exchange)
        if brought.messages_list and not said.objects_to_push:
            self._came.set()
            self._came = asyncio.Event()
        return packed((said.SerializeToString(), found.SerializeToString(), *given))

    async def _send(self, request: Request, frames: list[bytes]) -> bytes:
        """Take a run's requests to its sites."""
        asked = read(PushAppMessagesRequest, frames[0])
        messages = list(zip(asked.messages_list, asked.message_object_trees, strict=True))

        def take() -> PushAppMessagesResponse:
            run = self._task(request).run_id
            if any(message.metadata.run_id != run or message.metadata.reply_to_message_id for message, _ in messages):
                raise WireError("a run sends its own requests")
            ids, missing = self._holding.asked(messages, frames[2:])
            return PushAppMessagesResponse(message_ids=ids, objects_to_push=missing)

        said = await run_in_threadpool(take)
        return packed((said.SerializeToString(),))

    async def _collect(self, request: Request, frames: list[bytes]) -> bytes:
        """Give a run the answers to its requests, as soon as there is one."""
        asked, until = read(PullAppMessagesRequest, frames[0]), monotonic() + _seconds(frames[1])
        while True:
            came = self._came
            found, given = await run_in_threadpool(lambda: self._holding.for_run(asked, self._task(request)))
            if found.messages_list or monotonic() >= until:
                return packed((found.SerializeToString(), *given))
            with suppress(TimeoutError):
                async with asyncio.timeout(until - monotonic()):
                    await came.wait()
                    await asyncio.sleep(LINGER)

    def _task(self, request: Request) -> Task:
        """Return whose token a call shows.

        Raises
        ------
        FlowerError
            If it is nobody's.
        """
        return authenticate_task(request, request.headers.get(TASK_TOKEN_HEADER), self._holding.state)


async def _answered(call: Callable[[Request, list[bytes]], Awaitable[bytes]], request: Request) -> Response:
    """Answer a call; whoever is refused is told no more than that."""
    if request.method != "POST":
        return Response(status_code=405)
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > LARGEST:
                return Response(status_code=413)
        return Response(await call(request, unpacked(bytes(body))), media_type=PROTOBUF_MEDIA_TYPE)
    except HTTPException as error:
        return Response(status_code=error.status_code)
    except FlowerError:
        return Response(status_code=401)
    except (WireError, ValueError, ClientDisconnect):
        return Response(status_code=400)


def _seconds(frame: bytes) -> float:
    """Return how long a run is willing to wait, which it says in milliseconds."""
    return min(max(int(frame[:9]) / 1000, 0.0), HOLD)
