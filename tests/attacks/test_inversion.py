"""A hub that is curious: what did the rows look like? Reconstructing a row from the update of one site.

A dense layer's gradient is the sum over rows of inputs × errors, and its bias's the sum of the errors: where one row
is behind a unit, one divided by the other is that row (Phong et al. 2018, "Privacy-Preserving Deep Learning via
Additively Homomorphic Encryption", section III). No search, no training. Each test says what was tried and what came of
it (``pytest -rP`` shows it).
"""

from __future__ import annotations

import numpy as np
import pytest

from medfl import seeds
from medfl.learn.algorithm import Local
from medfl.learn.algorithms.fedavg import FedAvg
from medfl.learn.model import Examples, Floats, Model, Outcome, PrivateTraining
from medfl.learn.models import build
from medfl.privacy.secure.ring import decoded, encoded, layout_of
from medfl.spec.model import MLP, Linear, Logistic
from medfl.spec.training import SGD
from medfl.testing.secure import cohort

FEATURES = 20
MODELS: dict[str, tuple[Logistic | Linear | MLP, Outcome]] = {
    "logistic": (Logistic(), Outcome("binary", ("no", "yes"))),
    "linear": (Linear(), Outcome("regression")),
    "mlp": (MLP(hidden=(64, 32)), Outcome("binary", ("no", "yes"))),
    "mlp of three classes": (MLP(hidden=(64, 32), activation="tanh"), Outcome("multiclass", ("a", "b", "c"))),
}


def site_rows(count: int) -> Examples:
    draw = np.random.default_rng(4)
    return Examples(draw.standard_normal((count, FEATURES)).astype(np.float32), np.ones(count, np.float32))


def update(model: Model, rows: Examples, private: PrivateTraining | None = None) -> np.ndarray:
    """Return what the hub gets of one step over these rows."""
    how = SGD(learning_rate=0.1, batch_size=len(rows), local_steps=1)
    local = Local(model, rows, how, None, "east", 1, private=private)
    return FedAvg().at_site({"weights": start(model)}, local, {}, 7)[0]["delta"]


def start(model: Model) -> Floats:
    return model.init(np.random.default_rng(1))


def reconstructed(model: Model, change: np.ndarray) -> np.ndarray:
    """Return a candidate row for each unit of the first layer, shape (units, features), from the change it caused."""
    parts = model.layout.split(change)
    bias = parts["layer1.bias"]
    alive = np.abs(bias) > 1e-12 * np.abs(bias).max()
    return np.asarray((parts["layer1.weight"][:, alive] / bias[alive]).T)


def likeness(model: Model, change: np.ndarray, rows: Examples) -> float:
    """Return the highest correlation of any candidate with any row."""
    candidates = reconstructed(model, change)
    return float(np.corrcoef(candidates, rows.features)[: len(candidates), len(candidates) :].max())


def by_chance(model: Model, rows: Examples) -> float:
    """Return the likeness of candidates from an update of pure noise, the highest of 20."""
    draw = np.random.default_rng(9)
    return max(likeness(model, draw.standard_normal(model.layout.size), rows) for _ in range(20))


def model_of(name: str) -> Model:
    spec, outcome = MODELS[name]
    return build(spec, features=FEATURES, outcome=outcome)


def noised(seed: int = 1) -> PrivateTraining:
    """Return one step with the noise of a weak promise: ε is about 5 for this one step alone, at δ = 10⁻⁵."""
    return PrivateTraining(1.0, 0.9, 1.0, 1, noise=seeds.generator(seed, purpose="noise"))


@pytest.mark.parametrize("name", MODELS)
def test_a_row_is_read_off_a_plain_update(name: str) -> None:
    model, row = model_of(name), site_rows(1)
    found = reconstructed(model, update(model, row))
    error = np.abs(found - row.features).max(axis=1).min()
    print(f"{name}: every number of the row to within {error:.1e}")
    assert error < 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_a_row_is_not_found_under_the_noise(name: str) -> None:
    """The same reading of the same row's update is no better than that of an update that nobody sent."""
    model, row = model_of(name), site_rows(1)
    found = [likeness(model, update(model, row, noised(seed)), row) for seed in range(5)]
    chance = by_chance(model, row)
    print(f"{name}: correlation {np.median(found):.2f} with the row; {chance:.2f} at best from pure noise")
    assert np.median(found) < max(chance, 0.9)
    assert max(found) < 0.95


@pytest.mark.parametrize("name", MODELS)
def test_a_row_is_not_found_under_the_masks(name: str) -> None:
    """What one site sends in a secure sum, read as the numbers that it stands for without its masks."""
    model, row = model_of(name), site_rows(1)
    people, found = cohort(5), []
    for round in range(1, 6):
        collector = people.collector(round=round)
        opening = collector.opening_for("s000")
        delta = {"delta": update(model, row)}
        _, sent = people.members["s000"].masked(opening, delta, asked=b"train")
        read = decoded(sent["masked"], layout_of(delta), sites=5, bits=collector.terms.bits)
        found.append(likeness(model, read["delta"], row))
    chance = by_chance(model, row)
    print(f"{name}: correlation {np.median(found):.2f} with the row; {chance:.2f} at best from pure noise")
    assert np.median(found) < max(chance, 0.9)


@pytest.mark.parametrize("name", MODELS)
def test_the_same_reading_finds_the_row_where_no_mask_is(name: str) -> None:
    """The attack on masked numbers is not blind: on what was masked it reads the row."""
    model, row = model_of(name), site_rows(1)
    delta = {"delta": update(model, row)}
    bits = {"*": 10}
    read = decoded(encoded(delta, sites=5, bits=bits), layout_of(delta), sites=5, bits=bits)
    assert likeness(model, read["delta"], row) > 0.999


def test_rows_of_a_batch_are_read_off_units_that_only_they_woke() -> None:
    """A wide layer of ReLUs parts a batch by itself; noise hides these rows as well."""
    model = build(MLP(hidden=(1000,)), features=FEATURES, outcome=Outcome("binary", ("no", "yes")))
    rows = site_rows(8)
    plain = likeness(model, update(model, rows), rows)
    held = likeness(model, update(model, rows, noised()), rows)
    print(f"correlation with the nearest of 8 rows: {plain:.4f} plain, {held:.2f} with noise")
    assert plain > 0.99
    assert held < 0.95


def test_clipping_without_noise_hides_nothing() -> None:
    """It is the noise that protects: a gradient scaled down has the same quotient."""
    model, row = model_of("mlp"), site_rows(1)
    clipped = update(model, row, PrivateTraining(1e-3, 0.0, 1.0, 1, noise=seeds.generator(1, purpose="noise")))
    assert likeness(model, clipped, row) > 0.999
