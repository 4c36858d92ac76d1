"""How the models are judged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from medfl.spec.part import Part, Table

Baseline = Literal["centralised", "local-only"]


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
