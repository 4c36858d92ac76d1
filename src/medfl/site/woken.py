"""What wakes a site: a WebSocket to its hub, opened again for ever; while there is none, the site asks by itself.

The site proves who it is. All that can come then is that there is work; what work, it fetches itself. The other way
goes what the site has to tell.
"""

from __future__ import annotations

import json
import logging
import random
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Event, Thread
from time import monotonic
from typing import Any, Self

from medfl.channel import LARGEST
from medfl.enrolment import (
    PROTOCOL,
    WAKE,
    WOKEN,
    address,
    bytes_of,
    certificate_digest,
    json_of,
    texts,
    wake_statement,
)
from medfl.errors import MedflError, MissingExtraError, WireError
from medfl.site.enrolled import SiteHome
from medfl.site.voice import Voice
from medfl.versions import DECIDES, TELLS, Speaks, agreed, here

try:
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import ClientConnection, connect
except ImportError as missing:
    raise MissingExtraError(
        "what wakes a site is not installed", received=str(missing), remedy="pip install 'medfl[flower]'"
    ) from missing

log = logging.getLogger(__name__)
PATIENCE = 10.0
"""Seconds that the hub has to let the site in."""
SIGN = 20.0
"""Seconds between two signs of life, and for the answer to one."""
LOOK, APART = 5.0, 0.25
"""Seconds between two looks at what there is to tell, and the fewest between two messages."""
AGAIN = (0.5, 60.0)
"""Seconds between two tries to be woken: the shortest, after a connection that lasted, and the longest."""


class Woken:
    """Is woken by the hub, as long as the context lasts.

    Parameters
    ----------
    home
        The folder of an enrolled site.
    voice
        What the site has to tell.
    describe
        Returns, under ``catalogue``, what its data sets are like, and under ``hardware`` its machine, each None where
        the hub may not know; nothing where that has not changed.
    decided
        Returns what was decided on studies, by their digests; None where that has not changed.
    """

    def __init__(
        self,
        home: SiteHome,
        voice: Voice | None = None,
        *,
        describe: Callable[[], Mapping[str, Any] | None] = lambda: None,
        decided: Callable[[], Mapping[str, Any] | None] = lambda: None,
    ) -> None:
        self._home, self._voice = home, voice or Voice()
        self._describe, self._decided = describe, decided
        self._rung, self._closing = Event(), Event()
        self._line: ClientConnection | None = None
        self._told, self._channel = False, 0
        self.up = False
        """Whether the hub would wake the site now."""

    def wait(self, seconds: float) -> bool:
        """Return after so many seconds, or sooner if the site is woken or can be no longer; say whether that was so."""
        rung = self._rung.wait(seconds)
        # Whatever rings from here on is not lost: the site looks before it waits again.
        self._rung.clear()
        return rung

    def __enter__(self) -> Self:
        self._thread = Thread(target=self._keep, daemon=True)
        self._thread.start()
        self._telling = Thread(target=self._tell, daemon=True)
        self._telling.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._voice.changed.set()
        if (line := self._line) is not None:
            line.close()
        # It may be in the midst of connecting, which nobody has to wait for.
        self._thread.join(timeout=1.0)
        self._telling.join(timeout=1.0)

    def _keep(self) -> None:
        pause = AGAIN[0]
        while not self._closing.is_set():
            began, why = monotonic(), "it was closed"
            try:
                self._listen()
            except (OSError, WebSocketException, MedflError, ImportError) as error:
                # ImportError: a proxy of a kind that needs a package more.
                why = " ".join(str(error).split()) or type(error).__name__
            lasted = self.up and monotonic() - began > AGAIN[0] * 10
            self.up = False
            # What may have come meanwhile is looked for now.
            self._rung.set()
            self._tell_off(why)
            pause = AGAIN[0] if lasted else min(pause * 2, AGAIN[1])
            # Jitter, so that all sites do not come back at the same moment; no result depends on it.
            self._closing.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311

    def _listen(self) -> None:
        """Connect, prove who the site is, and listen until the connection ends."""
        enrolment = self._home.enrolled()
        where = address(enrolment.way, enrolment.port)
        with connect(
            f"wss://{where}{WAKE}",
            ssl=enrolment.reached().context(),
            proxy=_proxy(where),
            compression=None,
            user_agent_header="medfl",
            open_timeout=PATIENCE,
            ping_interval=SIGN,
            ping_timeout=SIGN,
            close_timeout=1.0,
            max_size=LARGEST,
        ) as line:
            self._line = line
            try:
                line.send(self._proof(_words(line.recv(timeout=PATIENCE))))
                while not self._closing.is_set():
                    if _words(line.recv()).get("say") == WOKEN:
                        self._wake()
            finally:
                self._line, self._channel = None, 0

    def _wake(self) -> None:
        if not self.up:
            self.up = True
            if self._told:
                log.warning("the hub wakes this site again")
                self._told = False
            self._voice.anew()
        self._rung.set()

    def _tell(self) -> None:
        """Tell the hub what there is to tell, as long as it listens."""
        while not self._closing.is_set():
            self._voice.changed.wait(LOOK)
            self._voice.changed.clear()
            line = self._line
            if line is None or not (self.up and self._channel >= TELLS):
                continue
            if (found := self._describe()) is not None:
                self._voice.describe(found["catalogue"], found.get("hardware"))
            if (decisions := self._decided()) is not None:
                self._voice.decided(decisions)
            # What could not be sent is sent over the next connection.
            with suppress(OSError, WebSocketException):
                self._voice.send(line.send)
                if self._channel >= DECIDES:
                    self._voice.send_decisions(line.send)
            # What changes in quick succession is told once.
            self._closing.wait(APART)

    def _proof(self, said: dict[str, object]) -> str:
        """Return what the site shows to the hub that has drawn a challenge for it."""
        if said.get("protocol") != PROTOCOL:
            raise WireError("site and hub speak different versions of waking", remedy="upgrade the older of them")
        self._channel = agreed(Speaks.read(said.get("speaks")), here())["channel"]
        enrolment, identity = self._home.enrolled(), self._home.identity()
        challenge = bytes_of(texts(said, "challenge")["challenge"])
        signed = wake_statement(certificate_digest(enrolment.anchor), enrolment.site, challenge)
        proof = {"identity": identity.public.hex(), "proof": identity.sign(signed).hex()}
        return json.dumps({"site": enrolment.site, "speaks": here().to_json(), **proof})

    def _tell_off(self, why: str) -> None:
        """Say once, until it has worked again, that the site is not woken."""
        if not self._told and not self._closing.is_set():
            self._told = True
            log.warning("the hub cannot wake this site (%s): it asks for work now and then instead", why)


def _words(message: str | bytes) -> dict[str, object]:
    return json_of(message.encode() if isinstance(message, str) else message)


def _proxy(where: str) -> str | None:
    """Return the proxy on the way, as everything else that the site asks of its hub takes it."""
    if urllib.request.proxy_bypass(where):
        return None
    named = urllib.request.getproxies().get("https")
    return named if named is None or "://" in named else f"http://{named}"
