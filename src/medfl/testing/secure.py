"""Secure sums among sites of one process: who is there, who is lost when, and what the hub gets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from medfl.learn.statistic import Array
from medfl.messages import Arrays, Json
from medfl.privacy.secure.collector import Collector
from medfl.privacy.secure.graph import quorum
from medfl.privacy.secure.identity import Identity
from medfl.privacy.secure.member import Member
from medfl.privacy.secure.ring import OTHERS
from medfl.privacy.secure.terms import Terms
from medfl.privacy.secure.unmasked import Unmasked, UnmaskedHere

BITS: Mapping[str, int] = {OTHERS: 20}


@dataclass(frozen=True, slots=True)
class Lost:
    """Who is lost before it says hello, before it sends its numbers, and before it gives its shares."""

    keys: Collection[str] = ()
    masked: Collection[str] = ()
    closing: Collection[str] = ()


@dataclass(slots=True)
class Cohort:
    """Sites that know each other.

    Parameters
    ----------
    members
        By name.
    session
        What their keys are signed for.
    keys
        Their signed keys by run and site, as they said hello.
    """

    members: dict[str, Member]
    session: str = "session"
    keys: dict[tuple[str, str], Json] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The sites, sorted."""
        return tuple(sorted(self.members))

    def collector(self, *, run: str = "run", round: int = 1, lost: Lost | None = None) -> Collector:
        """Return the hub's first attempt at a sum over all sites that say hello."""
        away = lost.keys if lost else ()
        there = tuple(name for name in self.names if name not in away)
        for name in there:
            if (run, name) not in self.keys:
                self.keys[run, name] = self.members[name].hello(run, self.session)
        terms = Terms(
            run=run,
            session=self.session,
            round=round,
            task="train",
            cohort=there,
            threshold=quorum(len(there)),
            bits=BITS,
        )
        return Collector(terms, {name: self.keys[run, name] for name in there})

    def sum(
        self, collector: Collector, values: Mapping[str, Mapping[str, Array]], lost: Lost | None = None
    ) -> tuple[dict[str, Array], Collector]:
        """Carry a sum to its end, through as many attempts as it takes; return it and the last attempt's collector."""
        lost = lost or Lost()
        while True:
            self.send(collector, values, lost.masked)
            if not (later := collector.again()):
                self.close(collector, lost.closing)
                total = collector.total()
                if not (later := collector.again()):
                    return total, collector
            collector = later

    def send(
        self, collector: Collector, values: Mapping[str, Mapping[str, Array]], away: Collection[str] = ()
    ) -> dict[str, Arrays]:
        """Let the sites send their masked numbers; return what they sent."""
        sent: dict[str, Arrays] = {}
        for name in collector.terms.cohort:
            if name not in away:
                content, arrays = self.members[name].masked(collector.opening_for(name), values[name], asked=b"asked")
                collector.take(name, content, arrays)
                sent[name] = arrays
        return sent

    def close(self, collector: Collector, away: Collection[str] = ()) -> None:
        """Let the sites in the sum give their shares."""
        for name in collector.survivors:
            if name not in away:
                content, arrays = collector.closing_for(name)
                collector.take_shares(name, *self.members[name].shares(content, arrays))


def identity_of(name: str) -> Identity:
    """Return a site's identity that is the same in every test."""
    return Identity(hashlib.sha256(name.encode()).digest())


def cohort(sites: int, unmasked: Callable[[], Unmasked] = UnmaskedHere) -> Cohort:
    """Return some sites that know each other."""
    names = [f"s{number:03}" for number in range(sites)]
    directory = {name: identity_of(name).public for name in names}
    return Cohort({name: Member(name, identity_of(name), directory, unmasked=unmasked()) for name in names})


def values_of(names: Collection[str], size: int = 5) -> dict[str, dict[str, Array]]:
    """Return numbers for each site: a long and a short array of real numbers, and counts."""
    return {name: _values(np.random.default_rng(place), size) for place, name in enumerate(sorted(names))}


def _values(draw: np.random.Generator, size: int) -> dict[str, Array]:
    return {
        "update/weights": draw.normal(size=size),
        "loss": np.asarray(draw.normal()),
        "counts": draw.integers(0, 10**9, size=(2, 3)),
    }
