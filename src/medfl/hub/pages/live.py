"""Executions while they happen: one reader of the journal, whoever watches, and a page is made once for all of them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from starlette.concurrency import run_in_threadpool

from medfl.errors import Complaint, MedflError, NotFoundError
from medfl.events import RunPlanned
from medfl.hub.again import taken_up_again
from medfl.store.decisions import dropped
from medfl.store.folding import Fold, planned, view_execution
from medfl.store.home import Home
from medfl.store.shelf import plans
from medfl.store.views import ExecutionView

log = logging.getLogger(__name__)
LOOK = 0.15
"""Seconds between two looks into the journal, which another process writes."""
NEXT, ALL = 2, 7
"""Runs ahead that each look reads, since one of them comes next; each so many looks reads all of them."""
_SECTIONS = re.compile(r"(?=<section )")


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
        self._looks = 0
        for recorded in plans(home, execution):
            event = recorded.event
            if isinstance(event, RunPlanned):
                self._folds[event.run] = Fold(planned(event, recorded))
                self._next[event.run] = recorded.seq + 1
        if not self._folds:
            raise NotFoundError("there is no such study", received=execution[:80], remedy="see page / for all")

    def news(self) -> ExecutionView | None:
        """Return the execution as it stands; None where nothing has happened since the last look."""
        for run in list(self._unread()):
            self._read_on(run)
        busy = self._busy(self._execution)
        going = {run: fold.view.status == "running" for run, fold in self._folds.items()}
        alive = [busy and going[run] and self._home.is_busy(run) for run in self._folds]
        decided = (self._home.asked_to_stop(self._execution), dropped(self._home, self._execution))
        # A site that comes back is in no journal, and a study may wait for it.
        awaited = taken_up_again(self._home, [fold.view for fold in self._folds.values()])
        shown = (busy, awaited, *alive, *decided, *self._next.values())
        if shown == self._shown:
            return None
        self._shown = shown
        folds = zip(self._folds.values(), alive, strict=True)
        return view_execution([fold.result(alive=living) for fold, living in folds])

    def _unread(self) -> Iterator[str]:
        """Yield the runs that may have gone on: of those that have not begun the next two, and at times all of them."""
        self._looks += 1
        ahead = len(self._folds) if self._looks % ALL == 1 else NEXT
        for run, fold in self._folds.items():
            if fold.view.started is None:
                ahead -= 1
            if fold.view.status != "finished" and (fold.view.started is not None or ahead >= 0):
                yield run

    def _read_on(self, run: str) -> None:
        fold = self._folds[run]
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
        Makes the page's changing part of an execution: sections, each with an id.
    unread
        Makes the section that says that the journal cannot be read, and why; an empty one without a reason.
    """

    def __init__(
        self,
        home: Home,
        busy: Callable[[str], bool],
        drawn: Callable[[ExecutionView], str],
        unread: Callable[[Sequence[Complaint]], str] = lambda complaints: "",
    ) -> None:
        self._home, self._busy, self._drawn, self._unread = home, busy, drawn, unread
        self._stages: dict[str, _Stage] = {}

    @asynccontextmanager
    async def watching(self, execution: str) -> AsyncIterator[AsyncIterator[str]]:
        """Give what is to be shown: first all as it stands, then those sections that have changed.

        A slow reader misses what is between, and nothing of how it stands now.

        Raises
        ------
        NotFoundError
            If there is no such execution.
        """
        stage = self._stages.get(execution)
        if stage is None:
            followed = await run_in_threadpool(Followed, self._home, self._busy, execution)
            stage = _Stage(followed, self._drawn, self._unread)
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

    def __init__(
        self,
        followed: Followed,
        drawn: Callable[[ExecutionView], str],
        unread: Callable[[Sequence[Complaint]], str],
    ) -> None:
        self._followed, self._drawn, self._unread = followed, drawn, unread
        self._sections: dict[str, tuple[str, int]] = {}
        self._number, self._failed = 0, False
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
        if page is None and not self._failed:
            return
        await self._told((page or "") + (self._unread(()) if self._failed else ""))
        self._failed = False

    async def _told(self, page: str) -> None:
        """Tell everybody those sections of a page that have changed."""
        async with self._changed:
            number = self._number + 1
            for section in filter(str.strip, _SECTIONS.split(page)):
                name = section.partition(">")[0].partition(" hx-swap-oob")[0]
                if self._sections.get(name, ("", 0))[0] != section:
                    self._sections[name] = section, number
                    self._number = number
            self._changed.notify_all()

    async def shown(self) -> AsyncIterator[str]:
        """Yield all sections as they stand, then those that have changed."""
        seen = 0
        while True:
            async with self._changed:
                while self._number == seen:
                    await self._changed.wait()
                news = [section for section, number in self._sections.values() if number > seen]
                seen = self._number
            yield "".join(news)

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
                await self._told(self._unread(error.complaints))
                self._failed = True
