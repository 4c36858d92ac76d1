"""What sites send: named arrays that add up.

A sum over sites does not depend on how sites are grouped, and (as replies are folded in site order) not on who was
fastest. An average is never sent: its numerator and its weight are. A rule that needs single contributions gets them
stacked instead: the same arrays, one site above the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfl.errors import WireError

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Statistic:
    """Named arrays under addition; the empty one is zero.

    Parameters
    ----------
    arrays
        Float64 or int64 arrays by name. A name that one summand lacks counts as zero there.
    """

    arrays: Mapping[str, Array] = field(default_factory=dict)

    def __add__(self, other: Statistic) -> Statistic:
        """Add name by name.

        Raises
        ------
        WireError
            If two arrays of one name differ in shape or type.
        """
        total = dict(self.arrays)
        for name, array in other.arrays.items():
            mine = total.get(name)
            if mine is None:
                total[name] = array
            else:
                _require_alike(name, mine, array)
                total[name] = mine + array
        return Statistic(total)

    def require_like(self, other: Statistic) -> None:
        """Refuse to be stacked on another one.

        Raises
        ------
        WireError
            If names, or the shapes or types of two arrays of one name, differ.
        """
        if different := sorted(self.arrays.keys() ^ other.arrays.keys()):
            raise WireError(
                f"two contributions cannot be compared: only one of them has {different[0]!r}", remedy=_ONE_VERSION
            )
        for name, array in self.arrays.items():
            _require_alike(name, other[name], array)

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def under(self, prefix: str) -> Statistic:
        """Return the part whose names start with ``prefix/``, without it."""
        start = f"{prefix}/"
        return Statistic({name.removeprefix(start): a for name, a in self.arrays.items() if name.startswith(start)})

    def without(self, prefix: str) -> Statistic:
        """Return the part whose names do not start with ``prefix/``."""
        return Statistic({name: a for name, a in self.arrays.items() if not name.startswith(f"{prefix}/")})

    def prefixed(self, prefix: str) -> Statistic:
        """Return the same arrays, each name with ``prefix/`` in front."""
        return Statistic({f"{prefix}/{name}": a for name, a in self.arrays.items()})


ZERO = Statistic()


def total(statistics: Iterable[Statistic]) -> Statistic:
    """Add up, from left to right."""
    result = ZERO
    for statistic in statistics:
        result = result + statistic
    return result


def stacked(statistics: Sequence[Statistic]) -> Statistic:
    """Return single contributions one above the other: each array gets a first axis, in the order given.

    Raises
    ------
    WireError
        If they differ in names, shapes or types.
    """
    for statistic in statistics[1:]:
        statistic.require_like(statistics[0])
    names = statistics[0].arrays if statistics else ()
    return Statistic({name: np.stack([statistic[name] for statistic in statistics]) for name in names})


_ONE_VERSION = "run the same version of MEDfl at every site"


def _require_alike(name: str, mine: Array, other: Array) -> None:
    if mine.shape != other.shape or mine.dtype != other.dtype:
        raise WireError(
            f"two contributions to {name!r} do not add up",
            received=f"{mine.dtype}{list(mine.shape)} and {other.dtype}{list(other.shape)}",
            remedy=_ONE_VERSION,
        )
