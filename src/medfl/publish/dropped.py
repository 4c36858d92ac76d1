"""Tells of sites that somebody left out of a study while it went on: of which runs, from when, by whom and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import MappingProxyType

from medfl.events import SiteDropped
from medfl.publish.wording import listed, sentence
from medfl.store.views import RunView

_BASELINES = MappingProxyType({"local-only": "alone", "centralised": "centralised"})


def dropped_in(runs: Iterable[RunView]) -> Iterator[tuple[str, str]]:
    """Yield each site that was left out, and in a sentence of which runs, from when on, by whom and why.

    Runs are named where the site was not left out of all of them alike.
    """
    begun = _begun(runs)
    for (site, by, why), told in _told(begun).items():
        when = ", and ".join(_phrases(site, told, begun))
        yield site, sentence(f"left out {when}{f' by {by}' if by else ''}: {why}")


def since(event: SiteDropped, rounds: int) -> str:
    """Return from when on a site was left out, by whom and why."""
    by = f" by {event.by}" if event.by else ""
    return sentence(f"left out {_when(event, rounds)}{by}: {event.why}")


def methods_of_dropped(runs: Sequence[RunView]) -> str:
    """Return what the methods section says of sites that were left out; empty where none was."""
    told: dict[str, list[str]] = {}
    for site, text in dropped_in(runs):
        told.setdefault(text, []).append(site)
    lines = [
        f"{'Site' if len(sites) == 1 else 'Sites'} {listed(sites)} {'was' if len(sites) == 1 else 'were'} "
        f"{text[:1].lower()}{text[1:]}"
        for text, sites in told.items()
    ]
    if not lines:
        return ""
    # Who decided it stands in each sentence; journals from before that was written down leave it to the coordinator.
    known = all(event.by for run in runs for event in run.dropped.values())
    said = " ".join(lines)
    said = said if known else f"By decision of the coordinator, {said[:1].lower()}{said[1:]}"
    return f"{said} From there on models were judged without their test rows."


def said_of_dropped(runs: Iterable[RunView]) -> Iterator[str]:
    """Yield in a sentence each site that was left out, of which runs, and from when on."""
    begun = _begun(runs)
    for site in sorted({site for run in begun for site in run.dropped}):
        for when in _phrases(site, [run for run in begun if site in run.dropped], begun):
            yield f"Site {site} was left out by hand: {when}."


def caution_of_dropped(runs: Iterable[RunView]) -> Iterator[str]:
    """Yield what a reader of the results must know where sites were left out."""
    begun = _begun(runs)
    sites = sorted({site for run in begun for site in run.dropped})
    if not sites:
        return
    whose, they = ("its", "it") if len(sites) == 1 else ("their", "they")
    yield (
        f"Numbers of all sites together are without {whose} patients where {listed(sites, at_most=4)} "
        f"{'was' if len(sites) == 1 else 'were'} left out; what {they} taught a model before that stays in it."
    )
    if len({frozenset(run.dropped) for run in begun}) > 1:
        yield (
            "Models that were judged with these patients and models that were judged without them are not compared: "
            "the difference could be the patients'."
        )


def missing_from(runs: Sequence[RunView]) -> str:
    """Return in a few words whose test rows are missing where runs, one a repeat, were judged; empty where none are."""
    counts = {site: sum(site in run.dropped for run in runs) for run in runs for site in run.dropped}
    return listed(
        site if count == len(runs) else f"{site} ({count} of {len(runs)} repeats)"
        for site, count in sorted(counts.items())
    )


def judged_rows(runs: Sequence[RunView]) -> int | None:
    """Return on how many test rows of all sites runs were judged; None where not all were judged at the same sites."""
    if len({present(run) for run in runs}) != 1:
        return None
    return sum(runs[0].sites[name].test_rows or 0 for name in present(runs[0]))


def present(run: RunView) -> tuple[str, ...]:
    """Return the sites at which a run's last model was judged, or would be."""
    return tuple(name for name in run.sites if name not in run.dropped)


def _begun(runs: Iterable[RunView]) -> list[RunView]:
    return [run for run in runs if run.role != "coalition" and (run.sites or run.dropped)]


def _told(begun: Iterable[RunView]) -> dict[tuple[str, str, str], list[RunView]]:
    """Return the runs that a site was left out of, by site, who decided so, and the reason."""
    found: dict[tuple[str, str, str], list[RunView]] = {}
    for run in begun:
        for event in run.dropped.values():
            found.setdefault((event.site, event.by, event.why), []).append(run)
    return found


def _phrases(site: str, told: Sequence[RunView], begun: Sequence[RunView]) -> list[str]:
    """Return from when on a site was left out; of which runs, too, unless it was the same in all of them."""
    found: dict[str, list[RunView]] = {}
    for run in told:
        found.setdefault(_when(run.dropped[site], run.planned_rounds), []).append(run)
    if len(found) == 1 and len(told) == len(begun):
        return list(found)
    return [f"of {listed(_names(some, begun))} {when}" for when, some in found.items()]


def _names(some: Sequence[RunView], begun: Sequence[RunView]) -> Iterator[str]:
    """Yield what the ways of learning of some runs are called; the repeats, too, where it is not all of them."""
    for way in dict.fromkeys(run.arm for run in some):
        mine, every = ([run for run in runs if run.arm == way] for runs in (some, begun))
        seeds = f"seed {mine[0].seed}" if len(mine) == 1 else f"seeds {listed(str(run.seed) for run in mine)}"
        yield _called(mine[0]) + ("" if len(mine) == len(every) else f" ({seeds})")


def _called(run: RunView) -> str:
    if run.role in _BASELINES:
        return _BASELINES[run.role]
    return run.arm if len(run.spec.get("arm", ())) > 1 else "federated"


def _when(event: SiteDropped, rounds: int) -> str:
    if event.round == 0:
        return "from the beginning"
    return "from the last judgement on" if event.round > rounds else f"from round {event.round} on"
