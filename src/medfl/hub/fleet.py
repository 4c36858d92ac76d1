"""What the hub passes on to its SuperLink: calls of Flower's Fleet interface, by enrolled sites, and nothing else."""

from __future__ import annotations

import logging
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from pathlib import Path
from time import monotonic

import httpx
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from medfl.errors import RefusedError

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
_KEY = "flwr-public-key"


class Fleet:
    """Passes calls on.

    Parameters
    ----------
    address
        Host and port of the SuperLink.
    root
        File of the certificate that the SuperLink's own is checked against.
    enrolled
        Returns the public keys (PEM) of the nodes of all enrolled sites.
    """

    def __init__(self, address: str, root: Path, enrolled: Callable[[], Collection[bytes]]) -> None:
        self._enrolled = enrolled
        self._known: tuple[float, frozenset[bytes]] = (float("-inf"), frozenset())
        self._client = httpx.AsyncClient(
            base_url=f"https://{address}",
            verify=ssl.create_default_context(cafile=root),
            timeout=PATIENCE,
            trust_env=False,
            limits=httpx.Limits(max_connections=200, max_keepalive_connections=50),
        )

    def require_enrolled(self, request: Request) -> None:
        """Refuse whoever does not show the key of an enrolled site; that it has the key, the SuperLink checks.

        Raises
        ------
        RefusedError
            If the key is nobody's, or was revoked.
        """
        try:
            key = b64decode(request.headers.get(_KEY, ""), validate=True)
        except ValueError:
            key = b""
        if key not in self._keys():
            raise RefusedError("this key belongs to no enrolled site", remedy="enrol: medfl site enrol INVITATION")

    async def passed_on(self, request: Request) -> Response:
        """Return the SuperLink's answer, as it comes; 503 while it is away."""
        call = request.path_params["call"]
        asked = self._client.build_request(
            "POST", f"/v1/fleet/{call}", headers=_passing(request.headers), content=_measured(request)
        )
        try:
            answer = await self._client.send(asked, stream=True)
        except _TooLargeError:
            log.warning("refused a part of a message of more than %d bytes", LARGEST)
            return Response(status_code=413)
        except httpx.HTTPError as error:
            log.warning("the SuperLink did not answer %s: %s", call, type(error).__name__)
            return Response(status_code=503, headers={"Retry-After": "1"})
        return StreamingResponse(
            answer.aiter_raw(), answer.status_code, _passing(answer.headers), background=BackgroundTask(answer.aclose)
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    @property
    def fresh(self) -> bool:
        """Whether it is known, without asking anybody, who is enrolled."""
        return monotonic() - self._known[0] <= FRESH

    def _keys(self) -> frozenset[bytes]:
        if not self.fresh:
            self._known = (monotonic(), frozenset(self._enrolled()))
        return self._known[1]


def _passing(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that are for Flower."""
    return {name: value for name, value in headers.items() if name in _HEADERS or name.startswith("flwr-")}


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
