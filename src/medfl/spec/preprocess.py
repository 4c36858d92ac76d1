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
    drop_first: bool | None = None
    """Leave out the first category (in sorted order), as the reference the others are compared to.

    Where it is not written, a logistic or linear regression leaves it out, so that each weight is an effect against the
    reference, and a network keeps every category.
    """

    def drops_first(self, model_kind: str) -> bool:
        """Return whether the first category goes without a column, for a model of this kind.

        A linear model with an intercept could add a number to the weights of all categories, take it off the
        intercept and predict the same: only against a reference are its weights identifiable. A network has no such
        weights to read, and a category without a column would start out as a special one.
        """
        return model_kind in ("logistic", "linear") if self.drop_first is None else self.drop_first


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
