"""Each event as one plain sentence, for whoever looks on: what happened, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from medfl.events import (
    DataDescribed,
    DataPrepared,
    Evaluated,
    Event,
    FineTuned,
    Noticed,
    PrivacySpent,
    RoundFinished,
    RoundStarted,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunPlanned,
    RunResumed,
    RunStarted,
    RunStopped,
    SiteAnswered,
    SiteDropped,
    SiteFailed,
    WeightsTaken,
)
from medfl.publish.dropped import since
from medfl.publish.wording import counted, duration, label, listed, number, sentence, size
from medfl.store.results import HEADLINE

KINDS: Mapping[str, tuple[type[Event], ...]] = MappingProxyType(
    {
        "trouble": (SiteFailed, SiteDropped, RunFailed, RunInterrupted, RunStopped, Noticed),
        "rounds": (RoundStarted, RoundFinished, RunPlanned, RunStarted, RunResumed, RunFinished, WeightsTaken),
        "sites": (SiteAnswered, DataDescribed, DataPrepared),
        "judged": (Evaluated, FineTuned),
        "privacy": (PrivacySpent,),
    }
)
"""What events are about, by the name of a filter."""
_UNTRAINED = "The untrained model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One event for people.

    Parameters
    ----------
    at
        When it was written down, UTC in ISO 8601.
    run, kind
        Which run it is of, and what it is about.
    site
        The site that it is about; empty where it is about none or all.
    text
        What happened, in a sentence.
    """

    at: str
    run: str
    kind: str
    site: str
    text: str


def happening(at: str, event: Event) -> Happening:
    """Return an event for people."""
    return Happening(at=at, run=event.run, kind=kind_of(event), site=site_of(event), text=_ended(event, _told(event)))


def kind_of(event: Event) -> str:
    """Return what an event is about, one of :data:`KINDS`."""
    return next((name for name, kinds in KINDS.items() if isinstance(event, kinds)), "rounds")


def _ended(event: Event, text: str) -> str:
    """Return a text as a sentence; one that begins with a site's name leaves that as it is."""
    return sentence(text) if not site_of(event) else f"{text.rstrip('.')}."


def site_of(event: Event) -> str:
    """Return the one site that an event is about; empty where it is about none or all."""
    return event.site if isinstance(event, SiteAnswered | SiteFailed | SiteDropped | Noticed) else ""


def _told(event: Event) -> str:
    match event:
        case SiteAnswered() | SiteFailed() | SiteDropped() | Noticed():
            return _of_a_site(event)
        case RoundStarted(round=number, sites=sites):
            return f"Round {number} began: {counted(len(sites), 'site')} asked"
        case RoundFinished(round=number, sites=sites):
            return f"Round {number} is stored, from {counted(len(sites), 'site')}{_loss(event.loss)}"
        case DataDescribed(sites=sites):
            return f"{counted(len(sites), 'site')} said what their tables look like"
        case DataPrepared(sites=sites):
            return f"Preprocessing was fitted over {counted(len(sites), 'site')}"
        case Evaluated():
            return _judged(event)
        case FineTuned(sites=sites):
            return f"{counted(len(sites), 'site')} went on from the model and judged their own copies"
        case PrivacySpent(stage=stage, sites=sites, unit=unit):
            whose = "The hub" if set(sites) == {""} else counted(len(sites), "site")
            return f"{whose} wrote down what {stage} costs each {unit} in privacy"
    return _of_a_run(event)


def _of_a_site(event: SiteAnswered | SiteFailed | SiteDropped | Noticed) -> str:
    match event:
        case SiteAnswered(site=site, round=number, seconds=seconds, sent=sent):
            return f"{site} answered round {number} after {duration(seconds)} with {size(sent)}{_loss(event.loss)}"
        case SiteFailed(site=site, round=number, reason=reason):
            when = f"in round {number}" if number else "before the first round"
            return f"{site} failed {when}: {_first(reason)}"
        case SiteDropped(site=site):
            text = since(event, event.round)
            return f"{site} is {text[:1].lower()}{text[1:]}"
    return f"{event.site}: {event.text}" if event.site else event.text


def _of_a_run(event: Event) -> str:
    match event:
        case RunPlanned(arm=arm, seed=seed):
            return f"{arm} with seed {seed} was planned"
        case RunStarted(sites=sites, secure=secure):
            seen = "; only sums over them are seen" if secure else ""
            return f"It began with {listed(sites, at_most=6)}{seen}"
        case RunResumed(after_round=after):
            return f"It goes on after round {after}" if after else "It starts over"
        case WeightsTaken(source=source):
            return f"Training starts from {source}"
        case RunFinished(seconds=seconds):
            return f"It finished after {duration(seconds)}"
        case RunFailed(message=message):
            return f"It failed: {_first(message)}"
        case RunInterrupted():
            return "It was interrupted"
        case RunStopped(by=by, why=why, paused=paused):
            who = f" by {by}" if by else ""
            return f"It was {'paused' if paused else 'stopped'}{who}{f': {why}' if why else ''}"
    return type(event).__name__


def _judged(event: Evaluated) -> str:
    name = next((one for one in HEADLINE if event.pooled.get(one) is not None), "")
    found = f": {label(name)} {number(event.pooled[name], metric=name)}" if name else ""
    which = "The last model" if event.final else f"The model of round {event.round}" if event.round else _UNTRAINED
    return f"{which} was judged{found}"


def _loss(loss: float | None) -> str:
    return "" if loss is None else f", loss {loss:.3f}"


def _first(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip(".")
