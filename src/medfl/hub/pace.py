"""Slows down whoever is refused again and again."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MOST = 20
"""Refusals that somebody may collect at once."""
EVERY = 3.0
"""Seconds after which one of them is forgotten."""
KEPT = 10_000
"""Addresses that are remembered."""


class Pace:
    """Counts refusals for each address; one is forgotten every few seconds.

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
        self._full[who] = max(self._full.pop(who, 0.0), self._clock()) + self._every
        while len(self._full) > KEPT:
            self._full.popitem(last=False)

    def wait(self, who: str) -> float:
        """Return the seconds that an address has to wait; 0 for none."""
        # The comparison leaves room for a single refusal more, so that who has waited is heard once.
        return max(0.0, self._full.get(who, 0.0) - self._clock() - (self._most - 1) * self._every)
