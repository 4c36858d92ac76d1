"""Executions while they happen: one reader of the journal, whoever watches, and a page is made once for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from starlette.concurrency import run_in_threadpool

from medfl.errors import MedflError, NotFoundError
from medfl.events import RunPlanned
from medfl.store.folding import Fold, planned, view_execution
from medfl.store.home import Home
from medfl.store.views import ExecutionView

log = logging.getLogger(__name__)
LOOK = 0.15
"""Seconds between two looks into the journal, which another process writes."""


class Followed:
    """One execution, read on from where the last look ended.

    Parameters
    ----------
    home
        The store.
    busy
        Says whether somebody works on an execution, or is about to.
    execution
        Its id.

    Raises
    ------
    NotFoundError
        If there is no such execution.
    """

    def __init__(self, home: Home, busy: Callable[[str], bool], execution: str) -> None:
        self._home, self._busy, self._execution = home, busy, execution
        self._folds: dict[str, Fold] = {}
        self._next: dict[str, int] = {}
        self._shown: tuple[object, ...] = ()
        for recorded in home.journal.read(kinds=(RunPlanned.__name__,)):
            event = recorded.event
            if isinstance(event, RunPlanned) and event.execution == execution:
                self._folds[event.run] = Fold(planned(event, recorded))
                self._next[event.run] = recorded.seq + 1
        if not self._folds:
            raise NotFoundError("there is no such study", received=execution[:80], remedy="see page / for all")

    def news(self) -> ExecutionView | None:
        """Return the execution as it stands; None where nothing has happened since the last look."""
        for run in self._folds:
            self._read_on(run)
        busy = self._busy(self._execution)
        alive = [self._home.is_busy(run) if busy else False for run in self._folds]
        shown = (busy, *alive, *self._next.values())
        if shown == self._shown:
            return None
        self._shown = shown
        folds = zip(self._folds.values(), alive, strict=True)
        return view_execution([fold.result(alive=living) for fold, living in folds])

    def _read_on(self, run: str) -> None:
        fold = self._folds[run]
        if fold.view.status == "finished":
            return
        for recorded in self._home.journal.read(self._next[run], run=run):
            self._next[run] = recorded.seq + 1
            fold.take(recorded.event, recorded.at)


class Live:
    """Tells everybody who watches an execution what it has become.

    Parameters
    ----------
    home, busy
        The store, and what says whether somebody works on an execution.
    drawn
        Makes the page's changing part of an execution.
    """

    def __init__(self, home: Home, busy: Callable[[str], bool], drawn: Callable[[ExecutionView], str]) -> None:
        self._home, self._busy, self._drawn = home, busy, drawn
        self._stages: dict[str, _Stage] = {}

    @asynccontextmanager
    async def watching(self, execution: str) -> AsyncIterator[AsyncIterator[str]]:
        """Give what is to be shown, first as it stands, then whenever it changes; a slow reader misses what is between.

        Raises
        ------
        NotFoundError
            If there is no such execution.
        """
        stage = self._stages.get(execution)
        if stage is None:
            followed = await run_in_threadpool(Followed, self._home, self._busy, execution)
            stage = _Stage(followed, self._drawn)
            await stage.look()
            stage = self._stages.setdefault(execution, stage)
        with stage.watched():
            try:
                yield stage.shown()
            finally:
                if stage.watchers == 1:
                    self._stages.pop(execution, None)


class _Stage:
    """One execution that somebody watches."""

    def __init__(self, followed: Followed, drawn: Callable[[ExecutionView], str]) -> None:
        self._followed, self._drawn = followed, drawn
        self._page, self._number = "", 0
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self.watchers = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Count somebody who watches: the first has the journal read on, the last has it end."""
        self.watchers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._looking())
        try:
            yield
        finally:
            self.watchers -= 1
            if self.watchers == 0:
                self._task.cancel()
                self._task = None

    async def look(self) -> None:
        """Look once, and tell everybody if something has happened."""
        page = await run_in_threadpool(self._made)
        if page is None:
            return
        async with self._changed:
            self._page, self._number = page, self._number + 1
            self._changed.notify_all()

    async def shown(self) -> AsyncIterator[str]:
        """Yield the page as it stands, then each newer one."""
        seen = 0
        while True:
            async with self._changed:
                while self._number == seen:
                    await self._changed.wait()
                page, seen = self._page, self._number
            yield page

    def _made(self) -> str | None:
        view = self._followed.news()
        return None if view is None else self._drawn(view)

    async def _looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.look()
            except MedflError as error:
                # Such as a journal that is locked for long: what was shown stays, and the next look may go well.
                log.warning("the journal could not be read on: %s", error)
