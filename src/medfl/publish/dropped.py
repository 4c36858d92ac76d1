"""Tells of sites that somebody left out of a study while it went on: from when, by whom and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from medfl.events import SiteDropped
from medfl.publish.wording import listed, sentence
from medfl.store.views import RunView


def dropped_in(runs: Iterable[RunView]) -> Iterator[tuple[str, str]]:
    """Yield each site that was dropped, and in a sentence from when on, by whom and why; what is alike once."""
    found: dict[tuple[str, str], None] = {}
    for run in runs:
        for event in run.dropped.values():
            found[event.site, since(event, run.planned_rounds)] = None
    yield from found


def since(event: SiteDropped, rounds: int) -> str:
    """Return from when on a site was left out, by whom and why."""
    if event.round == 0:
        when = "left out from the beginning"
    elif event.round > rounds:
        when = "left out of the last judgement"
    else:
        when = f"left out from round {event.round} on"
    by = f" by {event.by}" if event.by else ""
    return sentence(f"{when}{by}: {event.why}")


def methods_of_dropped(runs: Iterable[RunView]) -> str:
    """Return what the methods section says of sites that were left out; empty where none was."""
    told: dict[str, list[str]] = {}
    for site, text in dropped_in(runs):
        told.setdefault(text, []).append(site)
    lines = [
        f"{listed(sites)} {'was' if len(sites) == 1 else 'were'} {text[:1].lower()}{text[1:]}"
        for text, sites in told.items()
    ]
    if not lines:
        return ""
    return (
        f"By decision of the coordinator, {' '.join(lines)} From there on models were judged without their test rows."
    )


def caution_of_dropped(runs: Iterable[RunView]) -> Iterator[str]:
    """Yield what a reader of the results must know where sites were left out."""
    sites = sorted({site for site, _ in dropped_in(runs)})
    if sites:
        yield (
            f"{listed(sites, at_most=4)} {'was' if len(sites) == 1 else 'were'} left out while the study went on: "
            "numbers of all sites together are without them from then on, and runs before and after are not over the "
            "same patients."
        )
