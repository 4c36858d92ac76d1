"""How the models are judged."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from medfl.spec.part import Part, Table, tagged
from medfl.spec.start import Freeze

Baseline = Literal["centralised", "local-only"]
SMALLEST_GROUP = 10
PERMUTATIONS = 20


class Grouping(Part):
    """A column by whose values patients are told apart when a model is judged; its name alone may be written."""

    column: str = Field(min_length=1)
    """The column; it need not be a feature, and is then read at the site for nothing else."""
    cuts: tuple[float, ...] | None = Field(default=None, min_length=1)
    """Where bands of a numeric column begin; without cuts each value is a group of its own."""

    @model_validator(mode="after")
    def _cuts_rise(self) -> Self:
        if self.cuts is not None and list(self.cuts) != sorted(set(self.cuts)):
            rising = ", ".join(f"{cut:g}" for cut in sorted(set(self.cuts)))
            raise ValueError(f"cuts must rise: write cuts = [{rising}]")
        return self


class Contributions(Part):
    """What each site adds: the federation is trained again without it; the kind alone may be written."""

    kind: Literal["leave-one-out", "shapley"]
    """Without each site in turn, or the mean over all orders in which sites may join (Shapley value)."""
    permutations: int | None = Field(default=None, ge=2, le=10_000)
    """For "shapley": orders drawn where there are too many coalitions to train all; 20 where left out."""

    @model_validator(mode="after")
    def _permutations_are_of_shapley(self) -> Self:
        if self.kind != "shapley" and self.permutations is not None:
            raise ValueError('permutations belongs to kind = "shapley": leave it out')
        return self

    @property
    def orders(self) -> int:
        """How many orders are drawn where they are drawn."""
        return self.permutations or PERMUTATIONS


class Importance(Part):
    """How much worse the last model gets when the values of one feature are shuffled among the test rows."""

    repeats: int = Field(default=5, ge=1, le=1000)
    """How often each feature is shuffled."""


class FineTune(Part):
    """After the last round each site trains a copy of the global model on its own rows; the copy stays at the site."""

    local_epochs: int | None = Field(default=None, ge=1)
    """Passes over the site's training rows; 1 where neither epochs nor steps are given."""
    local_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps, instead of epochs."""
    learning_rate: float | None = Field(default=None, gt=0.0)
    """Size of a step; that of [training] where left out. Everything else is as in [training]."""
    freeze: Freeze = ()
    """Layers that stay as they are, such as ["layer1"]; or "all-but-head"."""

    @model_validator(mode="after")
    def _epochs_or_steps(self) -> Self:
        if self.local_epochs is not None and self.local_steps is not None:
            raise ValueError("local_epochs and local_steps exclude each other: keep one of them")
        return self


class Evaluation(Part):
    """Test rows, baselines, operating point, intervals."""

    test_fraction: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Share of each site's rows kept for testing, stratified by outcome where each class has enough rows."""
    split_seed: int | None = Field(default=None, ge=0, le=2**32 - 1)
    """One split for all repeats, scikit-learn's train_test_split with this random_state; else each has its own."""
    id_column: str | None = None
    """Column that identifies a patient or row, used with test_ids and never as a feature."""
    test_ids: Table[str] | None = None
    """For each site, a file with the IDs of its test rows, one a line. The file stays at the site."""
    baselines: tuple[Baseline, ...] = ()
    """What the federation is compared with: all rows in one place, each site alone."""
    threshold: Annotated[float, Field(gt=0.0, lt=1.0)] | Literal["youden"] = 0.5
    """Probability from which a patient counts as positive; "youden" takes the pooled ROC's best point."""
    bootstrap: int = Field(default=200, ge=0, le=10_000)
    """Bootstrap samples behind each site's 95 % interval; 0 for none."""
    margin: float | None = Field(default=None, gt=0.0)
    """How much worse than all rows in one place is still good enough, in the unit of the first metric; else no test."""
    subgroups: Table[Annotated[Grouping, tagged("column")]] | None = Field(default=None, min_length=1)
    """For each name, how patients are grouped when the last model is judged; the site itself always is a grouping."""
    smallest_group: int | None = Field(default=None, ge=2, le=100_000)
    """Groups with fewer test rows, in all or of one outcome class, do not leave a site; 10 where left out."""
    contributions: Annotated[Contributions | None, tagged("kind")] = None
    """Whether and how the contribution of each site is measured."""
    importance: Importance | None = None
    """Whether the importance of each feature is measured."""
    fine_tune: FineTune | None = None
    """Whether each site goes on from the last global model by itself, and how; it is judged beside the global one."""

    @property
    def fewest(self) -> int:
        """Rows below which a group does not leave a site."""
        return self.smallest_group or SMALLEST_GROUP
