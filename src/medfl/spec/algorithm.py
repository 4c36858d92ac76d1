"""The base of every algorithm: what all of them share, and where their own parameters go.

An algorithm is one file: a frozen class with its paper's parameters as fields and three pure functions as methods. It
is found through the entry points of group ``medfl.algorithms``: each names a package, and every module in it is one
algorithm. Nothing else needs to know it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from medfl.spec.part import Part
from medfl.spec.training import LocalTraining


class AlgorithmPart(Part):
    """What all algorithms share; subclasses add ``kind: Literal["…"]`` and their parameters.

    Attributes
    ----------
    single_contributions
        True where the hub needs each site's own contribution, such as for a median: then contributions are stacked in
        site order instead of added up, and secure aggregation, which reveals only sums, is refused.
    sends
        What a site sends each round, in words that follow "Each round: "; ``{size}`` stands for the model's size.
    keeps
        What a site keeps between rounds and never sends, as a noun; empty for nothing.
    """

    single_contributions: ClassVar[bool] = False
    sends: ClassVar[str] = (
        "the change of the model's weights{size} times the number of training rows, that number, and the training loss"
    )
    keeps: ClassVar[str] = ""

    kind: str
    """The algorithm's name."""
    rounds: int = Field(default=10, ge=1, le=1_000_000)
    """Exchanges between hub and sites."""
    min_sites: int | None = Field(default=None, ge=1)
    """Sites, of those that are asked, that must answer for a round to count; all of them where it is left out."""
    fraction: float | None = Field(default=None, gt=0.0, le=1.0)
    """Share of the sites that each round asks, drawn anew from the seed (McMahan et al. 2017); all where left out."""
    min_asked: int | None = Field(default=None, ge=1)
    """Fewest sites that a round asks, however small the fraction; never fewer than min_sites, nor than one."""

    def asked(self, sites: int) -> int:
        """Return how many of so many sites a round asks: their share to the nearest whole, within the bounds."""
        if self.fraction is None:
            return sites
        share = math.floor(self.fraction * sites + 0.5)
        return min(sites, max(share, self.min_asked or 1, self.min_sites or 1))

    def shortfall(self, contributions: int) -> tuple[str, str] | None:
        """Return why so few contributions are not enough for the rule, and what to do; None where they are."""
        return None

    def misfits(self, training: LocalTraining) -> Iterator[tuple[str, str, str]]:
        """Yield each key of local training that the rule's paper does not cover, what is wrong, and what to do."""
        yield from ()
