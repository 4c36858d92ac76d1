"""What stands between a launch and the first round: which sites let the study in, whose turn it is, and its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from medfl.errors import NotFoundError
from medfl.hub.asked import Asked, Said
from medfl.hub.pages.standing import State, state_of
from medfl.hub.place import HubPlace
from medfl.hub.presence import Presence
from medfl.hub.queue import Entry
from medfl.hub.shown import utc
from medfl.hub.told import Told
from medfl.spec.study import Study
from medfl.store.home import Home
from medfl.store.shelf import whole_execution
from medfl.store.views import ExecutionView

Stand = Literal["approved", "waiting", "refused", "asked", "away", "later"]
Waits = Literal["", "people", "connection", "time", "turn", "begins"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteAsked:
    """One site of a study that is launched.

    Parameters
    ----------
    site, title, dataset
        The site, and what of it is asked for.
    stand
        It approved, waits for its people, refused, was asked and has not answered, is not connected, or is too old to
        be asked beforehand and is asked when the study begins.
    why
        In the site's words; empty where it says none.
    at
        When it said so; UTC, ISO 8601, empty where it has not.
    connected
        Whether it is connected now.
    """

    site: str
    title: str
    dataset: str
    stand: Stand
    why: str = ""
    at: str = ""
    connected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPage:
    """A study between its launch and its first round.

    Parameters
    ----------
    execution, study, question
        What it is.
    state
        Whether it is on its way, waits for somebody to go on with it, or is done.
    queued, begun
        Whether it is in the queue, and whether a round was finished.
    place, others
        Its place in the queue, from 1 on, and how many there are.
    by, not_before
        Who launched it, and when it may begin; UTC, ISO 8601, empty for at once.
    sites
        Those that are asked.
    waits, waits_for, whom
        What it waits for, in a word and in a sentence; empty where for nothing. And the sites that it waits for.
    """

    execution: str
    study: str
    question: str
    state: State
    queued: bool
    begun: bool
    place: int
    others: int
    by: str
    not_before: str
    sites: tuple[SiteAsked, ...]
    waits: Waits
    waits_for: str
    whom: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLine:
    """One study in the queue; of one that its reader may not see, only that it is there.

    Parameters
    ----------
    execution, study, by
        What it is, and who launched it; empty where the reader may not see it.
    not_before
        When it may begin; UTC, ISO 8601, empty for at once.
    begun, working
        Whether a round was finished, and whether somebody works on it now.
    waits, waits_for, whom
        What it waits for, in a word and in a sentence; empty where for nothing. And the sites that it waits for.
    """

    execution: str = ""
    study: str = ""
    by: str = ""
    not_before: str = ""
    begun: bool = False
    working: bool = False
    waits: Waits = ""
    waits_for: str = ""
    whom: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QueuePage:
    """What a hub has taken on and not finished, the next first."""

    lines: tuple[QueueLine, ...]


def launch_page(hub: HubPlace, home: Home, execution: str, busy: Callable[[str], bool]) -> LaunchPage:
    """Return how the launch of an execution stands.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    view, entries = whole_execution(home, execution), hub.queue.entries()
    place = next((number for number, one in enumerate(entries, 1) if one.execution == execution), 0)
    entry = entries[place - 1] if place else Entry(execution)
    sites, begun = tuple(_sites(hub, view)), _begun(view)
    first = view.every[0]
    waits, whom = _waits(entry, sites, working=home.is_busy(execution)) if place and not begun else ("", ())
    return LaunchPage(
        execution=execution,
        study=first.study,
        question=first.spec.get("study", {}).get("question", ""),
        state=state_of(view.every, busy),
        queued=place > 0,
        begun=begun,
        place=place,
        others=len(entries),
        by=entry.by,
        not_before=_moment(entry),
        sites=sites,
        waits=waits,
        waits_for=_sentence(waits, whom),
        whom=whom,
    )


def queue_page(hub: HubPlace, home: Home, may_see: Callable[[str], bool]) -> QueuePage:
    """Return the queue, as far as its reader may see what is in it."""
    return QueuePage(tuple(_line(hub, home, entry, may_see) for entry in hub.queue.entries()))


def _line(hub: HubPlace, home: Home, entry: Entry, may_see: Callable[[str], bool]) -> QueueLine:
    working = home.is_busy(entry.execution)
    try:
        view = whole_execution(home, entry.execution)
    except NotFoundError:
        return QueueLine(execution=entry.execution, study=entry.study, waits_for="it is not in the journal")
    begun = _begun(view)
    if not may_see(entry.execution):
        return QueueLine(not_before=_moment(entry), begun=begun, working=working)
    waits, whom = ("", ()) if begun else _waits(entry, tuple(_sites(hub, view)), working=working)
    return QueueLine(
        execution=entry.execution,
        study=entry.study,
        by=entry.by,
        not_before=_moment(entry),
        begun=begun,
        working=working,
        waits=waits,
        waits_for=_sentence(waits, whom),
        whom=whom,
    )


def _sites(hub: HubPlace, view: ExecutionView) -> Sequence[SiteAsked]:
    asked, presence = Asked.of(hub.folder, view.every[0].execution), Presence.at(hub.folder)
    titles = {record.name: record.title for record in hub.register.sites()}
    found = []
    for site, dataset in sorted(_wanted(view.every[0].spec).items()):
        connected, answer = presence.of(site)["connected"], asked.now(site, Told.at(hub.folder, site))
        found.append(
            SiteAsked(
                site=site,
                title=titles.get(site, site),
                dataset=dataset,
                stand=_stand(answer.said, connected=connected),
                why=answer.why,
                at=utc(answer.at) if answer.at and answer.said != "unanswered" else "",
                connected=connected,
            )
        )
    return found


def _wanted(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the data sets that a study's arms ask of its sites, by site."""
    wanted: dict[str, dict[str, None]] = {}
    for arm in Study.model_validate(spec).arms.values():
        for site, name in (arm.data.sites or {}).items():
            wanted.setdefault(site, {})[name] = None
    return {site: ", ".join(names) for site, names in wanted.items()}


def _stand(said: Said, *, connected: bool) -> Stand:
    match said:
        case "approved" | "waiting" | "refused":
            return said
        case "untold":
            return "later"
        case "unanswered":
            return "asked" if connected else "away"


def _waits(entry: Entry, sites: Sequence[SiteAsked], *, working: bool) -> tuple[Waits, tuple[str, ...]]:
    """Return what an execution waits for that has not begun, and for which sites."""
    waiting = tuple(one.title for one in sites if one.stand == "waiting")
    away = tuple(one.title for one in sites if one.stand == "away")
    if waiting:
        return "people", waiting
    if away:
        return "connection", away
    if entry.not_before > time.time():
        return "time", ()
    return ("begins" if working else "turn"), ()


def _sentence(waits: Waits, whom: Sequence[str]) -> str:
    """Return in a sentence what an execution waits for."""
    match waits:
        case "people":
            return f"It waits for the people of {_and(whom)}, who have to read and approve it."
        case "connection":
            return f"It waits for {_and(whom)} to connect."
        case "time":
            return "It waits for its time; every site that was asked has answered."
        case "turn":
            return "It waits for its turn."
        case "begins":
            return "It begins now."
        case "":
            return ""


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _begun(view: ExecutionView) -> bool:
    return any(run.rounds or run.status == "finished" for run in view.every)


def _moment(entry: Entry) -> str:
    return utc(entry.not_before) if entry.not_before > time.time() else ""
