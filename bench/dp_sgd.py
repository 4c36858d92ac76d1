"""What a step of DP-SGD costs beside a plain one, on the built-in path and through Opacus.

The job is that of ``bench/kernels.py``: 8 000 rows of 15 columns, MLP 64-32, binary outcome, SGD, one thread, 32 rows a
step (expected, where they are drawn). Patients have three rows each, so that as many rows take part.
"""

# ruff: noqa: E402 - a library counts its threads when it is imported

from __future__ import annotations

import os

for _library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"

import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise

import numpy as np

from medfl.learn.model import Examples, Model, Outcome, PrivateTraining
from medfl.learn.models import build
from medfl.learn.private.training import Privately
from medfl.spec.model import MLP
from medfl.spec.training import SGD

ROWS, FEATURES, HIDDEN, BATCH, RATE, STEPS = 8_000, 15, (64, 32), 32, 0.05, 250
REPEATS = 7

Pass = Callable[[], object]
"""So many steps from the same start."""


def main() -> None:
    """Measure all and print a table."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((ROWS, FEATURES)).astype(np.float32)
    outcome = (features @ rng.standard_normal(FEATURES) + rng.standard_normal(ROWS) > 0).astype(np.float32)
    examples = Examples(features, outcome)
    model = build(MLP(hidden=HIDDEN), features=FEATURES, outcome=Outcome("binary", ("no", "yes")))
    ways: dict[str, Pass] = {"plain step": plain(model, examples)}
    for name, units, noise in (
        ("DP-SGD, rows", None, True),
        ("DP-SGD, patients of 3 rows", np.arange(ROWS) // 3, True),
        ("DP-SGD, rows, the system's noise", None, False),
    ):
        ways[name] = private(model, examples, units, seeded=noise)
    if find_spec("opacus"):
        ways["plain PyTorch step"] = plain_torch(examples)
        ways["Opacus, as its manual has it"] = opacus(examples)
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(REPEATS):  # in turn, so that a busy moment of the machine meets all of them
        for name, run in ways.items():
            began = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - began)
    print(f"{'way':34s} {'µs/step':>8s} {'× plain':>8s}")
    for name, seconds in best.items():
        print(f"{name:34s} {seconds / STEPS * 1e6:8.1f} {seconds / best['plain step']:8.1f}")


def plain(model: Model, examples: Examples) -> Pass:
    start, how = model.init(np.random.default_rng(1)), SGD(learning_rate=RATE, batch_size=BATCH, local_steps=STEPS)
    return lambda: model.train(start, examples, how, generator=np.random.default_rng(1))


def private(model: Model, examples: Examples, units: np.ndarray | None, *, seeded: bool) -> Pass:
    start, how = model.init(np.random.default_rng(1)), SGD(learning_rate=RATE)

    def run() -> object:
        noise = np.random.default_rng(2) if seeded else None
        asked = PrivateTraining(1.0, 1.0, BATCH / ROWS, STEPS, units, noise)
        return Privately(model, asked).train(start, examples, how, generator=np.random.default_rng(1))

    return run


def plain_torch(examples: Examples) -> Pass:
    import torch

    torch.set_num_threads(1)
    x, y = torch.tensor(examples.features), torch.tensor(examples.outcome)

    def run() -> None:
        net, loss_of = _net(), torch.nn.BCEWithLogitsLoss()
        optimiser = torch.optim.SGD(net.parameters(), lr=RATE)
        order = torch.randperm(ROWS)
        for first in range(0, STEPS * BATCH, BATCH):
            rows = order[first : first + BATCH]
            optimiser.zero_grad()
            loss_of(net(x[rows])[:, 0], y[rows]).backward()
            optimiser.step()

    return run


def opacus(examples: Examples) -> Pass:
    import torch
    from opacus import PrivacyEngine
    from torch.utils.data import DataLoader, TensorDataset

    warnings.simplefilter("ignore")
    rows = TensorDataset(torch.tensor(examples.features), torch.tensor(examples.outcome))

    def run() -> None:
        net, loss_of = _net(), torch.nn.BCEWithLogitsLoss()
        net, optimiser, batches = PrivacyEngine().make_private(
            module=net,
            optimizer=torch.optim.SGD(net.parameters(), lr=RATE),
            data_loader=DataLoader(rows, batch_size=BATCH),
            noise_multiplier=1.0,
            max_grad_norm=1.0,
        )
        for x, y in batches:  # 250 of them
            optimiser.zero_grad()
            loss_of(net(x)[:, 0], y).backward()
            optimiser.step()

    return run


def _net() -> object:
    from torch import nn

    linear = [nn.Linear(inputs, units) for inputs, units in pairwise((FEATURES, *HIDDEN, 1))]
    return nn.Sequential(*(part for each in linear[:-1] for part in (each, nn.ReLU())), linear[-1])


if __name__ == "__main__":
    main()
