"""The only place where randomness is born.

Every random number of a run comes from a generator that is named by what it is for: the run's seed, the round, the
site and a purpose. Two processes that ask for the same name draw the same numbers, in any order, before and after a
crash; that is what makes resuming and comparing engines exact.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

STREAMS = "medfl-1"
"""Part of every stream's name, arbitrary and final: another word gives other numbers everywhere.

It is the first of its kind and no choice among results; what the published studies give for others is told in
``docs/explanation/randomness.md``.
"""


def generator(seed: int, *, round: int = 0, site: str = "", purpose: str) -> np.random.Generator:
    """Return the generator that belongs to this run seed, round, site and purpose.

    Parameters
    ----------
    seed
        The run's seed, any integer.
    round
        The round, from 1; 0 where no round is meant.
    site
        The site's name; empty at the hub.
    purpose
        What the numbers are for, e.g. ``"shuffle"``; different purposes are independent streams.
    """
    return np.random.Generator(np.random.PCG64(_entropy(seed, round, site, purpose)))


def integer(seed: int, *, round: int = 0, site: str = "", purpose: str) -> int:
    """Return one 32-bit integer of the named stream, for libraries that take an integer seed."""
    return _entropy(seed, round, site, purpose) & 0xFFFF_FFFF


def numbered(seed: int) -> np.random.RandomState:
    """Return NumPy's legacy generator, for splits that must equal scikit-learn's for the same integer."""
    state = np.random.RandomState(np.random.MT19937(_Blank(0)))
    state.seed(seed)
    return state


def plain(seed: int) -> np.random.Generator:
    """Return NumPy's ``default_rng(seed)``, for what others should be able to draw again in two lines of NumPy.

    Used for dealing one table out to sites: proportions drawn so are those of the many published comparisons that do
    ``rng = default_rng(seed); rng.dirichlet([alpha] * sites)`` for each class.
    """
    return np.random.default_rng(seed)


def _entropy(seed: int, round: int, site: str, purpose: str) -> int:
    name = f"{STREAMS}\x1f{seed}\x1f{round}\x1f{site}\x1f{purpose}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:16], "big")


class _Blank(np.random.SeedSequence):
    """What a generator starts from that is seeded again at once: mixing 624 words for it would take 100 µs."""

    def generate_state(self, n_words: int, dtype: DTypeLike = np.uint32) -> Any:
        """Return words that are nowhere used; NumPy takes them one by one, from a list 15 times as fast."""
        return [0] * n_words
