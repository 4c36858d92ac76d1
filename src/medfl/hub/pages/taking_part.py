"""Who takes part in a run: round by round, and in the round that is going on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType

from medfl.publish.dropped import since
from medfl.publish.wording import duration, label, number, size
from medfl.store.views import PrivacyView, RoundView, RunView

LAST = 30
"""Rounds on the map of participation."""
NOW = MappingProxyType(
    {"failed": "failed", "took part": "waits for the others", "open": "trains", "not asked": "is not asked"}
)
"""What a site does in a round that is going on, by what it has done in it so far."""
GONE = "was dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Rounds in a row in which a site did the same.

    Parameters
    ----------
    part
        "took part", "failed", "dropped", "not asked", or "open" where it has not answered yet.
    place, length
        Where it begins on the map, from 0, and how many rounds it lasts.
    first, last
        Its rounds.
    """

    part: str
    place: int
    length: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """One site of a run.

    Parameters
    ----------
    site
        Its name.
    stretches
        The last rounds.
    took, asked
        In how many of them it took part, and for how many it was asked.
    now
        What it does in the round that is going on: "trains", "waits for the others", "failed", "is not asked",
        "was dropped"; empty where none is going on.
    reason
        Why it failed last, or was dropped.
    seconds, share
        How long it worked on its last answer, in words, and of what took the slowest site longest, from 0 to 1.
    received, sent
        Bytes that reached and left it in this run, in words.
    loss, judged
        Its last training loss, and the first metric on its own test rows, in words; empty before those are known.
    spent, spent_share
        What of its privacy budget is used, in words, and as a part of the whole run's; empty and 0 where none is kept.
    """

    site: str
    stretches: tuple[Stretch, ...]
    took: int
    asked: int
    now: str = ""
    reason: str = ""
    seconds: str = ""
    share: float = 0.0
    received: str = ""
    sent: str = ""
    loss: str = ""
    judged: str = ""
    spent: str = ""
    spent_share: float = 0.0


def recent(run: RunView) -> tuple[RoundView, ...]:
    """Return the rounds on the map."""
    return tuple(line for line in run.table if line.round > 0)[-LAST:]


def presences(run: RunView, metric: str) -> Iterator[Presence]:
    """Yield each site of a run, in the order of their names."""
    rounds = recent(run)
    traffic = _traffic(run)
    slowest = max((seconds for line in rounds[-2:] for seconds in line.seconds.values()), default=0.0)
    for site in run.sites:
        parts = [(line.round, _part(run, line, site)) for line in rounds]
        worked = [line.seconds[site] for line in rounds if site in line.seconds]
        spent, spent_share = _spent(run.privacy, site)
        yield Presence(
            site=site,
            stretches=tuple(_stretches(parts)),
            took=sum(part == "took part" for _, part in parts),
            asked=sum(part not in ("not asked", "dropped") for _, part in parts),
            now=_now(run, rounds[-1], site) if rounds else "",
            reason=_reason(run, rounds, site),
            seconds=duration(worked[-1]) if worked else "",
            share=min(1.0, worked[-1] / slowest) if worked and slowest else 0.0,
            received=size(traffic[site][0]) if site in traffic else "",
            sent=size(traffic[site][1]) if site in traffic else "",
            loss=_last(f"{loss:.3f}" for line in rounds if (loss := line.site_loss.get(site)) is not None),
            judged=_judged(run, site, metric),
            spent=spent,
            spent_share=spent_share,
        )


def _part(run: RunView, line: RoundView, site: str) -> str:
    drop = run.dropped.get(site)
    if drop is not None and line.round >= drop.round:
        return "dropped"
    if site in line.failed and site not in line.participants:
        return "failed"
    if site in line.participants:
        return "took part"
    return "open" if not line.finished and site in line.asked else "not asked"


def _stretches(parts: Sequence[tuple[int, str]]) -> Iterator[Stretch]:
    place = 0
    for part, found in groupby(parts, key=lambda one: one[1]):
        rounds = [number for number, _ in found]
        yield Stretch(part=part, place=place, length=len(rounds), first=rounds[0], last=rounds[-1])
        place += len(rounds)


def _now(run: RunView, line: RoundView, site: str) -> str:
    if site in run.dropped:
        return GONE
    if line.finished or run.status != "running":
        return ""
    return NOW[_part(run, line, site)]


def _reason(run: RunView, rounds: Sequence[RoundView], site: str) -> str:
    if site in run.dropped:
        return since(run.dropped[site], run.planned_rounds)
    return _last(line.failed[site] for line in rounds if site in line.failed)


def _traffic(run: RunView) -> dict[str, tuple[int, int]]:
    """Return the bytes that reached and left each site, over all rounds."""
    total: dict[str, tuple[int, int]] = {}
    for line in run.table:
        for site, (received, sent) in line.traffic.items():
            before = total.get(site, (0, 0))
            total[site] = before[0] + received, before[1] + sent
    return total


def _judged(run: RunView, site: str, metric: str) -> str:
    found = run.sites[site].metrics.get(metric) if metric else None
    return f"{label(metric)} {number(found, metric=metric)}" if found is not None else ""


def _spent(privacy: PrivacyView | None, site: str) -> tuple[str, float]:
    """Return what a site has used of what it keeps to: ε once it has said so, before that its steps with noise."""
    if privacy is None or site not in privacy.sites:
        return "", 0.0
    words = privacy.sites[site]
    limit, planned = privacy.planned, words.get("planned") or {}
    if words.get("epsilon") is not None:
        spent = float(words["epsilon"])
        return f"ε {spent:.3g} of {limit:.3g}" if limit else f"ε {spent:.3g}", min(1.0, spent / limit) if limit else 0.0
    whole, done = int(planned.get("steps") or 0), sum(privacy.steps.get(site, {}).values())
    if not whole or limit is None:
        return "", 0.0
    return f"{done} of {whole} steps, ε ≤ {limit:.3g}", min(1.0, done / whole)


def _last(texts: Iterator[str]) -> str:
    found = ""
    for text in texts:
        found = text
    return found
