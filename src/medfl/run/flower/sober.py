"""How a site reads what a SuperLink answers, which may be anything: in bounds, and nothing worse than an error."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

LARGEST = 2**31
"""Bytes of the largest answer."""


def sober(client: httpx.Client) -> httpx.Client:
    """Have a client go nowhere else, unpack nothing, and read up to a size; return it.

    A SuperLink that was broken into could else point a site into its hospital's network, or send what a few bytes blow
    up to a machine's whole memory.
    """
    client.follow_redirects = False
    client.headers["accept-encoding"] = "identity"
    client.event_hooks = {"response": [_sober]}
    return client


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
