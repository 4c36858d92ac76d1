"""Who shares masks with whom, and how many must answer.

Up to 30 sites everybody is everybody's neighbour. Beyond, a site has k neighbours (Bell et al. 2020, section 3.2): the
sites are put in an order that nobody chose, and each is joined to the k/2 before it and the k/2 after it. k is the
smallest for which the two things that can go wrong, at any site at all, are less likely than asked.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from medfl.privacy.secure.stream import worded

COMPLETE = 30
"""Sites up to which everybody is everybody's neighbour."""
FEWEST = 3
"""Sites below which a sum hides nobody: with two, each knows the other."""


def quorum(sites: int) -> int:
    """Return how many of some sites must answer: more than two thirds, so that two quorums share more than a third."""
    return max(FEWEST, 2 * sites // 3 + 1)


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """How a cohort is joined.

    Parameters
    ----------
    degree
        Neighbours of each site, k.
    quorum
        How many of a site and its neighbours (k + 1 *holders*) put one of its seeds together.
    unsafe
        Probability, at most, that somewhere so many holders collude with the hub that two quorums need no honest site
        in common. Exactly 0 where all are neighbours: there it is a count, :func:`tolerated`, and no chance.
    undone
        Probability, at most, that somewhere too few holders are left to finish the round; 0 as above.
    """

    degree: int
    quorum: int
    unsafe: float
    undone: float

    @property
    def holders(self) -> int:
        """A site and its neighbours."""
        return self.degree + 1


def tolerated(holders: int) -> int:
    """Return with how many colluding holders any two quorums still have an honest one in common."""
    return 2 * quorum(holders) - holders - 1


@lru_cache(maxsize=64)
def neighbourhood(
    sites: int, *, colluding: float = 0.05, dropping: float = 0.05, error: float = 2.0**-40
) -> Neighbourhood:
    """Return the fewest neighbours that keep both probabilities below `error`.

    Which sites collude or drop does not depend on the order, so how many of them are among k neighbours is
    hypergeometric; what holds at one site holds at all with n times the probability (Bell et al. 2020, theorem 3.10).

    Parameters
    ----------
    sites
        Size n of the cohort, at least 3.
    colluding, dropping
        Assumed shares of sites that tell the hub all they know, and that are lost in a round; at least ten sites each,
        about what 30 sites that are all neighbours bear.
    error
        What each probability is kept below.
    """
    if sites > COMPLETE:
        for degree in range(4, sites - 1, 2):
            found = _judged(sites, degree, _assumed(colluding, sites), _assumed(dropping, sites))
            if max(found.unsafe, found.undone) <= error:
                return found
    return Neighbourhood(sites - 1, quorum(sites), 0.0, 0.0)


def _assumed(share: float, sites: int) -> int:
    return min(max(math.ceil(share * sites), COMPLETE // 3), sites - 1)


def _judged(sites: int, degree: int, colluding: int, dropping: int) -> Neighbourhood:
    holders, needed = degree + 1, quorum(degree + 1)
    # At least one honest holder must be in any two quorums; and if a site is lost itself, the others must suffice.
    split = _more_than(tolerated(holders), sites - 1, colluding, degree)
    short = _more_than(holders - 1 - needed, sites - 1, dropping, degree)
    # Honest sites that stay fall apart only if k/2 in a row are not among them.
    gone = min(colluding + dropping, sites)
    apart = _more_than(degree // 2 - 1, sites, gone, degree // 2)
    return Neighbourhood(degree, needed, float(sites * (split + apart)), float(sites * short))


def _more_than(least: int, population: int, marked: int, drawn: int) -> float:
    """Return the probability that more than so many of those drawn are marked (the hypergeometric tail), exactly."""
    counts = range(least + 1, min(marked, drawn) + 1)
    ways = sum(math.comb(marked, count) * math.comb(population - marked, drawn - count) for count in counts)
    return ways / math.comb(population, drawn)


class Graph:
    """The neighbours of each site of one cohort.

    Parameters
    ----------
    cohort
        The sites, sorted.
    session
        Names the run's keys. The order depends on these two alone, so that in all rounds with the same sites everybody
        has the same neighbours and agrees with each of them once.
    """

    def __init__(self, cohort: Sequence[str], session: str) -> None:
        self.kind = neighbourhood(len(cohort))
        complete = self.kind.holders == len(cohort)
        # Complete: one list of holders for all. Else a ring, written down far enough to cut every list out of it.
        order = tuple(cohort) if complete else _shuffled(cohort, session)
        self._half = 0 if complete else self.kind.degree // 2
        self._size = len(order)
        self._ring = order[self._size - self._half :] + order + order[: self._half]
        self._place = {site: place for place, site in enumerate(order)}

    def holders(self, site: str) -> tuple[str, ...]:
        """Return a site and its neighbours, in the order in which they hold its shares."""
        start = self._place[site] if self._half else 0
        return self._ring[start : start + self.kind.holders]

    def neighbours(self, site: str) -> tuple[str, ...]:
        """Return a site's neighbours, in the same order."""
        holders, own = self.holders(site), self.place(site, of=site)
        return holders[:own] + holders[own + 1 :]

    def place(self, holder: str, *, of: str) -> int:
        """Return which holder of a site's shares another site is, from 0."""
        if not self._half:
            return self._place[holder]
        return (self._place[holder] - self._place[of] + self._half) % self._size


@lru_cache(maxsize=16)
def graph_of(cohort: tuple[str, ...], session: str) -> Graph:
    """Return the graph of a cohort; simulated sites of one process look at the same one."""
    return Graph(cohort, session)


def _shuffled(cohort: Sequence[str], session: str) -> tuple[str, ...]:
    # From a hash and not from medfl.seeds: every site checks it, in whatever version.
    stream = hashlib.shake_256(worded("medfl secure graph", session, *cohort)).digest(8 * len(cohort))
    return tuple(cohort[place] for place in np.argsort(np.frombuffer(stream, "<u8"), kind="stable"))
