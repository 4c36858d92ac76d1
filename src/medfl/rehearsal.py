"""Tries out what differential privacy costs, on a table without secrets: a public or a made-up one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from medfl.errors import PlanError
from medfl.spec.checks import check
from medfl.spec.metrics import METRICS
from medfl.spec.study import Study

if TYPE_CHECKING:
    import pandas as pd

_LED_BY = ("auc", "r2", "accuracy")
_SIZE = 5
"""Sites that the table is dealt to where the study does not say how many it has."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One arm, tried with its noise and without.

    Parameters
    ----------
    arm
        Its name.
    rows, sites
        Rows of the table, and how many sites it was dealt to.
    metric
        The metric's name.
    private, open
        Its value with the arm's differential privacy and without; None where it is not defined.
    """

    arm: str
    rows: int
    sites: int
    metric: str
    private: float | None
    open: float | None

    def __str__(self) -> str:
        label, private, open_ = METRICS[self.metric].label, _number(self.private), _number(self.open)
        return (
            f"Tried on {self.rows} rows without secrets, dealt to {self.sites} sites: {label} {private} with the "
            f"noise, {open_} without. A site with fewer rows than these, {self.rows // self.sites} on average, needs "
            "more noise and loses more."
        )


def rehearse(study: Study, table: pd.DataFrame) -> tuple[Trial, ...]:
    """Run each arm that has differential privacy twice on a table without secrets, with its noise and without.

    Parameters
    ----------
    study
        What is planned.
    table
        Rows that may be looked at, with the study's columns. They are dealt out as the study's simulation says, else
        evenly to as many sites as it names.

    Raises
    ------
    PlanError
        If no arm has differential privacy.
    MedflError
        If the study cannot run on the table.
    """
    private = {name: arm for name, arm in study.arms.items() if arm.privacy.dp is not None}
    if not private:
        raise PlanError(
            "there is no differential privacy to try out",
            where="[privacy.dp]",
            remedy="leave --public out, or add [privacy.dp] to the study or an arm",
        )
    return tuple(trials(private, table))


def trials(
    arms: Mapping[str, Study], table: pd.DataFrame, *, told: Callable[[], None] = lambda: None
) -> Iterator[Trial]:
    """Run each arm with its noise and without, as :func:`rehearse` does, and yield what came of it.

    Parameters
    ----------
    arms
        Arms with differential privacy.
    table
        Rows that may be looked at.
    told
        Is called after each run.
    """
    for name, arm in arms.items():
        with_noise, without = (_tried(_dealt(arm, private=private), table, told) for private in (True, False))
        metric = next((metric for metric in _LED_BY if metric in with_noise["metrics"]), "log_loss")
        scores = (one["metrics"].get(metric) for one in (with_noise, without))
        yield Trial(name, len(table), len(with_noise["sites"]), metric, *scores)


def _tried(study: Study, table: pd.DataFrame, told: Callable[[], None]) -> dict[str, Any]:
    """Return the one run of a study, as ``--json`` tells it."""
    from medfl.simulate import simulate

    with TemporaryDirectory() as home:
        run: dict[str, Any] = simulate(study, table, home=home, progress=False).summary["runs"][0]
    told()
    return run


def _dealt(arm: Study, *, private: bool) -> Study:
    """Return the arm as a simulation on one table; without its differential privacy where it is to be compared with."""
    spec = arm.model_dump(mode="json", exclude_none=True)
    sites = spec["data"].pop("sites", None)
    dealt = spec["data"].get("simulate") or {"sites": len(sites) if sites else _SIZE, "partition": "iid"}
    spec["data"]["simulate"] = {key: value for key, value in dealt.items() if key not in ("table", "bundled")}
    spec["evaluation"] = {
        key: value for key, value in spec["evaluation"].items() if key not in ("test_ids", "id_column", "baselines")
    }
    spec["study"]["repeats"] = 1
    if not private:
        spec["privacy"].pop("dp")
    study = Study.model_validate(spec)
    check(study)
    return study


def rehearse_on(study: Study, path: Path) -> tuple[Trial, ...]:
    """Rehearse on a table in a file.

    Raises
    ------
    MedflError
        As :func:`rehearse` does, or if the file cannot be read.
    """
    from medfl.learn.data.tables import read_table

    return rehearse(
        study, read_table(path, columns=study.data.columns, missing=study.data.missing, decimal=study.data.decimal)
    )


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
