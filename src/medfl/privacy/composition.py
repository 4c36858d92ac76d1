"""What several runs on one data set cost together, whoever was trained on and whoever was tested on in each.

Within one division of a table a unit is on one side only, so a run costs whichever side costs more. Runs that divide
the table alike keep each unit on its side. Where they divide it differently, a unit may have been on the dearer side
every time: every way in which it can fall is tried, and where these are too many, both sides are counted for everybody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from medfl.privacy.accountant import Accountant, Mechanism, epsilon, gathered
from medfl.privacy.budget import Side

MOST_WAYS = 64


@dataclass(frozen=True, slots=True)
class Released:
    """What one run released.

    Parameters
    ----------
    split
        Names the division of the table.
    by_side
        Mechanisms by the units that they are about.
    """

    split: str
    by_side: Mapping[Side, tuple[Mechanism, ...]]


def cost(runs: Iterable[Released], delta: float, *, accountant: Accountant = "pld") -> float:
    """Return the least ε for which all runs together are (ε, δ)-differentially private for every unit.

    Parameters
    ----------
    runs
        What was released.
    delta
        Chance that the bound fails.
    accountant
        How it is added up.
    """
    pairs = Counter(_by_split(runs).values())
    ways = 1
    for count in pairs.values():
        ways *= count + 1
    if ways > MOST_WAYS:
        both = [one for (train, test), count in pairs.items() for one in (*train, *test) * count]
        return epsilon(both, delta, accountant=accountant)
    return max(epsilon(way, delta, accountant=accountant) for way in _ways(list(pairs.items())))


_Sides = tuple[tuple[Mechanism, ...], tuple[Mechanism, ...]]


def _by_split(runs: Iterable[Released]) -> dict[str, _Sides]:
    """Return what was released of each side of each division, over all runs that divide alike."""
    found: dict[str, _Sides] = {}
    for run in runs:
        train, test = found.get(run.split, ((), ()))
        more = run.by_side
        found[run.split] = gathered((*train, *more.get("train", ()))), gathered((*test, *more.get("test", ())))
    return found


def _ways(pairs: Sequence[tuple[_Sides, int]]) -> Iterator[list[Mechanism]]:
    """Yield what was released of a unit, for each number of times that it was on the one side of each kind of run."""
    if not pairs:
        yield []
        return
    (train, test), count = pairs[0]
    for rest in _ways(pairs[1:]):
        for times in range(count + 1):
            yield [*train * times, *test * (count - times), *rest]
