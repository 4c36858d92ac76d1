"""Slows down whoever is refused again and again."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network

from medfl.hub.behind import address_of

MOST = 20
"""Refusals that somebody may collect at once."""
EVERY = 3.0
"""Seconds after which one of them is forgotten."""
OWN = 64
"""Bits of an address of IPv6 that tell one connection to the Internet from another: all below are its owner's."""
KEPT = 10_000
"""Addresses that are remembered."""


class Pace:
    """Counts refusals for each address, as :func:`counted_as` tells them apart; one is forgotten every few seconds.

    Parameters
    ----------
    most
        Refusals that an address may collect before it has to wait.
    every
        Seconds after which one is forgotten.
    clock
        Tells seconds, from anywhere on.
    """

    def __init__(self, most: int = MOST, every: float = EVERY, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._every, self._clock = most, every, clock
        self._full: OrderedDict[str, float] = OrderedDict()
        """The moment when all refusals of an address are forgotten."""

    def refused(self, who: str) -> None:
        """Count a refusal."""
        who = counted_as(who)
        self._full[who] = max(self._full.pop(who, 0.0), self._clock()) + self._every
        while len(self._full) > KEPT:
            self._full.popitem(last=False)

    def wait(self, who: str) -> float:
        """Return the seconds that an address has to wait; 0 for none."""
        # The comparison leaves room for a single refusal more, so that who has waited is heard once.
        return max(0.0, self._full.get(counted_as(who), 0.0) - self._clock() - (self._most - 1) * self._every)


def counted_as(who: str) -> str:
    """Return what an address is counted by: the network of 2⁶⁴ that its owner has whole, where it is one of IPv6.

    Parameters
    ----------
    who
        The address; what is none stays as it is.
    """
    found = address_of(who)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((int(found), OWN), strict=False))
    return who if found is None else str(found)
