"""The process that tries out for a page what differential privacy costs: a study's text in, its file of results out."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medfl.errors import MedflError, PlanError
from medfl.learn.data.tables import bundled, read_table
from medfl.privacy.cells import outward
from medfl.private import write_private
from medfl.rehearsal import trials
from medfl.spec.checks import check
from medfl.spec.metrics import METRICS
from medfl.spec.reading import parse
from medfl.spec.study import Study

if TYPE_CHECKING:
    import pandas as pd

SECONDS = 180
"""After this long it is ended."""
MOST = 3
"""Arms that are tried."""
PUBLIC = "breast-cancer"
"""The bundled table on which a study is tried that names hospitals' own."""


def main(words: list[str]) -> None:
    """Try what the file `words[0]` says, with paths from the folder `words[1]`, and write the results to `words[2]`."""
    with suppress(OSError, AttributeError):
        os.nice(5)
    if hasattr(signal, "alarm"):
        signal.alarm(SECONDS)
    carry_out(Path(words[0]).read_text(encoding="utf-8"), Path(words[1]), Path(words[2]))


def carry_out(text: str, base: Path, results: Path) -> None:
    """Try a study, and write down after each run how far it is, and in the end what came of it.

    Parameters
    ----------
    text
        The study.
    base
        Where the paths in it start from.
    results
        The file for what came of it, or why nothing did.
    """
    said: dict[str, Any] = {"done": 0, "of": 0, "trials": [], "why": "", "finished": False}

    def told() -> None:
        said["done"] += 1
        write_private(results, json.dumps(said).encode())

    try:
        arms, table = ready(parse(text, source="study.toml"), base)
        said["of"] = 2 * len(arms)
        for trial in trials(arms, table, told=told):
            dp = arms[trial.arm].privacy.dp
            one = asdict(trial) | {"metric": METRICS[trial.metric].label, "epsilon": dp.epsilon if dp else 0.0}
            said["trials"].append(one)
    except MedflError as error:
        said["why"] = "; ".join(one.what for one in error.complaints)
    said["finished"] = True
    write_private(results, json.dumps(said).encode())


def table_of(study: Study) -> tuple[str, bool]:
    """Return the table on which a study is tried, and whether it is the study's own."""
    simulate = study.data.simulate
    if simulate is not None and simulate.table is not None:
        return simulate.table, True
    return (simulate.bundled, True) if simulate is not None and simulate.bundled is not None else (PUBLIC, False)


def ready(study: Study, base: Path) -> tuple[dict[str, Study], pd.DataFrame]:
    """Return the arms that are tried, by name, and the rows.

    A table that is dealt out is a simulation's own. What stands for hospitals is not tried on: without noise, what
    came of it would tell of their patients what the study promises not to tell.

    Raises
    ------
    MedflError
        If there is nothing to try, or the table cannot be read.
    """
    private = {name: arm for name, arm in study.arms.items() if arm.privacy.dp is not None}
    arms = dict([*private.items()][:MOST])
    if not arms:
        raise PlanError("there is no differential privacy to try out", where="[privacy.dp]")
    name, own = table_of(study)
    simulate = study.data.simulate
    if simulate is not None and simulate.table is not None:
        data = study.data
        path = base / simulate.table
        return arms, read_table(path, columns=data.columns, missing=data.missing, decimal=data.decimal)
    table = bundled(name)
    return (arms if own else {name: _on_public(arm, table) for name, arm in arms.items()}), table


def _on_public(arm: Study, table: pd.DataFrame) -> Study:
    """Return an arm that learns from the bundled table as it would from its own: same model, training, rounds and ε.

    It has as many columns, as far as the table has them: noise weighs the more, the larger a model is.
    """
    spec = arm.model_dump(mode="json", exclude_none=True)
    if spec["data"].get("outcome") == "regression" or spec["model"]["kind"] in ("linear", "torch"):
        raise PlanError("no bundled table has an outcome that this model predicts")
    sites = len(spec["data"].get("sites", ())) or 1
    features = [str(name) for name in table.columns if name != "diagnosis"][: _inputs(arm)]
    spec["data"] = {
        "target": "diagnosis",
        "positive": "malignant",
        "features": features,
        "simulate": {"sites": sites, "partition": {"kind": "iid"}},
    }
    spec["model"].pop("start", None)
    spec["evaluation"] = {"test_fraction": spec["evaluation"]["test_fraction"]}
    dp = {key: value for key, value in spec["privacy"]["dp"].items() if key not in ("patient_id", "categories")}
    # Each row of this table is a patient of her own.
    unit = "site" if dp["unit"] == "site" else "record"
    ranges = {name: outward(float(table[name].min()), float(table[name].max())) for name in features}
    spec["privacy"]["dp"] = dp | {"unit": unit, "ranges": ranges}
    found = Study.model_validate(_without_arms(spec))
    check(found)
    return found


def _inputs(arm: Study) -> int | None:
    """Return how many numbers an arm learns from, as far as it says; a category is one each."""
    dp, data = arm.privacy.dp, arm.data
    named = data.features or (() if dp is None else (*dp.ranges, *dp.categories))
    categories = {} if dp is None else dp.categories
    return sum(len(categories.get(name, "1")) for name in named if name != data.target) or None


def _without_arms(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key != "arm"}


if __name__ == "__main__":
    main(sys.argv[1:])
