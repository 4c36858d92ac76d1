"""What one training step costs, by several means: the measurement behind docs/decisions/0002-fast-path.md.

The job is one pass over 8 000 rows of 15 columns: MLP 64-32, binary outcome, SGD, batch 32, one thread. The pass's mean
loss is printed to show that all do the same (but for stacked sites: each of them takes a tenth of the steps). Numba and
JAX are measured where they can be imported; MEDfl needs neither::

    python -m venv /tmp/others && /tmp/others/bin/pip install numba jax
    PYTHONPATH=$(echo /tmp/others/lib/python3*/site-packages) python bench/kernels.py
"""

# ruff: noqa: E402 - a library counts its threads when it is imported

from __future__ import annotations

import os

for _library in ("OPENBLAS", "OMP", "MKL", "NUMBA"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

ROWS, FEATURES, HIDDEN, BATCH, RATE, SITES = 8_000, 15, (64, 32), 32, 0.05, 10
STEPS = ROWS // BATCH
REPEATS = 15

Pass = Callable[[], float]
"""One pass over the rows from the same start; returns the mean loss."""


def main() -> None:
    """Measure every means, or those whose name has one of the words given, and print a table."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((ROWS, FEATURES)).astype(np.float32)
    outcome = (features @ rng.standard_normal(FEATURES) + rng.standard_normal(ROWS) > 0).astype(np.float32)
    start = _start(rng)
    means = {
        "plain PyTorch": plain_torch,
        "plain PyTorch, compiled": compiled_torch,
        "MEDfl (NumPy by hand)": medfl,
        "NumPy, sites stacked": stacked,
        "Numba": numba_loop,
        "JAX, scanned": jax_scan,
    }
    words = sys.argv[1:] or [""]
    prepared: dict[str, Pass] = {}
    costs: dict[str, str] = {}
    for name in means:
        if not any(word in name for word in words):
            continue
        began = time.perf_counter()
        try:
            prepared[name] = means[name](features, outcome, start)
        except ImportError as error:
            print(f"{name:26s} left out: {error}")
            continue
        loaded = time.perf_counter()
        loss = prepared[name]()
        costs[name] = f"{loaded - began:9.2f} {time.perf_counter() - loaded:10.2f} {loss:9.5f}"
    best = dict.fromkeys(prepared, float("inf"))
    for _ in range(REPEATS):  # in turn, so that a busy moment of the machine meets all of them
        for name, run in prepared.items():
            began = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - began)
    reference = best.get("plain PyTorch")
    print(f"{'means':26s} {'µs/step':>8s} {'× plain':>8s} {'import s':>9s} {'1st pass s':>10s} {'loss':>9s}")
    for name, seconds in best.items():
        ratio = f"{reference / seconds:8.1f}" if reference else " " * 8
        print(f"{name:26s} {seconds / STEPS * 1e6:8.1f} {ratio} {costs[name]}")


def medfl(features: np.ndarray, outcome: np.ndarray, start: list[np.ndarray]) -> Pass:
    from medfl.learn.model import Examples, Outcome
    from medfl.learn.models import build
    from medfl.spec.model import MLP
    from medfl.spec.training import SGD

    model = build(MLP(hidden=HIDDEN), features=FEATURES, outcome=Outcome("binary", ("no", "yes")))
    flat = np.concatenate([block.ravel() for block in start])
    examples, how = Examples(features, outcome), SGD(learning_rate=RATE, batch_size=BATCH)
    return lambda: model.train(flat, examples, how, generator=_order()).loss


def plain_torch(features: np.ndarray, outcome: np.ndarray, start: list[np.ndarray]) -> Pass:
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    return _torch_pass(features, outcome, start, wrap=lambda module: module)


def compiled_torch(features: np.ndarray, outcome: np.ndarray, start: list[np.ndarray]) -> Pass:
    import torch

    return _torch_pass(features, outcome, start, wrap=torch.compile)


def _torch_pass(
    features: np.ndarray, outcome: np.ndarray, start: list[np.ndarray], *, wrap: Callable[[Any], Any]
) -> Pass:
    import torch
    from torch import nn

    dense = [nn.Linear(inputs, units) for inputs, units in pairwise((FEATURES, *HIDDEN, 1))]
    net = nn.Sequential(*(layer for linear in dense[:-1] for layer in (linear, nn.ReLU())), dense[-1])
    call, loss_of = wrap(net), nn.BCEWithLogitsLoss()
    x, y = torch.tensor(features), torch.tensor(outcome)

    def run() -> float:
        with torch.no_grad():
            for linear, block in zip(dense, start, strict=True):
                linear.weight.copy_(torch.tensor(block[:-1].T))
                linear.bias.copy_(torch.tensor(block[-1]))
        optimiser = torch.optim.SGD(net.parameters(), lr=RATE)
        order, total = torch.tensor(_order().permutation(ROWS)), torch.zeros(())
        for first in range(0, ROWS, BATCH):
            rows = order[first : first + BATCH]
            optimiser.zero_grad()
            loss = loss_of(call(x[rows]).squeeze(1), y[rows])
            loss.backward()
            optimiser.step()
            total += loss.detach()
        return float(total) / STEPS

    return run


def stacked(features: np.ndarray, outcome: np.ndarray, start: list[np.ndarray]) -> Pass:
    """Ten sites in one step: each array has a leading axis of sites. The time is that of one site's step."""
    per_site = STEPS // SITES

    def run() -> float:
        order = _order().permutation(ROWS)
        x = features[order].reshape(SITES, per_site, BATCH, FEATURES)
        y = outcome[order].reshape(SITES, per_site, BATCH, 1)
        blocks = [np.repeat(block[np.newaxis], SITES, axis=0) for block in start]
        ones = np.ones((SITES, BATCH, 1), np.float32)
        total = 0.0
        for step in range(per_site):
            values = [np.concatenate([x[:, step], ones], axis=2)]
            for block in blocks[:-1]:
                hidden = values[-1] @ block
                np.maximum(hidden, 0, out=hidden)
                values.append(np.concatenate([hidden, ones], axis=2))
            scores = values[-1] @ blocks[-1]
            total += float(np.mean(np.logaddexp(0, scores) - scores * y[:, step]))
            errors = (1 / (1 + np.exp(-scores)) - y[:, step]) * np.float32(1 / BATCH)
            for number in reversed(range(len(blocks))):
                gradient = values[number].transpose(0, 2, 1) @ errors
                if number:
                    errors = errors @ blocks[number][:, :-1].transpose(0, 2, 1)
                    errors *= values[number][:, :, :-1] > 0
                blocks[number] -= np.float32(RATE) * gradient
        return total / per_site

    return run


def numba_loop(features: np.ndarray, outcome: np.ndarray, start: list[np.ndarray]) -> Pass:
    if find_spec("scipy") is None:
        raise ImportError("Numba's np.dot needs scipy")
    numba = import_module("numba")

    def one_pass(x: np.ndarray, y: np.ndarray, w1: np.ndarray, w2: np.ndarray, w3: np.ndarray) -> float:
        batch, rate, total = np.int64(32), np.float32(0.05), 0.0
        a1 = np.ones((batch, w1.shape[1] + 1), np.float32)
        a2 = np.ones((batch, w2.shape[1] + 1), np.float32)
        h1, h2 = np.empty((batch, w1.shape[1]), np.float32), np.empty((batch, w2.shape[1]), np.float32)
        d1, d2, d3 = np.empty_like(h1), np.empty_like(h2), np.empty((batch, 1), np.float32)
        g1, g2, g3 = np.empty_like(w1), np.empty_like(w2), np.empty_like(w3)
        for first in range(0, x.shape[0], batch):
            a0 = x[first : first + batch]
            np.dot(a0, w1, h1)
            for i in range(batch):
                for j in range(h1.shape[1]):
                    a1[i, j] = max(h1[i, j], np.float32(0.0))
            np.dot(a1, w2, h2)
            for i in range(batch):
                for j in range(h2.shape[1]):
                    a2[i, j] = max(h2[i, j], np.float32(0.0))
            np.dot(a2, w3, d3)
            for i in range(batch):
                score, target = d3[i, 0], y[first + i]
                total += np.log1p(np.exp(-abs(score))) + max(score, np.float32(0.0)) - score * target
                d3[i, 0] = (np.float32(1.0) / (np.float32(1.0) + np.exp(-score)) - target) / batch
            np.dot(a2.T, d3, g3)
            for i in range(batch):
                for j in range(h2.shape[1]):
                    d2[i, j] = d3[i, 0] * w3[j, 0] if a2[i, j] > 0 else np.float32(0.0)
            np.dot(a1.T, d2, g2)
            np.dot(d2, w2[:-1].T, d1)
            for i in range(batch):
                for j in range(h1.shape[1]):
                    if a1[i, j] <= 0:
                        d1[i, j] = 0.0
            np.dot(a0.T, d1, g1)
            w1 -= rate * g1
            w2 -= rate * g2
            w3 -= rate * g3
        return float(total / x.shape[0])

    compiled = numba.njit(cache=True, fastmath=True)(one_pass)

    def run() -> float:
        order = _order().permutation(ROWS)
        padded = np.ones((ROWS, FEATURES + 1), np.float32)
        padded[:, :-1] = features[order]
        return float(compiled(padded, outcome[order], *(block.copy() for block in start)))

    return run


def jax_scan(features: np.ndarray, outcome: np.ndarray, start: list[np.ndarray]) -> Pass:
    jax, jnp = import_module("jax"), import_module("jax.numpy")

    def loss(blocks: list[Any], x: Any, y: Any) -> Any:
        for block in blocks[:-1]:
            x = jax.nn.relu(x @ block[:-1] + block[-1])
        scores = (x @ blocks[-1][:-1] + blocks[-1][-1])[:, 0]
        return jnp.mean(jnp.logaddexp(0.0, scores) - scores * y)

    def step(blocks: list[Any], batch: tuple[Any, Any]) -> tuple[list[Any], Any]:
        value, slopes = jax.value_and_grad(loss)(blocks, *batch)
        return [block - RATE * slope for block, slope in zip(blocks, slopes, strict=True)], value

    one_pass = jax.jit(lambda blocks, x, y: jax.lax.scan(step, blocks, (x, y)))

    def run() -> float:
        order = _order().permutation(ROWS)
        x, y = features[order].reshape(STEPS, BATCH, FEATURES), outcome[order].reshape(STEPS, BATCH)
        _, losses = one_pass(start, x, y)
        return float(jnp.mean(losses))

    return run


def _order() -> np.random.Generator:
    return np.random.default_rng(1)


def _start(rng: np.random.Generator) -> list[np.ndarray]:
    """Return each layer's weights over its bias, as PyTorch draws them."""
    widths = (FEATURES, *HIDDEN, 1)
    return [
        rng.uniform(-(inputs**-0.5), inputs**-0.5, (inputs + 1, units)).astype(np.float32)
        for inputs, units in pairwise(widths)
    ]


if __name__ == "__main__":
    main()
