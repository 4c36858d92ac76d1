"""What the hub passes on to its SuperLink: calls of Flower's Fleet interface, by enrolled sites, and nothing else."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from time import monotonic

import httpx
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from medfl.hub.proofs import Proofs

log = logging.getLogger(__name__)
PATH = "/v1/fleet/{call}"
CALLS = frozenset(
    {
        "activate-node",
        "deactivate-node",
        "send-node-heartbeat",
        "pull-messages",
        "push-messages",
        "push-object",
        "pull-object",
        "confirm-message-received",
        "medfl",
    }
)
"""What a site calls. It cannot register itself, and fetches no code."""
LARGEST = 2**31
"""Bytes of the largest part of a message."""
PATIENCE = 60.0
"""Seconds that the SuperLink has for an answer."""
FRESH = 1.0
"""Seconds for which it is remembered who is enrolled."""


class Fleet:
    """Passes calls on.

    Parameters
    ----------
    address
        Host and port of the SuperLink.
    root
        File of the certificate that the SuperLink's own is checked against.
    enrolled
        Returns the public keys (PEM) of the nodes of all enrolled sites, by the sites' names.
    """

    def __init__(self, address: str, root: Path, enrolled: Callable[[], Mapping[str, bytes]]) -> None:
        self._enrolled = enrolled
        self._known: tuple[float, Mapping[bytes, str]] = (float("-inf"), {})
        self._proofs = Proofs()
        self._client = httpx.AsyncClient(
            base_url=f"https://{address}",
            verify=ssl.create_default_context(cafile=root),
            timeout=PATIENCE,
            trust_env=False,
            limits=httpx.Limits(max_connections=200, max_keepalive_connections=50),
        )

    def require_enrolled(self, request: Request) -> str:
        """Return the enrolled site that a call comes from: it has signed the moment, and no other call has used that.

        Raises
        ------
        RefusedError
            If the key is nobody's or was revoked, the signature is not the key's, or the call was made before.
        """
        return self._proofs.require(request.headers, self._known[1])

    async def passed_on(self, request: Request, site: str) -> Response:
        """Return the SuperLink's answer to a site, as it comes; 503 while it is away."""
        call = request.path_params["call"]
        asked = self._client.build_request(
            "POST", f"/v1/fleet/{call}", headers=_passing(request.headers), content=_measured(request)
        )
        try:
            answer = await self._client.send(asked, stream=True)
        except _TooLargeError:
            log.warning("refused a part of a message of more than %d bytes, of site %s", LARGEST, site)
            return Response(status_code=413, headers={"Connection": "close"})
        except ClientDisconnect:
            return Response(status_code=400)  # Nobody is there to read it.
        except httpx.HTTPError as error:
            log.warning("the SuperLink did not answer %s: %s", call, type(error).__name__)
            return Response(status_code=503, headers={"Retry-After": "1"})
        if 400 <= answer.status_code < 500:
            # A clock that is wrong, a node's number that is another site's, or bytes that are no call.
            log.warning("refused site %s at %s: by the SuperLink, with status %d", site, call, answer.status_code)
        return _PassedOn(
            answer.aiter_raw(), answer.status_code, _passing(answer.headers), background=BackgroundTask(answer.aclose)
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def look(self) -> None:
        """Look who is enrolled now."""
        self._known = (monotonic(), {key: site for site, key in self._enrolled().items()})

    @property
    def fresh(self) -> bool:
        """Whether it is known, without asking anybody, who is enrolled."""
        return monotonic() - self._known[0] <= FRESH


class _PassedOn(StreamingResponse):
    """An answer that ends where the SuperLink's does, also where that breaks off."""

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        except httpx.HTTPError as error:
            # Left unfinished, so that the site does not take a part for the whole.
            log.warning("an answer of the SuperLink broke off: %s", type(error).__name__)


def _passing(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that are for Flower, which are plain letters and digits."""
    meant = {name: value for name, value in headers.items() if name in _HEADERS or name.startswith("flwr-")}
    return {name: value for name, value in meant.items() if (name + value).isascii()}


_HEADERS = frozenset({"content-type", "content-length", "content-encoding", "accept"})


class _TooLargeError(Exception):
    """More was sent than any part of a message needs."""


async def _measured(request: Request) -> AsyncIterator[bytes]:
    """Yield what is sent, up to a size."""
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST:
            raise _TooLargeError
        yield part
