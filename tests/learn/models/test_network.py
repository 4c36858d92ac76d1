"""The built-in models by themselves: start, batches, edges of the data, determinism, and gradients by differences."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest

from medfl.errors import DataError, PlanError
from medfl.learn.model import Examples, Floats, Outcome, Pull
from medfl.learn.models import build, network
from medfl.spec.model import MLP, Activation, Linear, Logistic
from medfl.spec.training import SGD, Adam, AdamW, LocalTraining, Training

BINARY = Outcome("binary", ("no", "yes"))
THREE = Outcome("multiclass", ("a", "b", "c"))
NUMBER = Outcome("regression")
FEATURES = 4


def test_names_and_shapes() -> None:
    model = build(MLP(hidden=(8, 6), layer_norm=True), features=FEATURES, outcome=THREE)
    assert dict(model.layout.shapes) == {
        "layer1.weight": (4, 8),
        "layer1.bias": (8,),
        "norm1.gain": (8,),
        "norm1.bias": (8,),
        "layer2.weight": (8, 6),
        "layer2.bias": (6,),
        "norm2.gain": (6,),
        "norm2.bias": (6,),
        "layer3.weight": (6, 3),
        "layer3.bias": (3,),
    }


def test_a_start_as_pytorch_draws_it() -> None:
    model = build(MLP(hidden=(400, 300), layer_norm=True), features=100, outcome=BINARY)
    start = model.layout.split(model.init(np.random.default_rng(0)))
    for name, inputs in (("layer1", 100), ("layer2", 400), ("layer3", 300)):
        bound = inputs**-0.5
        for drawn in (start[f"{name}.weight"], start[f"{name}.bias"]):
            assert np.abs(drawn).max() <= bound
        assert start[f"{name}.weight"].std() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert (start["norm1.gain"] == 1).all()
    assert (start["norm2.bias"] == 0).all()


@pytest.mark.parametrize(("spec", "outcome"), [(Linear(), BINARY), (Linear(), THREE), (Logistic(), NUMBER)])
def test_a_model_that_cannot_predict_the_outcome_is_refused(spec: Linear | Logistic, outcome: Outcome) -> None:
    with pytest.raises(PlanError, match=f"{spec.kind} model cannot predict a {outcome.kind} outcome"):
        build(spec, features=FEATURES, outcome=outcome)


@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("outcome", [BINARY, THREE, NUMBER], ids=lambda outcome: outcome.kind)
def test_the_gradient_is_the_slope_of_the_loss(activation: Activation, outcome: Outcome) -> None:
    """A step of size 1 down one batch's gradient, against central differences of the loss along random directions."""
    model = build(MLP(hidden=(5, 3), activation=activation, layer_norm=True), features=FEATURES, outcome=outcome)
    start, examples = model.init(np.random.default_rng(5)), _examples(40, outcome)
    how = SGD(learning_rate=1.0, batch_size=40)

    def loss(weights: Floats) -> float:
        return model.train(weights, examples, how, generator=np.random.default_rng(0)).loss

    gradient = start - model.train(start, examples, how, generator=np.random.default_rng(0)).weights
    for seed in range(3):
        direction = np.random.default_rng(seed).standard_normal(start.shape).astype(np.float32)
        direction *= np.float32(2e-3 / np.linalg.norm(direction))
        slope = (loss(start + direction) - loss(start - direction)) / 2
        assert slope == pytest.approx(float(gradient @ direction), rel=0.05, abs=2e-6)


@pytest.mark.parametrize("how", [SGD(momentum=0.9), Adam(), AdamW(clip_norm=0.5)], ids=lambda how: how.optimizer)
@pytest.mark.parametrize("spec", [Logistic(), MLP(hidden=(8, 6), dropout=0.3, layer_norm=True)], ids=lambda s: s.kind)
def test_the_same_generator_gives_the_same_weights_bit_for_bit(spec: Logistic | MLP, how: Training) -> None:
    model, examples = build(spec, features=FEATURES, outcome=THREE), _examples(70, THREE)
    start = model.init(np.random.default_rng(0))
    kept = start.copy()
    first, again, other = (_train(start, spec, examples, how, seed=seed) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert start.tobytes() == kept.tobytes()


def test_sites_of_every_size_share_a_network_and_leave_little_behind() -> None:
    model = build(MLP(hidden=(4,)), features=3, outcome=Outcome("binary", ("no", "yes")))
    assert isinstance(model, network.Network)
    assert build(MLP(hidden=(4,)), features=3, outcome=Outcome("binary", ("no", "yes"))) is model
    start, sizes = model.init(np.random.default_rng(1)), range(1, 3 * network.STEPS)

    def trained(rows: int) -> bytes:
        draw = np.random.default_rng(rows)
        outcome = draw.integers(0, 2, rows).astype(np.float32)
        examples = Examples(draw.normal(size=(rows, 3)).astype(np.float32), outcome)
        return model.train(start, examples, SGD(batch_size=1000), generator=draw).weights.tobytes()

    assert [trained(rows) for rows in sizes] == [trained(rows) for rows in sizes]
    assert len(model._kept.steps) <= network.STEPS


def test_sites_may_train_in_threads() -> None:
    """No buffer is shared: four sites at once learn what each learns by itself."""
    spec = MLP(hidden=(16, 8))
    model = build(spec, features=FEATURES, outcome=BINARY)
    start = model.init(np.random.default_rng(0))
    sites = [_examples(300 + site, BINARY, seed=site) for site in range(4)]

    def learn(examples: Examples) -> bytes:
        return model.train(start, examples, SGD(), generator=np.random.default_rng(1)).weights.tobytes()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(learn, sites)) == [learn(site) for site in sites]


@pytest.mark.parametrize("rows", [1, 2, 31, 32, 33, 70])
def test_an_epoch_takes_every_row_once(rows: int) -> None:
    """The loss reported for an epoch without learning is the mean over all rows, whatever the last batch's size."""
    model, examples = build(Logistic(), features=FEATURES, outcome=BINARY), _examples(rows, BINARY)
    start = model.init(np.random.default_rng(0))
    trained = model.train(start, examples, SGD(learning_rate=1e-12), generator=np.random.default_rng(0))
    scores = model.scores(start, examples.features)
    assert trained.steps == -(-rows // 32)
    assert trained.loss == pytest.approx(np.mean(np.logaddexp(0, scores) - scores * examples.outcome), rel=1e-5)


@pytest.mark.parametrize(("rows", "batch_size", "steps"), [(10, 4, 1), (10, 4, 3), (10, 4, 7), (10, 100, 5), (1, 4, 3)])
def test_local_steps_cycle_through_fresh_passes(rows: int, batch_size: int, steps: int) -> None:
    """As many steps as asked for; the loss is the mean over the rows they saw, the last batch of a pass included."""
    model, examples = build(Linear(), features=FEATURES, outcome=NUMBER), _examples(rows, NUMBER)
    start = model.init(np.random.default_rng(0))
    how = SGD(learning_rate=1e-12, batch_size=batch_size, local_steps=steps)
    trained = model.train(start, examples, how, generator=np.random.default_rng(9))
    squares = (model.scores(start, examples.features) - examples.outcome) ** 2

    generator, seen = np.random.default_rng(9), list[np.intp]()
    a_pass = -(-rows // batch_size)
    for first in range(0, steps, a_pass):
        seen += list(generator.permutation(rows)[: (steps - first) * batch_size])
    assert trained.steps == steps
    assert trained.loss == pytest.approx(squares[seen].mean(), rel=1e-5)


def test_the_loss_is_that_of_the_last_epoch() -> None:
    model, examples = build(Logistic(), features=FEATURES, outcome=BINARY), _examples(200, BINARY)
    start = model.init(np.random.default_rng(0))
    losses = [
        model.train(start, examples, SGD(local_epochs=epochs), generator=np.random.default_rng(1)).loss
        for epochs in (1, 2, 4, 8)
    ]
    assert all(later < earlier for earlier, later in pairwise(losses))


@pytest.mark.parametrize("spec", [Logistic(), MLP(hidden=(8,))], ids=lambda spec: spec.kind)
def test_a_site_with_one_class_learns_it(spec: Logistic | MLP) -> None:
    examples = Examples(_examples(50, BINARY).features, np.zeros(50, np.float32))
    model = build(spec, features=FEATURES, outcome=BINARY)
    start = model.init(np.random.default_rng(0))
    how = SGD(local_epochs=30, learning_rate=0.5)
    weights = model.train(
        start, examples, how, generator=np.random.default_rng(0), class_weights=np.array([1, 5], np.float32)
    ).weights
    assert (model.scores(weights, examples.features) < -1).all()


def test_no_rows_are_refused() -> None:
    model = build(Logistic(), features=FEATURES, outcome=BINARY)
    empty = Examples(np.empty((0, FEATURES), np.float32), np.empty(0, np.float32))
    start = model.init(np.random.default_rng(0))
    with pytest.raises(DataError, match="no rows to learn from"):
        model.train(start, empty, SGD(local_steps=3), generator=np.random.default_rng(0))
    assert model.scores(start, empty.features).shape == (0,)


def test_weights_that_leave_the_finite_numbers_are_returned() -> None:
    """The caller decides what to do; no warning, no error."""
    model, examples = build(MLP(), features=FEATURES, outcome=NUMBER), _examples(64, NUMBER)
    start = model.init(np.random.default_rng(0))
    how = SGD(learning_rate=1e9, local_epochs=20)
    assert not np.isfinite(model.train(start, examples, how, generator=np.random.default_rng(0)).weights).all()


def test_work_in_chunks_changes_no_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model, examples = build(MLP(hidden=(8,)), features=FEATURES, outcome=THREE), _examples(600, THREE)
    start = model.init(np.random.default_rng(0))
    weights = np.array([1, 2, 3], np.float32)

    def learn() -> tuple[Floats, float, Floats]:
        trained = model.train(start, examples, SGD(), generator=np.random.default_rng(3), class_weights=weights)
        return trained.weights, trained.loss, model.scores(trained.weights, examples.features)

    whole = learn()
    monkeypatch.setattr(network, "AT_ONCE", 100)
    monkeypatch.setattr(network, "SCORED", 100)
    parts = learn()
    assert whole[0].tobytes() == parts[0].tobytes()
    assert whole[1] == pytest.approx(parts[1], rel=1e-6)
    np.testing.assert_allclose(whole[2], parts[2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("together", [0, 1, 16, 17, 48, 256, 257, 600])
def test_a_row_scores_alike_however_many_are_scored_together(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "SCORED", 1)  # More than 256 rows are scored in parts.
    model, examples = build(MLP(hidden=(8,)), features=FEATURES, outcome=BINARY), _examples(600, BINARY)
    weights = model.init(np.random.default_rng(0))
    one_by_one = [model.scores(weights, examples.features[row : row + 1]) for row in range(together)]

    found = model.scores(weights, examples.features[:together])
    np.testing.assert_allclose(found, np.concatenate([np.zeros(0), *one_by_one]), rtol=1e-5, atol=1e-6)


def test_dropout_scales_what_is_kept_and_spares_scoring() -> None:
    """Over many draws the mean score in training is near the score without dropout."""
    model = build(MLP(hidden=(512,), dropout=0.5), features=FEATURES, outcome=NUMBER)
    start = model.init(np.random.default_rng(0))
    row = _examples(1, NUMBER)
    score = float(model.scores(start, row.features)[0])
    assert score == float(model.scores(start, row.features)[0])
    # With outcome 0 the reported loss is the squared score: its mean over draws is score² + variance.
    zero = Examples(np.repeat(row.features, 20_000, axis=0), np.zeros(20_000, np.float32))
    one = Examples(zero.features, np.ones(20_000, np.float32))
    how = SGD(learning_rate=1e-12, batch_size=5000)
    to_zero, to_one = (model.train(start, e, how, generator=np.random.default_rng(4)).loss for e in (zero, one))
    mean = (1 + to_zero - to_one) / 2
    assert mean == pytest.approx(score, abs=5 * (to_zero - mean**2) ** 0.5 / 20_000**0.5)


def test_the_pull_acts_before_clipping() -> None:
    """However hard the pull, a step is no longer than ``clip_norm`` times the learning rate."""
    model, examples = build(Logistic(), features=FEATURES, outcome=BINARY), _examples(32, BINARY)
    start = model.init(np.random.default_rng(0))
    pull = Pull(1000.0, start + 1, np.full_like(start, 50))
    how = SGD(learning_rate=0.1, clip_norm=2.0)
    moved = model.train(start, examples, how, generator=np.random.default_rng(0), pull=pull).weights - start
    assert np.linalg.norm(moved) == pytest.approx(0.2, rel=1e-4)
    assert (moved > 0).all()


def _train(start: Floats, spec: Logistic | MLP, examples: Examples, how: LocalTraining, *, seed: int) -> Floats:
    model = build(spec, features=FEATURES, outcome=THREE)
    return model.train(start, examples, how, generator=np.random.default_rng(seed)).weights


def _examples(rows: int, outcome: Outcome, *, seed: int = 0) -> Examples:
    draw = np.random.default_rng(seed)
    features = draw.standard_normal((rows, FEATURES)).astype(np.float32)
    signal = features @ np.array([1.0, -1.0, 0.5, 0.0]) + 0.5 * draw.standard_normal(rows)
    truth = {"binary": signal > 0, "multiclass": np.digitize(signal, [-1, 1]), "regression": signal}[outcome.kind]
    return Examples(features, np.asarray(truth, np.float32))
