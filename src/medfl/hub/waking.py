"""Wakes sites: a WebSocket to each, over which the hub says that a request lies at the SuperLink.

A site proves who it is by signing what the hub has just drawn. Nothing that a request says travels here: a word that
wakes, and the site fetches what there is by the way it always does. What a site tells of itself is kept for people.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import MappingProxyType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from medfl.enrolment import PROTOCOL, WOKEN, bytes_of, json_of, texts, wake_statement
from medfl.errors import MedflError, RefusedError, VersionError, WireError
from medfl.hub.bell import heard
from medfl.hub.pace import Pace
from medfl.hub.place import HubPlace
from medfl.hub.presence import EVERY, Presence
from medfl.hub.told import Told
from medfl.versions import Speaks, agreed, here

log = logging.getLogger(__name__)
PATIENCE = 5.0
"""Seconds that whoever opens a WebSocket has for its proof."""
UNREADABLE, NOT_ENROLLED, OTHER_VERSION, TOO_LATE, REPLACED, TOO_MUCH = 4400, 4403, 4406, 4408, 4409, 4429
"""Why the hub closes a WebSocket: what came cannot be read, the site is not enrolled, it speaks other versions, no
proof came, the site has another WebSocket, it tells too much."""
MOST, A_SECOND = 100, 10.0
"""Messages that a site may send at once, and how many each second."""
TOGETHER = 0.5
"""Seconds for which what sites tell is collected before it is written down."""


@dataclass(slots=True)
class _Site:
    """A site that is connected."""

    name: str
    identity: bytes
    calls: WebSocket
    rung: asyncio.Event = field(default_factory=asyncio.Event)
    closing: int = 0
    left: float = MOST
    heard: float = field(default_factory=time.monotonic)

    def may_speak(self) -> bool:
        """Say whether it has not told too much of late."""
        now = time.monotonic()
        self.left = min(MOST, self.left + (now - self.heard) * A_SECOND) - 1
        self.heard = now
        return self.left > 0

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
        self._changed, self._news = asyncio.Event(), asyncio.Event()
        self._told: dict[str, Told] = {}
        self._fresh: set[str] = set()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Hear the bell, and keep in mind who is connected, for as long as the context lasts."""
        with heard(self._hub.folder, self.wake):
            keeping = (asyncio.create_task(self._keep()), asyncio.create_task(self._keep_told()))
            try:
                yield
            finally:
                for task in keeping:
                    task.cancel()
                await asyncio.gather(*keeping, return_exceptions=True)
                await self._write_told()
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
            await _closed(socket, _CODES.get(type(error), UNREADABLE))
            return
        await self._served(site, who)

    async def _recognised(self, socket: WebSocket) -> _Site:
        """Return the enrolled site that has signed what was drawn for it."""
        challenge = secrets.token_bytes(32)
        words = {"protocol": PROTOCOL, "challenge": challenge.hex(), "speaks": here().to_json()}
        await socket.send_text(json.dumps(words))
        async with asyncio.timeout(PATIENCE):
            try:
                said = await socket.receive_text()
            except KeyError as error:
                raise WireError("a site's proof is text") from error
        told = json_of(said.encode(errors="replace"))
        proof = texts(told, "site", "identity", "proof")
        name, identity = proof["site"], bytes_of(proof["identity"])
        try:
            signed = wake_statement(self._authority, name, challenge)
            Ed25519PublicKey.from_public_bytes(identity).verify(bytes_of(proof["proof"]), signed)
        except (ValueError, InvalidSignature) as error:
            raise WireError("whoever asks to be woken does not have the site's key", where=name[:80]) from error
        record = await run_in_threadpool(self._hub.register.standing, name, identity)
        if record.status != "approved":
            raise RefusedError("the site is not enrolled", where=name[:80], received=record.status)
        self._understood(name, Speaks.read(told.get("speaks")))
        return _Site(name, identity, socket)

    def _understood(self, site: str, speaks: Speaks) -> None:
        """Note which versions a site speaks.

        Raises
        ------
        VersionError
            If hub and site have none in common.
        """
        told = self._of(site)
        told.speaks, told.trouble = speaks, ""
        self._heard(site)
        try:
            agreed(here(), speaks)
        except VersionError as error:
            told.trouble = " ".join(str(error).split())
            raise

    def _of(self, site: str) -> Told:
        if site not in self._told:
            self._told[site] = Told.at(self._hub.folder, site)
        return self._told[site]

    def _heard(self, site: str) -> None:
        self._fresh.add(site)
        self._news.set()

    async def _listened(self, site: _Site) -> None:
        """Take what a site tells, until it has left; close its WebSocket where that cannot be taken."""
        while (said := await site.calls.receive())["type"] != "websocket.disconnect":
            if site.closing:
                continue
            if not site.may_speak():
                log.warning("site %s tells too much", site.name)
                site.end(TOO_MUCH)
                continue
            try:
                self._of(site.name).hear(json_of((said.get("text") or "").encode(errors="replace")))
                self._heard(site.name)
            except WireError as error:
                log.warning("site %s tells what cannot be read: %s", site.name, error.complaints[0].received)
                site.end(UNREADABLE)

    async def _keep_told(self) -> None:
        """Write down what sites tell, shortly after."""
        while True:
            await self._news.wait()
            await asyncio.sleep(TOGETHER)
            self._news.clear()
            await self._write_told()

    async def _write_told(self) -> None:
        fresh, self._fresh = self._fresh, set()
        for site in sorted(fresh):
            try:
                await run_in_threadpool(self._of(site).keep, self._hub.folder, site)
            except MedflError as error:
                log.warning("%s", " ".join(str(error).split()))

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
        both = (asyncio.create_task(_woken(site)), asyncio.create_task(self._listened(site)))
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


_CODES: Mapping[type[MedflError], int] = MappingProxyType({RefusedError: NOT_ENROLLED, VersionError: OTHER_VERSION})


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


async def _closed(socket: WebSocket, code: int) -> None:
    # Who has left meanwhile need not be told.
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(code)
