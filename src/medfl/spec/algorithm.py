"""The base of every algorithm: what all of them share, and where their own parameters go.

An algorithm is one file: a frozen class with its paper's parameters as fields and three pure functions as methods. It
is found through the entry points of group ``medfl.algorithms``: each names a package, and every module in it is one
algorithm. Nothing else needs to know it.
"""

from __future__ import annotations

from pydantic import Field

from medfl.spec.part import Part


class AlgorithmPart(Part):
    """What all algorithms share; subclasses add ``kind: Literal["…"]`` and their parameters."""

    kind: str
    """The algorithm's name."""
    rounds: int = Field(default=10, ge=1)
    """Exchanges between hub and sites."""
    min_sites: int | None = Field(default=None, ge=1)
    """Sites that must answer for a round to count; all of them where it is left out."""
