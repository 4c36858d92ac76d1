"""How a site reads what a SuperLink answers, which may be anything: in bounds, and nothing worse than an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
from flwr.supernode.fleet_http_client import FleetHttpClient

LARGEST = 2**31
"""Bytes of the largest answer."""


class SoberClient(FleetHttpClient):
    """Flower's client of the Fleet interface, which goes nowhere else, unpacks nothing, and reads up to a size.

    Flower's own follows a SuperLink to wherever it points, such as into a hospital's network, and unpacks what a few
    bytes blow up to a machine's whole memory.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._client.headers["accept-encoding"] = "identity"
        self._client.event_hooks = {"response": [_sober]}

    def _unary_unary(self, **named: Any) -> Any:
        try:
            return super()._unary_unary(**named)
        except ValueError as error:
            # Flower says so of an answer that is none of its messages; for a site that is as if the hub were away.
            raise httpx.DecodingError(f"not an answer of Flower: {type(error).__name__}") from error


class _Measured(httpx.SyncByteStream):
    """What comes, up to a size."""

    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for part in self._stream:
            size += len(part)
            if size > LARGEST:
                raise httpx.ReadError(f"an answer of more than {LARGEST} bytes")
            yield part

    def close(self) -> None:
        self._stream.close()


def _sober(response: httpx.Response) -> None:
    """Look at an answer's head before anything of its body is read."""
    if response.has_redirect_location:
        raise httpx.RemoteProtocolError("the hub sends the site elsewhere", request=response.request)
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx.DecodingError("the hub packs its answer, which was not asked for", request=response.request)
    if isinstance(response.stream, httpx.SyncByteStream):
        response.stream = _Measured(response.stream)
