"""Batch normalisation in a federation: pooled statistics are those of all rows, or stay at the site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load

from medfl.learn.data.split import split
from medfl.learn.models.torch import Registered, torch_model
from medfl.simulate import Results, simulate
from medfl.spec.study import Study

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

STILL = {"optimizer": "sgd", "learning_rate": 1e-30, "batch_size": 500, "local_steps": 1}
MOMENTUM = 0.1
FEATURES = ["age", "dose"]
FLOAT = NDArray[np.float64]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Registered, "factories", dict(Registered.factories))

    @torch_model("normed")
    def normed(features: int, outcomes: int) -> Any:
        return torch.nn.Sequential(
            torch.nn.BatchNorm1d(features, momentum=MOMENTUM), torch.nn.Linear(features, outcomes)
        )

    yield


def frames() -> dict[str, pd.DataFrame]:
    """Return three hospitals that differ in where their patients lie and how far apart."""
    made = {}
    for number, (name, rows) in enumerate({"east": 40, "north": 80, "west": 160}.items()):
        draw = np.random.default_rng(number)
        age, dose = draw.normal(10 * number, 1 + number, rows), draw.normal(-number, 1, rows)
        risk = (age - 10 * number) / (1 + number) + dose + number
        made[name] = pd.DataFrame({"age": age, "dose": dose, "sick": (risk > draw.normal(0, 0.5, rows)).astype(int)})
    return made


def asked(rule: dict[str, Any] | None = None, training: dict[str, Any] | None = None, **model: Any) -> Study:
    return Study.model_validate(
        {
            "study": {"name": "toy", "seed": 5},
            "data": {"target": "sick", "features": FEATURES},
            "preprocess": {"scale": "none"},
            "model": {"kind": "torch", "name": "normed"} | model,
            "training": training or STILL,
            "algorithm": {"kind": "fedavg", "rounds": 1} | (rule or {}),
            "evaluation": {"bootstrap": 0, "split_seed": 1},
            "privacy": {"secure_aggregation": (rule or {}).get("kind") != "fedmedian"},
        }
    )


def trained(folder: Path, study: Study) -> tuple[Results, dict[str, NDArray[Any]]]:
    results = simulate(study, frames(), home=folder, progress=False)
    digest = results.summary["runs"][0]["model"]
    with results.home.artefacts.open(digest) as body:
        return results, load(body.read())


def learned_from() -> dict[str, FLOAT]:
    """Return the rows that each site trains on."""
    rows = {}
    for name, frame in frames().items():
        train, _ = split(frame["sick"].to_numpy(np.float32), len(frame), fraction=0.2, seed=1)
        rows[name] = frame[FEATURES].to_numpy(np.float32)[train].astype(float)
    return rows


def after(rounds: int) -> tuple[FLOAT, FLOAT]:
    """Return running mean and variance after so many rounds of one step, computed from all sites' moments."""
    mean, variance = np.zeros(2), np.ones(2)
    for _ in range(rounds):
        weight, first, second = 0, np.zeros(2), np.zeros(2)
        for rows in learned_from().values():
            own_mean = (1 - MOMENTUM) * mean + MOMENTUM * rows.mean(axis=0)
            own_variance = (1 - MOMENTUM) * variance + MOMENTUM * rows.var(axis=0, ddof=1)
            weight += len(rows)
            first, second = first + len(rows) * own_mean, second + len(rows) * (own_variance + own_mean**2)
        mean = first / weight
        variance = second / weight - mean**2
    return mean, variance


RULES: dict[str, dict[str, Any]] = {
    "fedavg": {},
    "fedadam": {"kind": "fedadam", "server_learning_rate": 0.5},
    "fedavgm": {"kind": "fedavgm"},
    "fedprox": {"kind": "fedprox", "mu": 1.0},
    "scaffold": {"kind": "scaffold"},
    "fednova": {"kind": "fednova"},
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("rounds", [1, 3])
def test_statistics_are_those_of_all_rows_whatever_the_rule(tmp_path: Path, rule: str, rounds: int) -> None:
    _, weights = trained(tmp_path, asked(RULES[rule] | {"rounds": rounds}))
    mean, variance = after(rounds)
    np.testing.assert_allclose(weights["0.running_mean"], mean, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(weights["0.running_var"], variance, rtol=1e-4, atol=1e-4)


def test_a_rule_against_poison_takes_the_median_over_sites(tmp_path: Path) -> None:
    _, weights = trained(tmp_path, asked({"kind": "fedmedian"}))
    own = [
        (MOMENTUM * rows.mean(axis=0), 0.9 + MOMENTUM * rows.var(axis=0, ddof=1)) for rows in learned_from().values()
    ]
    mean, variance = (np.median([one[part] for one in own], axis=0) for part in (0, 1))
    np.testing.assert_allclose(weights["0.running_mean"], mean, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(weights["0.running_var"], variance, rtol=1e-4, atol=1e-4)


def test_the_mean_of_the_sites_variances_would_be_another_number() -> None:
    """What is tested above is not what averaging the buffers as they are would give."""
    _, variance = after(1)
    counts = np.array([len(rows) for rows in learned_from().values()])
    own = np.array([0.9 + MOMENTUM * rows.var(axis=0, ddof=1) for rows in learned_from().values()])
    assert (np.abs(counts @ own / counts.sum() - variance) > 0.01).any()


def test_local_statistics_and_affine_parameters_stay_at_the_site(tmp_path: Path) -> None:
    learning = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 20}
    results, local = trained(tmp_path / "a", asked({"rounds": 4}, learning, batch_norm="local"))
    _, shared = trained(tmp_path / "b", asked({"rounds": 4}, learning))
    for name, value in {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}.items():
        np.testing.assert_array_equal(local[f"0.{name}"], np.full(2, value, np.float32))
        assert not np.array_equal(shared[f"0.{name}"], local[f"0.{name}"])
    assert not np.array_equal(shared["1.weight"], local["1.weight"])
    sites = results.summary["runs"][0]["sites"]
    assert all(site["metrics"]["auc"] > 0.75 for site in sites.values()), "each is judged with its own statistics"


def test_frozen_layers_keep_their_statistics(tmp_path: Path) -> None:
    learning = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 20}
    first, before = trained(tmp_path, asked({"rounds": 2}, learning))
    start = {"run": first.view.runs[0].run, "freeze": ["0"]}
    _, weights = trained(tmp_path, asked({"rounds": 2}, learning, start=start))
    for name in ("weight", "bias", "running_mean", "running_var"):
        assert weights[f"0.{name}"].tobytes() == before[f"0.{name}"].tobytes()
    assert weights["1.weight"].tobytes() != before["1.weight"].tobytes()
