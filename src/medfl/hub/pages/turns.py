"""Work that takes a processor and memory for some seconds: one at a time, and nobody waits for long or in a crowd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from medfl.errors import CrowdedError

Made = TypeVar("Made")
PATIENCE = 20.0
"""Seconds that somebody waits for their turn."""
MOST = 8
"""How many wait at the same time."""


class Turns:
    """Lets one do heavy work at a time. Who waits holds no thread, so that all other pages go on.

    Parameters
    ----------
    patience
        Seconds that somebody waits.
    most
        How many wait.
    """

    def __init__(self, *, patience: float = PATIENCE, most: int = MOST) -> None:
        self._patience, self._most = patience, most
        self._turn, self._waiting = asyncio.Semaphore(1), 0

    async def __call__(self, request: Request, work: Callable[[], Made]) -> Made:
        """Return what some work makes, once it is its turn.

        Raises
        ------
        CrowdedError
            If too many wait already, or it took too long; also where whoever asked has left meanwhile.
        """
        async with self._taken():
            if await request.is_disconnected():
                raise _crowded()  # Nobody is there to read it.
            return await run_in_threadpool(work)

    @asynccontextmanager
    async def _taken(self) -> AsyncIterator[None]:
        """Hold the turn for a block; whatever ends it gives the turn back."""
        if self._waiting >= self._most:
            raise _crowded()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                await self._turn.acquire()
        except TimeoutError:
            raise _crowded() from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turn.release()


def _crowded() -> CrowdedError:
    return CrowdedError(
        "documents and bundles are made one at a time, and too many are asked for at the moment",
        remedy="ask again in half a minute",
    )
