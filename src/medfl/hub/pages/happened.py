"""Everything that happened in an execution, newest first, and what of it one wants to see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from medfl.events import Event
from medfl.hub.pages.weather import last_words, log_of
from medfl.hub.told import Told
from medfl.publish.happening import KINDS, Happening, happening, kind_of, site_of
from medfl.publish.ways import name_of
from medfl.store.home import Home
from medfl.store.wholes import Wholes

SHOWN = 200
"""Events on a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLog:
    """What a site has told of itself: its last lines, newest first, each with its time in ISO 8601."""

    site: str
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HappenedPage:
    """What happened in an execution.

    Parameters
    ----------
    execution, study, question
        What it is.
    kinds, sites, runs
        What can be chosen: kinds of event, sites, and runs with their names.
    kind, site, run
        What was chosen; empty for all.
    happened
        The events, newest first.
    found, page, pages
        How many there are, and which page of how many this is, from 1.
    process
        The last lines of the process that works on it, where the pages started it.
    logs
        The last lines that sites have told, where they are a hub's.
    """

    execution: str
    study: str
    question: str
    kinds: tuple[str, ...]
    sites: tuple[str, ...]
    runs: tuple[tuple[str, str], ...]
    kind: str
    site: str
    run: str
    happened: tuple[Happening, ...]
    found: int
    page: int
    pages: int
    process: tuple[str, ...] = ()
    logs: tuple[SiteLog, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """What of all that happened is asked for; empty for all of it."""

    kind: str = ""
    site: str = ""
    run: str = ""
    page: int = 1

    def lets(self, event: Event) -> bool:
        """Say whether it is asked for an event."""
        return (
            self.run in ("", event.run)
            and self.site in ("", site_of(event))
            and (not self.kind or self.kind == kind_of(event))
        )


def happened_page(home: Home, whole: Wholes, execution: str, asked: Filter) -> HappenedPage:
    """Return what happened in an execution, as far as it was asked for; without what sites tell of themselves.

    Raises
    ------
    NotFoundError
        If there is no such execution.
    """
    view = whole(execution)
    found = [one for one in reversed(whole.events(execution)) if asked.lets(one.event)]
    pages = max(1, -(-len(found) // SHOWN))
    page = min(max(asked.page, 1), pages)
    sites = tuple(sorted({name for one in view.every for name in one.sites}))
    return HappenedPage(
        execution=execution,
        study=view.study,
        question=view.question,
        kinds=tuple(KINDS),
        sites=sites,
        runs=tuple((one.run, f"{name_of(view, one)}, seed {one.seed}") for one in view.every),
        kind=asked.kind,
        site=asked.site,
        run=asked.run,
        happened=tuple(happening(one.at, one.event) for one in found[(page - 1) * SHOWN : page * SHOWN]),
        found=len(found),
        page=page,
        pages=pages,
        process=last_words(log_of(home, execution)),
    )


def with_logs(page: HappenedPage, home: Home, reads: Callable[[str], bool]) -> HappenedPage:
    """Return a page with the last lines of those sites whose logs may be read: they tell of other studies, too."""
    return replace(page, logs=tuple(_logs(home, tuple(filter(reads, page.sites)))))


def _logs(home: Home, sites: tuple[str, ...]) -> Iterator[SiteLog]:
    """Yield what sites have told: lines that their agents have already cleared of what may not leave."""
    for site in sites:
        lines = Told.at(home.folder, site).lines
        if lines:
            told = ((datetime.fromtimestamp(float(one["at"]), UTC), str(one["text"])) for one in reversed(lines))
            yield SiteLog(site=site, lines=tuple((at.isoformat(timespec="seconds"), text) for at, text in told))
