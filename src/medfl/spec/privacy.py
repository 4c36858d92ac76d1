"""What may leave a site."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from medfl.spec.part import FrozenDict, Part, Table

CLIP_NORM = 1.0
STATISTICS_SHARE = 0.1
FURTHEST = 1e30
"""Largest number that a range may end at: its square is far from the largest float64, and it is a float32."""


class DifferentialPrivacy(Part):
    """How little may be learned of one unit from all that a run releases (Dwork & Roth 2014, definition 2.4)."""

    unit: Literal["record", "patient", "site"]
    """Whom the guarantee is about: one row, all rows of one patient, or a whole site."""
    epsilon: float = Field(gt=0.0, le=100.0)
    """Largest ε of one whole run: with everything it releases besides weights."""
    delta: float | None = Field(default=None, gt=0.0, lt=1.0)
    """Chance that the bound fails; where left out the smaller of 1e-5 and a tenth of 1 / (units that a site trains on).

    For unit = "site" 1e-5 where left out.
    """
    patient_id: str | None = Field(default=None, min_length=1)
    """For unit = "patient": the column that tells patients apart; it is nobody's feature."""
    clip_norm: float = Field(default=CLIP_NORM, ge=1e-9, le=1e9)
    """Largest Euclidean norm of a unit's gradient in a step; for unit = "site", of a site's update in a round."""
    clip_quantile: float | None = Field(default=None, gt=0.0, lt=1.0)
    """For unit = "site": let the clip norm follow this quantile of the updates' lengths, from clip_norm on."""
    accountant: Literal["pld", "rdp"] = "pld"
    """How the budget is added up: privacy loss distributions, or the looser Rényi bound."""
    noise: Literal["distributed", "central"] | None = None
    """For unit = "site": who adds the noise, each site its share, or the hub; "distributed" where left out."""
    ranges: Table[tuple[float, float]] = Field(default_factory=FrozenDict)
    """Bounds of each numeric column, known without looking at the data; values beyond count as the nearer bound."""
    categories: Table[Annotated[tuple[str, ...], Field(min_length=1, max_length=1000)]] = Field(
        default_factory=FrozenDict
    )
    """Categories of each other column, known without looking at the data; any other value counts as missing."""
    statistics_share: float | None = Field(default=None, gt=0.0, lt=1.0)
    """Share of ε for what preprocessing is fitted from; training has the rest; 0.1 where left out."""

    @model_validator(mode="after")
    def _patients_have_a_column(self) -> Self:
        if self.unit == "patient" and self.patient_id is None:
            raise ValueError('unit = "patient" needs the column that tells patients apart: set patient_id')
        if self.unit != "patient" and self.patient_id is not None:
            raise ValueError(f'patient_id belongs to unit = "patient", not "{self.unit}": leave it out, or change unit')
        return self

    @model_validator(mode="after")
    def _noise_is_of_sites(self) -> Self:
        if self.unit != "site" and self.noise is not None:
            raise ValueError('noise belongs to unit = "site": each site adds its own anyway; leave it out')
        if self.unit != "site" and self.clip_quantile is not None:
            raise ValueError('clip_quantile belongs to unit = "site": leave it out, and choose clip_norm')
        if self.unit == "site" and self.statistics_share is not None:
            raise ValueError('unit = "site" has its whole budget for training: leave statistics_share out')
        return self

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for name, (low, high) in self.ranges.items():
            if not low < high:
                raise ValueError(f"ranges of {name} is one that does not rise: write [smallest, largest]")
            if not max(-low, high) <= FURTHEST or high - low < 1.0 / FURTHEST:
                raise ValueError(
                    f"ranges of {name} cannot be reckoned with: keep both ends within ±{FURTHEST:g}, and at least "
                    f"{1.0 / FURTHEST:g} apart"
                )
        for name, words in self.categories.items():
            if len(set(words)) < len(words):
                raise ValueError(f"categories of {name} has one twice: keep one of them")
        twice = sorted(self.ranges.keys() & self.categories.keys())
        if twice:
            raise ValueError(f"{twice[0]} has both a range and categories: keep one of them")
        return self

    @property
    def within_sites(self) -> bool:
        """Whether each site protects its own rows, so that nobody else need be trusted."""
        return self.unit != "site"

    @property
    def at_hub(self) -> bool:
        """Whether the hub adds the noise, and must be trusted with single updates."""
        return self.unit == "site" and self.noise == "central"

    @property
    def share(self) -> float:
        """Share of ε for statistics."""
        return STATISTICS_SHARE if self.statistics_share is None else self.statistics_share


FEWEST = 3
"""Sites below which a sum hides nobody: of two, each can subtract itself."""


class Privacy(Part):
    """Protection of what sites send."""

    secure_aggregation: bool | None = None
    """Hide each site's contribution in the sum over all of them. Left out: on for three or more sites."""
    dp: DifferentialPrivacy | None = None
    """Differential privacy; none where left out."""

    def hides(self, sites: int | None) -> bool:
        """Say whether so many sites' contributions are hidden in sums; None where their number is not known yet."""
        if self.secure_aggregation is not None:
            return self.secure_aggregation
        return sites is not None and sites >= FEWEST
