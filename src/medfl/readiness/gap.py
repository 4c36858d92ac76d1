"""One thing in which a site's table does not fit a study or the other sites' tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from medfl.errors import Complaint
from medfl.readiness.repair import Repair

Kind: TypeAlias = Literal[
    "missing", "extra", "unusable", "type", "unit", "categories", "range", "missingness", "classes", "few"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One thing that does not fit.

    Parameters
    ----------
    site, column
        Where; the column by the study's name.
    kind
        What is amiss with it.
    expected, found
        What the study or the other sites have, and what this one has.
    says
        All of it as a sentence without its full stop.
    remedy
        What to do, in words.
    repair
        What would repair it, where that can be guessed.
    blocks
        Whether no run is possible as it is.
    """

    site: str
    column: str
    kind: Kind
    expected: str
    found: str
    says: str
    remedy: str
    repair: Repair | None = None
    blocks: bool = False

    @property
    def complaint(self) -> Complaint:
        """It as any other complaint is told, with the line that would repair it."""
        remedy = self.remedy
        if self.repair is not None:
            remedy = f"if that is so, write in {self.repair.table}: {self.repair.toml}"
        return Complaint(self.says, f"site {self.site}", "", remedy)
