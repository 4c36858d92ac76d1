"""That a run did not go on as it was planned: it failed, was interrupted or stopped, or goes on without a site."""

from __future__ import annotations

from dataclasses import dataclass

from medfl.events.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed(Event):
    """The run stopped with an error; its last good model stays stored.

    Parameters
    ----------
    code
        Code of the error.
    message
        What the user was told.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInterrupted(Event):
    """The user stopped the run; it can be resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStopped(Event):
    """Somebody stopped or paused the run, with ``medfl stop``, ``medfl pause`` or on a page; it can be resumed.

    Parameters
    ----------
    by, why
        Who did, and the reason that was given; empty where that was not said.
    paused
        Whether it was meant as a pause.
    """

    by: str = ""
    why: str = ""
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """The decision that a site is not asked any more.

    Parameters
    ----------
    site
        Its name.
    by, why
        Who decided so, and the reason that was given.
    decided
        When, UTC in ISO 8601.
    """

    site: str
    by: str
    why: str
    decided: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteDropped(Event):
    """A site is not asked any more, because somebody decided so.

    Parameters
    ----------
    round
        The first round without it; 0 where it was not even asked for its columns, and one more than there are rounds
        where only the last judgement is without it.
    site, by, why, decided
        As for :class:`Drop`.
    """

    round: int
    site: str
    by: str
    why: str
    decided: str = ""
