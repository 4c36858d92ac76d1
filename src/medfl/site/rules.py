"""The language of a site's policy: what it accepts, requires and releases. What is not named is not released."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from medfl.spec.part import Part

VERSION = 1
ANY = "any"
StatisticName = Literal["sums", "update", "evaluation", "subgroups", "importance"]
Detail = Literal["rows", "missing", "classes", "other-columns", "loss", "metrics", "intervals"]


class Accepts(Part):
    """Which studies are answered at all."""

    studies: tuple[str, ...] | Literal["any"] = ()
    """Names of studies, or digests as `medfl policy check` shows them, 12 digits at least; or "any"."""
    models: tuple[str, ...] | Literal["any"] = ()
    """Kinds of model, those of installed packages among them; or "any"."""
    algorithms: tuple[str, ...] | Literal["any"] = ()
    """Kinds of aggregation rule; or "any"."""
    columns: tuple[str, ...] | Literal["any"] = ()
    """Columns that a study may know of, target and ID column among them; or "any". Others do not exist for it."""
    minimum_rows: int = Field(default=50, ge=2, le=1_000_000_000)
    """Fewest rows of the table, and fewest rows left to train on, with which the site takes part."""
    maximum_rounds: int = Field(default=200, ge=1, le=1_000_000)
    """Most rounds that a study may have."""
    test_lists: bool = False
    """Whether a study may name a file of this site with the IDs of its test rows."""
    harmonise: bool = False
    """Whether a study may have columns read under other names, in other units or with other codes."""
    patient_id: str | None = Field(default=None, min_length=1)
    """The only column by which a study may tell patients apart; left out: studies of unit = "patient" are refused."""


class LargestEpsilon(Part):
    """The largest ε that a study may ask for, by what it protects; a unit that is not named is not accepted."""

    record: float | None = Field(default=None, gt=0.0)
    """Where the unit is one row."""
    patient: float | None = Field(default=None, gt=0.0)
    """Where the unit is one patient, of several rows perhaps."""
    site: float | None = Field(default=None, gt=0.0)
    """Where the unit is the whole site."""


class Requires(Part):
    """Which protection a study must bring."""

    secure_aggregation: bool = True
    """Whether sums leave only where the hub sees nothing but their total over sites."""
    epsilon: LargestEpsilon | None = None
    """Whether a study must be differentially private, and how much so; left out: it need not be."""
    delta: float = Field(default=1e-5, gt=0.0, lt=1.0)
    """Where epsilon is required: the largest δ that a study may ask for."""


class Releases(Part):
    """What may leave. Whatever is not named here stays."""

    statistics: tuple[StatisticName, ...] = ()
    """Kinds of sums: "sums" (preprocessing), "update", "evaluation", "subgroups", "importance"."""
    details: tuple[Detail, ...] = ()
    """What the site says of itself: "rows" and "classes" (counts), "missing", "other-columns" (names), "loss"…"""
    metrics: tuple[str, ...] | Literal["any"] = ()
    """Which of the site's own metrics, where details names them; or "any"."""
    ranges: Literal["exact", "rounded", "withheld"] = "withheld"
    """Smallest and largest value of a column: as they are, widened to round numbers, or not at all."""
    categories: Literal["all", "pooled", "withheld"] = "withheld"
    """Rare categories (see counts): told, told as "(other)" together, or taken as missing values."""
    catalogue: bool = False
    """Whether the hub is told what the data sets are like: columns, and of them what is named above."""
    label_balance: bool = False
    """Whether the catalogue tells what share of the rows each class of the outcome has, in tenths or coarser."""
    hardware: bool = False
    """Whether the hub is told how many cores, about how much memory and whether a GPU the site's machine has."""
    errors: Literal["kind", "details"] = "kind"
    """Of a failure its kind only, or the sentence, which may name columns and counts."""

    @model_validator(mode="after")
    def _balance_is_in_the_catalogue(self) -> Self:
        if self.label_balance and not self.catalogue:
            raise ValueError(
                "label_balance is told in the catalogue, which stays: write catalogue = true, or leave it out"
            )
        return self


class CountRules(Part):
    """How counts of patients are protected. What is seen in a sum over sites only is not changed."""

    minimum: int = Field(default=5, ge=1, le=100_000)
    """The smallest count that is told; 1 for every count."""
    treatment: Literal["suppress", "round", "noise"] = "suppress"
    """Leave small counts out, and those from which they follow; or round all counts; or blur all counts."""
    base: int = Field(default=5, ge=2, le=10_000)
    """For "round": counts become multiples of it."""
    unbiased: bool = True
    """For "round": up or down at random so that the mean stays, instead of the nearest."""
    noise: float = Field(default=2.0, gt=0.0, le=1e6)
    """For "noise": the mean size of what is added or taken away, about."""
    minimum_test_rows: int = Field(default=20, ge=1, le=100_000)
    """Fewest test rows on which a model is judged."""
    minimum_difference: int = Field(default=5, ge=1, le=100_000)
    """Fewest rows by which what is asked may differ from what was told before; 1 for no such rule."""

    @model_validator(mode="after")
    def _minimum_protects(self) -> Self:
        if self.treatment == "round" and self.base < self.minimum:
            raise ValueError(
                f"base is smaller than minimum: write base = {self.minimum} or more, or counts below the minimum show"
            )
        return self


class BudgetRule(Part):
    """How much privacy all studies together may spend on this site's table."""

    epsilon: float = Field(gt=0.0)
    """Total ε."""
    delta: float = Field(gt=0.0, lt=1.0)
    """Total δ."""


class Approval(Part):
    """Who lets a study in at an enrolled site. In a simulation nobody is asked."""

    mode: Literal["each", "within-policy"] = "each"
    """"each": a person approves every study, by its digest; "within-policy": what all rules accept needs no person."""


class Rules(Part):
    """A whole policy."""

    version: Literal[1] = 1
    """Version of the policy's language."""
    accepts: Accepts = Accepts()
    requires: Requires = Requires()
    releases: Releases = Releases()
    counts: CountRules = CountRules()
    budget: BudgetRule | None = None
    approval: Approval = Approval()
