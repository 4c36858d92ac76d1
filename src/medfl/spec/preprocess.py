"""How raw columns become numbers, fitted over all sites without moving a row."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from medfl.spec.part import Part, tagged

Impute = Literal[
    "none", "drop", "mean", "median", "most-frequent", "mean-per-site", "median-per-site", "most-frequent-per-site"
]
Scale = Literal["none", "standard", "min-max", "standard-per-site", "min-max-per-site"]


class OneHot(Part):
    """One 0/1 column for each category found at any site."""

    kind: Literal["one-hot"] = "one-hot"
    drop_first: bool = True
    """Leave out the first category (in sorted order), as the reference the others are compared to."""


class Ordinal(Part):
    """The category's position in sorted order, from 0."""

    kind: Literal["ordinal"] = "ordinal"


Encode = Annotated[OneHot | Ordinal, Field(discriminator="kind"), tagged("kind", "one-hot")]


class Preprocess(Part):
    """Missing values, categories, scales; in this order."""

    impute: Impute = "none"
    """What fills a missing value; "none" refuses tables that have any, "drop" leaves such rows out.

    Categories always take the most frequent.
    """
    encode: Encode = OneHot()
    """How categories become numbers; the kind alone may be written: encode = "one-hot"."""
    scale: Scale = "standard"
    """How features are brought to one scale; "per-site" variants use each site's own numbers."""
    median_bins: int = Field(default=1024, ge=16, le=65536)
    """Bins of the histogram that medians are read from; the median is exact to one bin."""
