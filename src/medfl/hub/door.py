"""The hub's door: TLS, and how much and how long whoever comes in may take before the hub knows what is wanted.

Whoever speaks no TLS, or an old one, sends a head that does not end, or one that is none, is turned away with a line in
the log. Without bounds a few hundred idle connections would keep every hospital out.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from medfl.hub.behind import address_of
from medfl.hub.pace import counted_as

log = logging.getLogger(__name__)
HANDSHAKE = 10.0
"""Seconds that the beginning of TLS may take."""
HEAD = 10.0
"""Seconds that the head of a request may take."""
LARGEST_HEAD = 2**16
"""Bytes of the largest head; as much may stand between the parts of a body and behind it, with some for each byte."""
EACH = 250
"""Connections that one address may have open at once; a web server that stands before the hub brings those of many."""
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""What TLS 1.2 may use: what was recorded stays closed to whoever gets the hub's key later."""


def strict(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return what proves who the hub is; to nobody who speaks less than TLS 1.2, or with old ciphers."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    # A ticket comes after the handshake, and nobody here resumes by one: a site that reads it in one thread while it
    # writes in another can lose what it writes (CPython's gh-124984: one connection of a thousand then waits in vain).
    context.num_tickets = 0
    return context


class Doors:
    """Makes a door for each connection, and keeps in mind who has how many.

    Parameters
    ----------
    context
        What proves who the hub is.
    proxy
        Address of a web server that brings the connections of many; empty for none.
    """

    def __init__(self, context: ssl.SSLContext, proxy: str = "") -> None:
        self.context, self._proxy = context, address_of(proxy)
        self._open: list[tuple[str, asyncio.Transport]] = []

    def enter(self, who: str, transport: asyncio.Transport) -> bool:
        """Count a connection; say whether it may stay."""
        self._open = [one for one in self._open if not one[1].is_closing()]
        many = self._proxy is not None and address_of(who) == self._proxy
        counted = counted_as(who)
        if not many and sum(whose == counted for whose, _ in self._open) >= EACH:
            return False
        self._open.append((counted, transport))
        return True

    def door(self, within: Callable[[], asyncio.Protocol]) -> asyncio.Protocol:
        """Return what takes one connection, and hands it on once it is encrypted."""
        return _Door(self, within)


class _Door(asyncio.Protocol):
    """A connection that is not encrypted yet."""

    def __init__(self, doors: Doors, within: Callable[[], asyncio.Protocol]) -> None:
        self._doors, self._within = doors, within

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            return
        transport.pause_reading()
        who = _host(transport)
        if not self._doors.enter(who, transport):
            log.warning("refused %s a connection: it has %d already", who, EACH)
            transport.abort()
            return
        # Held, so that it is not collected before it is done.
        self._task = asyncio.ensure_future(self._secured(who, transport))

    async def _secured(self, who: str, transport: asyncio.Transport) -> None:
        early, loop = _Early(), asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(
                transport, early, self._doors.context, server_side=True, ssl_handshake_timeout=HANDSHAKE
            )
        except OSError as error:
            why = getattr(error, "reason", None) or type(error).__name__
            log.warning("refused %s: no TLS as the hub speaks it (%s)", who, why)
            transport.abort()
            return
        if secured is not None:
            early.hand_on(secured, self._within())


class _Early(asyncio.Protocol):
    """Keeps what comes with the last words of the handshake."""

    def __init__(self) -> None:
        self._came, self._ended = bytearray(), False

    def data_received(self, data: bytes) -> None:
        self._came += data

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = True

    def hand_on(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        """Let another protocol take the connection from here on."""
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._came:
            protocol.data_received(bytes(self._came))
        if self._ended:
            protocol.connection_lost(None)


class Patient(HttpToolsProtocol):
    """HTTP whose heads end in time and are of a size, and whose bodies are not drowned in what frames them."""

    _in_head = True
    _late: asyncio.TimerHandle | None = None
    _around = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let it go."""
        self._no_longer_late()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, in bounds."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._expect()
        self._around += len(data)
        super().data_received(data)
        if self._around > LARGEST_HEAD and not self.transport.is_closing():
            self._turned_away("what stands around the words is too much")

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._around = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a line of the head; what comes behind a body is none, whatever it says."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._in_head = False
        self._no_longer_late()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        # What frames a part in chunks is a few bytes; a client that sends single ones is slow, and no attacker.
        self._around = max(self._around - 8 * len(body), 0)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._in_head, self._around = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Turn away who does not speak HTTP."""
        log.warning("refused %s: this is no HTTP", self._who)
        self._no_longer_late()
        super().send_400_response(msg)

    @property
    def _who(self) -> str:
        return self.client[0] if self.client else "?"

    def _expect(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD, self._turned_away, f"no request came within {HEAD:g} s")

    def _no_longer_late(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _turned_away(self, why: str) -> None:
        log.warning("refused %s: %s", self._who, why)
        self._no_longer_late()
        self.transport.abort()


class Parting(WebSocketsSansIOProtocol):
    """A WebSocket that the hub's end does not stumble over where it is being closed already."""

    def shutdown(self) -> None:
        """Part, whatever the other end has or has not said."""
        try:
            super().shutdown()
        except InvalidState:
            self.transport.abort()


def _host(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else "?"
