"""What ε costs in AUC: the diabetes study of ``examples/diabetes`` with and without differential privacy.

Ten sites, rows dealt out with Dirichlet(0.5), MLP 64-32, FedAvg; each site protects its own rows. ε covers the whole
run, with what preprocessing is fitted from. A fifth of the table takes no part and judges the last model; beside its
AUC stands the one that the run tells, which is noised as everything else that leaves::

    python bench/dp_accuracy.py diabetes.csv                           # ε 1, 3, 8 and none, three seeds
    python bench/dp_accuracy.py diabetes.csv clip=0.3,1 rate=0.2,1     # ε 3, seed 1, and each combination of these
"""

# ruff: noqa: E402 - a library counts its threads when it is imported

from __future__ import annotations

import os

for _library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import math
import sys
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from medfl.learn.exported import load
from medfl.publish.export import export
from medfl.simulate import simulate
from medfl.spec.study import Study

EPSILONS, SEEDS = (1.0, 3.0, 8.0, math.inf), (1, 2, 3)
DECLARED = {
    "ranges": {"age": [0, 90], "bmi": [10, 60], "HbA1c_level": [3, 10], "blood_glucose_level": [70, 310]},
    "categories": {
        "gender": ["Female", "Male", "Other"],
        "smoking_history": ["No Info", "current", "ever", "former", "never", "not current"],
        "hypertension": ["0", "1"],
        "heart_disease": ["0", "1"],
        "diabetes": ["0", "1"],
    },
}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to train."""

    epsilon: float = 3.0
    clip: float = 1.0
    optimizer: str = "sgd"
    rate: float = 1.0
    batch: int = 256
    rounds: int = 10
    model: str = "mlp"
    scale: str = "standard"


def main() -> None:
    """Print the table, or the combinations asked for."""
    table = Path(sys.argv[1]).resolve()
    print(f"{'':60s} {'AUC':>7s} {'told':>7s} {'ε spent':>8s}")
    if asked := [word.split("=") for word in sys.argv[2:]]:
        names, values = [name for name, _ in asked], [text.split(",") for _, text in asked]
        for combination in product(*values):
            given = {name: type(getattr(Way(), name))(text) for name, text in zip(names, combination, strict=True)}
            print(_line(str(given), *measured(table, Way(**given), seed=1)), flush=True)
        return
    for epsilon in EPSILONS:
        found = [measured(table, Way(epsilon=epsilon), seed=seed) for seed in SEEDS]
        for seed, one in zip(SEEDS, found, strict=True):
            print(_line(f"ε = {epsilon:g}, seed {seed}", *one), flush=True)
        print(_line(f"ε = {epsilon:g}, mean", *np.mean(found, axis=0)), flush=True)


def measured(table: Path, way: Way, *, seed: int) -> tuple[float, float, float]:
    """Return the AUC of the last model on rows that took no part, the AUC that the run tells, and the ε spent."""
    rows = pd.read_csv(table)
    apart = np.random.default_rng(seed).random(len(rows)) < 0.2
    with tempfile.TemporaryDirectory() as folder:
        rows[~apart].to_csv(Path(folder, "rows.csv"), index=False)
        rows[apart].to_csv(Path(folder, "apart.csv"), index=False)
        result = simulate(study(Path(folder, "rows.csv"), way, seed), home=Path(folder, "home"), progress=False)
        export(result.view.runs[0], result.home.artefacts, Path(folder, "model"))
        model = load(Path(folder, "model"))
        predicted, _ = model.predict(model.read(Path(folder, "apart.csv")))
    (run,) = result.summary["runs"]
    truth = rows["diabetes"][apart].to_numpy()
    return (
        _auc(predicted["probability"].to_numpy(), truth),
        run["metrics"]["auc"],
        run["privacy"]["epsilon"] or math.inf,
    )


def study(table: Path, way: Way, seed: int) -> Study:
    """Return the study."""
    spec: dict[str, Any] = {
        "study": {"name": "what-epsilon-costs", "question": "What does privacy cost in AUC?", "seed": seed},
        "data": {
            "target": "diabetes",
            "simulate": {"table": str(table), "sites": 10, "partition": {"kind": "dirichlet", "alpha": 0.5}},
        },
        "preprocess": {"scale": way.scale, "impute": "drop"},
        "model": {"kind": way.model},
        "training": {"optimizer": way.optimizer, "learning_rate": way.rate, "batch_size": way.batch},
        "algorithm": {"kind": "fedavg", "rounds": way.rounds},
        "evaluation": {"baselines": [], "bootstrap": 0, "test_fraction": 0.1},
    }
    if not math.isinf(way.epsilon):
        promise = {"unit": "record", "epsilon": way.epsilon, "clip_norm": way.clip, **DECLARED}
        spec["privacy"] = {"dp": promise}
    return Study.model_validate(spec)


def _auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the probability that one who has it is scored higher than one who has not."""
    ill = int(truth.sum())
    return float((rankdata(scores)[truth == 1].sum() - ill * (ill + 1) / 2) / (ill * (len(truth) - ill)))


def _line(name: str, auc: float, told: float, spent: float) -> str:
    return f"{name:60s} {auc:7.4f} {told:7.4f} {spent:8.4g}"


if __name__ == "__main__":
    main()
