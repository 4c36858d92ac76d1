"""FLamby's sweep of ε on its four heart hospitals, accounted for step by step: ``python bench/dp_heart.py``.

Logistic regression, FedAvg, 15 rounds of 100 steps in batches of 4, DP-SGD with clip norm 1.1, ε of each hospital's own
records for the whole run. A third of each hospital's rows takes no part and judges the last model. Beside it stands
what the noise would really spend had it been solved for one round only, as if each round had a budget of its own, or
for the 750 of 1 500 steps that are accounted for at most in the published sweep.

Reads ``../shared`` (the heart data) and says so where it is absent.
"""

# ruff: noqa: E402 - a library counts its threads when it is imported

from __future__ import annotations

import os

for _library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import argparse
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medfl.learn.exported import load
from medfl.privacy.accountant import Mechanism, epsilon, solve
from medfl.publish.export import export
from medfl.simulate import simulate
from medfl.spec.study import Study

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "heart"
FILES = {"cleveland": "cleveland", "hungary": "hungarian", "switzerland": "switzerland", "va-long-beach": "va"}
FEATURES = ["age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak"]
DECLARED = {
    "ranges": {
        "age": [20, 90],
        "sex": [0, 1],
        "trestbps": [80, 220],
        "chol": [0, 610],
        "fbs": [0, 1],
        "thalach": [60, 210],
        "exang": [0, 1],
        "oldpeak": [-3, 7],
    },
    "categories": {"cp": ["1", "2", "3", "4"], "restecg": ["0", "1", "2"]},
}
EPSILONS, DELTAS, SEEDS = (0.1, 0.5, 1.0, 5.0, 10.0, 50.0, math.inf), (1e-3, 1e-5), (1, 2, 3)
ROUNDS, STEPS, BATCH = 15, 100, 4


def main(rate: float) -> None:
    """Print the table."""
    tables = hospitals()
    fewest = min(len(train) for train, _ in tables.values())
    print(f"{'δ':>6} {'ε':>6} {'accuracy':>9} {'sd':>6} {'noise':>7} {'one round':>10} {'750 steps':>10}")
    for delta in DELTAS:
        for promised in EPSILONS:
            found = [accuracy(tables, promised, delta, seed=seed, rate=rate) for seed in SEEDS]
            print(f"{delta:6.0e} {promised:6g} {np.mean(found):9.3f} {np.std(found, ddof=1):6.3f}", end=" ")
            print(
                *(
                    f"{number:>{width}.3g}"
                    for number, width in zip(spent(promised, delta, fewest), (7, 10, 10), strict=True)
                )
            )
            sys.stdout.flush()


def hospitals() -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Return each hospital's rows to train on and rows that take no part, without missing values."""
    parts = {}
    for name, file in FILES.items():
        names = [*FEATURES, "slope", "ca", "thal", "num"]
        rows = pd.read_csv(DATA / f"processed.{file}.data", names=names, na_values="?")[[*FEATURES, "num"]].dropna()
        whole = [column for column in rows if (rows[column] % 1 == 0).all()]
        rows = rows.astype(dict.fromkeys(whole, int)).reset_index(drop=True)
        apart = np.random.default_rng(43).permutation(len(rows)) < round(0.34 * len(rows))
        parts[name] = (rows[~apart], rows[apart])
    return parts


def accuracy(
    tables: dict[str, tuple[pd.DataFrame, pd.DataFrame]], promised: float, delta: float, *, seed: int, rate: float
) -> float:
    """Return the last model's accuracy on the rows that took no part, averaged over the hospitals."""
    with tempfile.TemporaryDirectory() as folder:
        trained = {name: train for name, (train, _) in tables.items()}
        result = simulate(study(promised, delta, seed, rate), trained, home=Path(folder, "home"), progress=False)
        export(result.view.runs[0], result.home.artefacts, Path(folder, "model"))
        model = load(Path(folder, "model"))
        found = []
        for name, (_, apart) in tables.items():
            apart.to_csv(Path(folder, f"{name}.csv"), index=False)
            predicted, _ = model.predict(model.read(Path(folder, f"{name}.csv")))
            found.append(float(((predicted["probability"] >= 0.5) == (apart["num"] > 0).to_numpy()).mean()))
    return float(np.mean(found))


def study(promised: float, delta: float, seed: int, rate: float) -> Study:
    """Return the study; scales are those of the declared ranges, so that nothing is released for them."""
    spec: dict[str, Any] = {
        "study": {"name": "heart-privacy", "question": "What does ε cost at four hospitals?", "seed": seed},
        "data": {"target": "num", "positive": "> 0", "features": FEATURES, "categorical": ["cp", "restecg"]},
        "preprocess": {"scale": "min-max", "impute": "drop"},
        "model": {"kind": "logistic"},
        "training": {"optimizer": "sgd", "learning_rate": rate, "batch_size": BATCH, "local_steps": STEPS},
        "algorithm": {"kind": "fedavg", "rounds": ROUNDS},
        "evaluation": {"baselines": [], "bootstrap": 0, "test_fraction": 0.1},
    }
    if not math.isinf(promised):
        spec["privacy"] = {"dp": {"unit": "record", "epsilon": promised, "delta": delta, "clip_norm": 1.1, **DECLARED}}
    return Study.model_validate(spec)


def spent(promised: float, delta: float, rows: int) -> tuple[float, float, float]:
    """Return the smallest hospital's noise, and what noise for one round or for 750 steps really spends in all."""
    if math.isinf(promised):
        return 0.0, math.inf, math.inf
    rate = min(1.0, BATCH / (0.9 * rows))
    noises = [solve(promised, delta, sample_rate=rate, count=count) for count in (ROUNDS * STEPS, STEPS, 750)]
    right, *others = noises
    really = [epsilon([Mechanism(noise, rate, ROUNDS * STEPS)], delta) for noise in others]
    return right, really[0], really[1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=0.02, help="learning rate at the sites")
    arguments = parser.parse_args()
    if not DATA.exists():
        sys.exit(f"skipped: {DATA} is absent")
    main(arguments.rate)
