"""What sites send: named arrays that add up.

A sum over sites does not depend on how sites are grouped, and (as replies are folded in site order) not on who was
fastest. An average is never sent: its numerator and its weight are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
            elif mine.shape != array.shape or mine.dtype != array.dtype:
                raise WireError(
                    f"two contributions to {name!r} do not add up",
                    received=f"{mine.dtype}{list(mine.shape)} and {array.dtype}{list(array.shape)}",
                    remedy="run the same version of MEDfl at every site",
                )
            else:
                total[name] = mine + array
        return Statistic(total)

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def under(self, prefix: str) -> Statistic:
        """Return the part whose names start with ``prefix/``, without it."""
        start = f"{prefix}/"
        return Statistic({name.removeprefix(start): a for name, a in self.arrays.items() if name.startswith(start)})

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
