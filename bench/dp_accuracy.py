"""What ε costs in AUC: DP-SGD at ten sites, FedAvg over them, on the diabetes table of ``examples/diabetes``.

Each site protects its own rows, with the noise that Google's accountant solves for its number of rows; rows are dealt
out with Dirichlet(0.5), one fifth of each site's is kept for testing, and the AUC is that of the last model over all
test rows. Columns are scaled by numbers known beforehand, so that the whole budget goes into training::

    python bench/dp_accuracy.py diabetes.csv                          # the table: ε 1, 3, 8 and none, three seeds
    python bench/dp_accuracy.py diabetes.csv clip=0.3,1 rate=0.2,1    # ε 3, one seed, and every combination of these
"""

# ruff: noqa: E402 - a library counts its threads when it is imported

from __future__ import annotations

import os

for _library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import math
import sys
from dataclasses import dataclass
from functools import cache
from itertools import product

import dp_accounting
import numpy as np
import pandas as pd
from dp_accounting import rdp
from scipy.stats import rankdata

from medfl import seeds
from medfl.learn.algorithm import Local
from medfl.learn.algorithms.fedavg import FedAvg
from medfl.learn.model import Examples, Outcome, PrivateTraining
from medfl.learn.models import build
from medfl.learn.statistic import total
from medfl.spec.model import MLP, Logistic
from medfl.spec.training import SGD, Adam, Training

SITES, ALPHA, TESTED, DELTA = 10, 0.5, 0.2, 1e-5
OUTCOME = Outcome("binary", ("no", "yes"))
SCALES = {"age": (40, 20), "bmi": (27, 6), "HbA1c_level": (5.5, 1.1), "blood_glucose_level": (140, 40)}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to train."""

    model: str = "mlp"
    optimizer: str = "sgd"
    clip: float = 1.0
    rate: float = 1.0
    batch: int = 256
    rounds: int = 10
    epochs: int = 1
    epsilon: float = 3.0


def main() -> None:
    """Print the table, or the combinations asked for."""
    table = pd.read_csv(sys.argv[1])
    if asked := [word.split("=") for word in sys.argv[2:]]:
        names, values = [name for name, _ in asked], [text.split(",") for _, text in asked]
        for combination in product(*values):
            given = {name: type(getattr(Way(), name))(value) for name, value in zip(names, combination, strict=True)}
            print(f"{given}  AUC {auc_of(table, Way(**given), seed=1):.4f}", flush=True)
        return
    print(f"{'ε':>6s} {'AUC over three seeds':30s} {'mean':>7s}")
    for epsilon in (1.0, 3.0, 8.0, math.inf):
        found = [auc_of(table, Way(epsilon=epsilon), seed=seed) for seed in (1, 2, 3)]
        print(f"{epsilon:6g} {' '.join(f'{auc:.4f}' for auc in found):30s} {np.mean(found):7.4f}", flush=True)


def auc_of(table: pd.DataFrame, way: Way, *, seed: int) -> float:
    """Return the AUC of the last model over all sites' test rows."""
    sites, test = dealt(table, seed)
    features = test.features.shape[1]
    spec = MLP(hidden=(64, 32)) if way.model == "mlp" else Logistic()
    model, rule = build(spec, features=features, outcome=OUTCOME), FedAvg(rounds=way.rounds)
    state = rule.init(model.init(seeds.generator(seed, purpose="init")), len(sites))
    how: Training = SGD(learning_rate=way.rate) if way.optimizer == "sgd" else Adam(learning_rate=way.rate)
    for number in range(1, way.rounds + 1):
        replies = []
        for name, rows in sites.items():
            private = protection(way, len(rows), seeds.generator(seed, round=number, site=name, purpose="dp"))
            local = Local(model, rows, how, None, name, number, private=private)
            replies.append(rule.at_site(state.shared, local, {}, seed)[0])
        state = rule.at_hub(state, total(replies))
    return auc(model.scores(state.weights, test.features), test.outcome)


def protection(way: Way, rows: int, noise: np.random.Generator) -> PrivateTraining:
    """Return how a site of so many rows trains a round; without noise and clipping, but sampled alike, for ε = ∞."""
    rate, steps = min(1.0, way.batch / rows), way.epochs * math.ceil(rows / way.batch)
    if math.isinf(way.epsilon):
        return PrivateTraining(1e9, 0.0, rate, steps, noise=noise)
    return PrivateTraining(way.clip, multiplier(way.epsilon, rate, steps * way.rounds), rate, steps, noise=noise)


@cache
def multiplier(epsilon: float, rate: float, steps: int) -> float:
    """Return the noise multiplier of this ε, by the Rényi accountant: a little more than PLD would ask for."""

    def event(noise: float) -> dp_accounting.DpEvent:
        step = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise))
        return dp_accounting.SelfComposedDpEvent(step, steps)

    bracket = dp_accounting.LowerEndpointAndGuess(0.3, 1.0)
    return float(dp_accounting.calibrate_dp_mechanism(accountant, event, epsilon, DELTA, bracket, tol=1e-3))


def accountant() -> dp_accounting.PrivacyAccountant:
    """Return an accountant of few orders, all of them whole: fast, and enough for these ε."""
    return rdp.RdpAccountant([*range(2, 64), *range(64, 512, 16)])


def dealt(table: pd.DataFrame, seed: int) -> tuple[dict[str, Examples], Examples]:
    """Return each site's training rows, and everybody's test rows."""
    features, truth = encoded(table), table["diabetes"].to_numpy(np.float32)
    draw = np.random.default_rng(seed)
    owner = np.empty(len(truth), int)
    for value in (0, 1):
        rows = draw.permutation(np.flatnonzero(truth == value))
        ends = (np.cumsum(draw.dirichlet([ALPHA] * SITES)) * len(rows)).round().astype(int)
        owner[rows] = np.searchsorted(ends, np.arange(len(rows)), side="right").clip(max=SITES - 1)
    tested = draw.random(len(truth)) < TESTED
    sites = {
        f"h{site}": Examples(features[rows], truth[rows])
        for site in range(SITES)
        if (rows := (owner == site) & ~tested).any()
    }
    return sites, Examples(features[tested], truth[tested])


def encoded(table: pd.DataFrame) -> np.ndarray:
    """Return numbers scaled by what everybody knows, and a column for each category."""
    numbers = table.drop(columns="diabetes").assign(**{n: (table[n] - m) / s for n, (m, s) in SCALES.items()})
    return np.ascontiguousarray(pd.get_dummies(numbers, dtype=float).to_numpy(np.float32))


def auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the probability that one who has it is scored higher than one who has not."""
    ill = int(truth.sum())
    return float((rankdata(scores)[truth == 1].sum() - ill * (ill + 1) / 2) / (ill * (len(truth) - ill)))


if __name__ == "__main__":
    main()
