"""Whom a round asks: all sites, or some of them drawn from the run's seed and the round alone."""

from __future__ import annotations

from collections.abc import Sequence

from medfl import seeds
from medfl.spec.algorithm import AlgorithmPart


def drawn(sites: Sequence[str], algorithm: AlgorithmPart, *, seed: int, round: int) -> tuple[str, ...]:
    """Return the sites that a round asks, in their own order; every site is as likely as any other.

    Each site draws a number of its own, and the smallest are asked. So who is asked hardly changes where a site is left
    out, and two coalitions differ by whom they consist of, not by a draw of their own.
    """
    count = algorithm.asked(len(sites))
    if count == len(sites):
        return tuple(sites)
    lots = {site: seeds.generator(seed, round=round, site=site, purpose="participation").random() for site in sites}
    first = set(sorted(sites, key=lots.__getitem__)[:count])
    return tuple(site for site in sites if site in first)
