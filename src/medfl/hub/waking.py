"""Wakes sites: a WebSocket to each, over which the hub says that a request lies at the SuperLink.

A site proves who it is by signing what the hub has just drawn. Nothing else that it sends is read, and nothing that a
request says travels here: a word that wakes, and the site fetches what there is by the way it always does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from medfl.enrolment import PROTOCOL, WOKEN, bytes_of, json_of, texts, wake_statement
from medfl.errors import MedflError, RefusedError, WireError
from medfl.hub.bell import heard
from medfl.hub.pace import Pace
from medfl.hub.place import HubPlace
from medfl.hub.presence import EVERY, Presence

log = logging.getLogger(__name__)
PATIENCE = 5.0
"""Seconds that whoever opens a WebSocket has for its proof."""
LARGEST = 4096
"""Bytes of the largest message of a site."""
UNREADABLE, NOT_ENROLLED, TOO_LATE, REPLACED = 4400, 4403, 4408, 4409
"""Why the hub closes a WebSocket: what came is no proof, the site is not enrolled, none came, the site has another."""


@dataclass(slots=True)
class _Site:
    """A site that is connected."""

    name: str
    identity: bytes
    calls: WebSocket
    rung: asyncio.Event = field(default_factory=asyncio.Event)
    closing: int = 0

    def end(self, code: int) -> None:
        """Let its WebSocket be closed."""
        self.closing = code
        self.rung.set()


class Waking:
    """The WebSockets of a hub.

    Parameters
    ----------
    hub
        Its folder.
    authority
        SHA-256 of its authority's certificate, which proofs are bound to.
    pace
        How often somebody may be refused.
    """

    def __init__(self, hub: HubPlace, authority: bytes, pace: Pace) -> None:
        self._hub, self._authority, self._pace = hub, authority, pace
        self._sites: dict[str, _Site] = {}
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Hear the bell, and keep in mind who is connected, for as long as the context lasts."""
        with heard(self._hub.folder, self.wake):
            keeping = asyncio.create_task(self._keep())
            try:
                yield
            finally:
                keeping.cancel()
                with suppress(asyncio.CancelledError):
                    await keeping
                self._sites.clear()
                if (presence := Presence.at(self._hub.folder)).connected:
                    await self._written(presence)

    def wake(self, site: str) -> None:
        """Wake a site, if it is connected."""
        if (found := self._sites.get(site)) is not None:
            found.rung.set()

    async def serve(self, socket: WebSocket) -> None:
        """Serve one WebSocket until either side closes it."""
        who = socket.client.host if socket.client else "?"
        if self._pace.wait(who) > 0:
            log.warning("refused %s a WebSocket: too many refusals", who)
            await socket.close()
            return
        await socket.accept()
        try:
            site = await self._recognised(socket)
        except WebSocketDisconnect:
            return
        except TimeoutError:
            # So does a program that only looks whether WebSockets pass: nobody is held up for it.
            log.info("closed a WebSocket of %s that brought no proof", who)
            await _closed(socket, TOO_LATE)
            return
        except MedflError as error:
            log.warning("refused %s a WebSocket: %s", who, " ".join(str(error).split()))
            self._pace.refused(who)
            await _closed(socket, NOT_ENROLLED if isinstance(error, RefusedError) else UNREADABLE)
            return
        await self._served(site, who)

    async def _recognised(self, socket: WebSocket) -> _Site:
        """Return the enrolled site that has signed what was drawn for it."""
        challenge = secrets.token_bytes(32)
        await socket.send_text(json.dumps({"protocol": PROTOCOL, "challenge": challenge.hex()}))
        async with asyncio.timeout(PATIENCE):
            try:
                said = await socket.receive_text()
            except KeyError as error:
                raise WireError("a site's proof is text") from error
        words = texts(json_of(said.encode(errors="replace")), "site", "identity", "proof")
        name, identity = words["site"], bytes_of(words["identity"])
        try:
            signed = wake_statement(self._authority, name, challenge)
            Ed25519PublicKey.from_public_bytes(identity).verify(bytes_of(words["proof"]), signed)
        except (ValueError, InvalidSignature) as error:
            raise WireError("whoever asks to be woken does not have the site's key", where=name[:80]) from error
        record = await run_in_threadpool(self._hub.register.standing, name, identity)
        if record.status != "approved":
            raise RefusedError("the site is not enrolled", where=name[:80], received=record.status)
        return _Site(name, identity, socket)

    async def _served(self, site: _Site, who: str) -> None:
        """Wake a site whenever there is work, until it leaves or has to."""
        if (before := self._sites.get(site.name)) is not None:
            log.warning(
                "refused %s its earlier WebSocket as site %s: it has opened another from %s; if that is neither a new "
                "start nor a new connection of its agent, its folder was copied",
                before.calls.client.host if before.calls.client else "?",
                site.name,
                who,
            )
            before.end(REPLACED)
        self._sites[site.name] = site
        self._changed.set()
        log.info("site %s is connected, from %s", site.name, who)
        both = (asyncio.create_task(_woken(site)), asyncio.create_task(_left(site)))
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            if self._sites.get(site.name) is site:
                del self._sites[site.name]
            self._changed.set()
            log.info("site %s has left", site.name)

    async def _keep(self) -> None:
        """Write down who is connected, now and then and at every change, and part from sites that were revoked."""
        presence = Presence.at(self._hub.folder)
        while True:
            self._changed.clear()
            await self._parted()
            if self._sites or presence.connected:
                await self._written(presence)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._changed.wait()

    async def _parted(self) -> None:
        try:
            records = await run_in_threadpool(self._hub.register.sites)
        except MedflError as error:
            log.warning("%s", " ".join(str(error).split()))
            return
        enrolled = {record.name: record.identity for record in records if record.status == "approved"}
        for site in list(self._sites.values()):
            if enrolled.get(site.name) != site.identity.hex():
                log.warning("site %s is enrolled no longer: its WebSocket is closed", site.name)
                site.end(NOT_ENROLLED)

    async def _written(self, presence: Presence) -> None:
        try:
            await run_in_threadpool(presence.keep, self._hub.folder, set(self._sites))
        except MedflError as error:
            log.warning("%s", " ".join(str(error).split()))


async def _woken(site: _Site) -> None:
    """Send the word whenever the bell was rung, from the first moment on."""
    with suppress(WebSocketDisconnect, RuntimeError):
        await site.calls.send_text(json.dumps({"say": WOKEN}))
        while not site.closing:
            await site.rung.wait()
            site.rung.clear()
            if not site.closing:
                await site.calls.send_text(json.dumps({"say": WOKEN}))
        await site.calls.close(site.closing)


async def _left(site: _Site) -> None:
    """Return when the site has left; what it says all the same is not looked at."""
    while (await site.calls.receive())["type"] != "websocket.disconnect":
        pass


async def _closed(socket: WebSocket, code: int) -> None:
    # Who has left meanwhile need not be told.
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(code)
