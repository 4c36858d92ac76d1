"""Work that takes a processor and memory for some seconds: one at a time, and nobody waits for long or in a crowd.

Each account has one place among those who wait, so that nobody keeps all others out by asking again and again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from medfl.errors import CrowdedError

Made = TypeVar("Made")
PATIENCE = 20.0
"""Seconds that somebody waits for their turn."""
MOST = 8
"""How many accounts wait at the same time."""


class Turns:
    """Lets one do heavy work at a time. Who waits holds no thread, so that all other pages go on.

    Parameters
    ----------
    patience
        Seconds that somebody waits.
    most
        How many accounts wait.
    """

    def __init__(self, *, patience: float = PATIENCE, most: int = MOST) -> None:
        self._patience, self._most = patience, most
        self._turn, self._waiting = asyncio.Semaphore(1), dict[str, _Place]()

    async def __call__(self, request: Request, work: Callable[[], Made], *, who: str) -> Made:
        """Return what some work makes, once it is the turn of an account.

        Whoever asks once more for what they wait for already takes that place after it.

        Raises
        ------
        CrowdedError
            If too many wait already, the account waits for something else, or it took too long; also where whoever
            asked has left meanwhile.
        """
        async with self._taken(who, request.url.path):
            if await request.is_disconnected():
                raise _crowded()  # Nobody is there to read it.
            return await run_in_threadpool(work)

    @asynccontextmanager
    async def _taken(self, who: str, what: str) -> AsyncIterator[None]:
        """Hold the turn for a block; whatever ends it gives the turn back."""
        try:
            async with asyncio.timeout(self._patience):
                await self._waited(who, what)
        except TimeoutError:
            raise _crowded() from None
        try:
            yield
        finally:
            self._turn.release()

    async def _waited(self, who: str, what: str) -> None:
        """Wait in the one place of an account until it is its turn."""
        while (before := self._waiting.get(who)) is not None:
            if before.what != what:
                raise _one_each()
            await before.left.wait()
        if len(self._waiting) >= self._most:
            raise _crowded()
        place = self._waiting[who] = _Place(what)
        try:
            await self._turn.acquire()
        finally:
            del self._waiting[who]
            place.left.set()


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """A place among those who wait: what for, and whether it was left."""

    what: str
    left: asyncio.Event = field(default_factory=asyncio.Event)


def _crowded() -> CrowdedError:
    return CrowdedError(
        "documents and bundles are made one at a time, and too many are asked for at the moment",
        remedy="ask again in half a minute",
    )


def _one_each() -> CrowdedError:
    return CrowdedError(
        "another document or bundle that you asked for waits for its turn, and nobody waits for two",
        remedy="ask again once that one has come",
    )
