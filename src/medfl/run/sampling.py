"""Whom a round asks: all sites, or some of them drawn from the run's seed and the round alone."""

from __future__ import annotations

from collections.abc import Sequence

from medfl import seeds
from medfl.spec.algorithm import AlgorithmPart


def drawn(sites: Sequence[str], algorithm: AlgorithmPart, *, seed: int, round: int) -> tuple[str, ...]:
    """Return the sites that a round asks, in their own order; every site is as likely as any other."""
    count = algorithm.asked(len(sites))
    if count == len(sites):
        return tuple(sites)
    places = seeds.generator(seed, round=round, purpose="participation").choice(len(sites), count, replace=False)
    return tuple(sites[place] for place in sorted(places))
