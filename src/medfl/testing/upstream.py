"""A hub that serves with a SuperLink behind it that only notes what reaches it, and somebody who speaks to its port."""

from __future__ import annotations

import http.client
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import httpx

from medfl.hub import fleet as passing
from medfl.hub.fleet import Fleet
from medfl.hub.place import HubPlace
from medfl.hub.proofs import KEY
from medfl.over_hub import keys_of
from medfl.site.enrolled import SiteHome
from medfl.testing.hub import LOOPBACK, enrolled, proof, served

PATIENCE = 20


@dataclass
class Upstream:
    """A SuperLink that notes what reaches it, and says it backwards."""

    seen: list[httpx.Request] = field(default_factory=list)
    away: bool = False

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        await request.aread()
        if self.away:
            raise httpx.ConnectError("away")
        self.seen.append(request)
        said = httpx.ByteStream(request.content[::-1])
        return httpx.Response(207, stream=said, headers={"content-type": "application/x-protobuf", "server": "x"})


@dataclass
class Line:
    """A hub that serves, what is behind it, and a site that is enrolled."""

    hub: HubPlace
    upstream: Upstream
    home: SiteHome

    def post(
        self, path: str, body: bytes = b"", *, key: bytes | None = None, heads: dict[str, str] | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        """Call as the site, with another key or another head where told; return status, body and head."""
        line = http.client.HTTPSConnection(LOOPBACK, self.hub.about.port, context=trusting(self.hub), timeout=PATIENCE)
        shown = proof(self.home.node()) if heads is None else heads
        shown = shown | {"Cookie": "a=b"} | ({} if key is None else {KEY: b64encode(key).decode()})
        try:
            line.request("POST", path, body=body, headers=shown | {"Content-Type": "application/protobuf"})
            answer = line.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            line.close()


@contextmanager
def lined(hub: HubPlace, folder: Path, *, upstream: Upstream | None = None) -> Iterator[Line]:
    """Serve a hub with such a SuperLink, with one site that is enrolled."""
    upstream = upstream or Upstream()
    fleet = Fleet(f"{LOOPBACK}:1", hub.authority_file, lambda: keys_of(hub))
    fleet._client = httpx.AsyncClient(transport=httpx.MockTransport(upstream.answer), base_url="https://superlink")
    with patch.object(passing, "FRESH", 0.0), served(hub, fleet=fleet):
        yield Line(hub, upstream, enrolled(hub, folder, "a")["a"])


def trusting(hub: HubPlace) -> ssl.SSLContext:
    """Return what checks that this hub answers."""
    return ssl.create_default_context(cafile=str(hub.authority_file))


def raw(hub: HubPlace, body: bytes, *, context: ssl.SSLContext | None = None) -> bytes:
    """Send bytes to a hub's port, under TLS, and return all that comes back until it closes or has answered."""
    with (
        socket.create_connection((LOOPBACK, hub.about.port), timeout=PATIENCE) as plain,
        (context or trusting(hub)).wrap_socket(plain, server_hostname=LOOPBACK) as line,
    ):
        try:
            line.sendall(body)
        except OSError:
            return heard(line)  # Closed before all of it was sent.
        return heard(line)


def heard(line: socket.socket) -> bytes:
    """Return what comes until the other end closes, or has said a whole answer."""
    came = b""
    try:
        while not _whole(came) and (part := line.recv(2**16)):
            came += part
    except ConnectionError:
        pass
    return came


def _whole(came: bytes) -> bool:
    head, end, body = came.partition(b"\r\n\r\n")
    length = next((int(one[15:]) for one in head.lower().split(b"\r\n") if one.startswith(b"content-length:")), None)
    return bool(end) and length is not None and len(body) >= length
