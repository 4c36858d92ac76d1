"""A user's own torch module: registered by name, trained with the same meaning as the built-in models."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from medfl.errors import DataError, MissingExtraError, PlanError
from medfl.learn.model import Examples, Floats, Model, Outcome, Pull
from medfl.learn.models import build
from medfl.learn.models import torch as torch_models
from medfl.learn.models.torch import Registered, torch_model
from medfl.spec.model import MLP, Torch
from medfl.spec.training import SGD, Adam, AdamW, Training

pytest.importorskip("torch")
import torch

pytestmark = pytest.mark.torch

BINARY = Outcome("binary", ("no", "yes"))
THREE = Outcome("multiclass", ("a", "b", "c"))
NUMBER = Outcome("regression")
FEATURES = 4
CLASS_WEIGHTS = {"binary": [1, 3], "multiclass": [1, 2, 3]}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a table of its own, with a few modules in it."""
    monkeypatch.setattr(Registered, "factories", {})

    @torch_model("perceptron")
    def perceptron(features: int, outcomes: int, width: int = 6) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(features, width), torch.nn.Tanh(), torch.nn.Linear(width, outcomes))

    @torch_model("flat")
    def flat(features: int, outcomes: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(features, outcomes), torch.nn.Flatten(0))

    @torch_model("batch-norm")
    def batch_norm(features: int, outcomes: int) -> torch.nn.Module:
        return torch.nn.Sequential(
            torch.nn.BatchNorm1d(features), torch.nn.Dropout(0.3), torch.nn.Linear(features, outcomes)
        )


@pytest.mark.parametrize(
    "how",
    [
        SGD(momentum=0.5, nesterov=True, clip_norm=0.2, weight_decay=0.1),
        Adam(weight_decay=0.1, clip_norm=0.2),
        AdamW(clip_norm=0.2),
    ],
    ids=lambda how: how.optimizer,
)
@pytest.mark.parametrize("factors", [(0.0, 1.0), (0.2, 1.0), (1.0, 0.0), (0.5, 0.5)])
def test_layers_learn_at_the_rates_that_built_in_ones_do(how: Training, factors: tuple[float, float]) -> None:
    mine = build(MLP(hidden=(6,), activation="tanh"), features=FEATURES, outcome=BINARY)
    theirs = build(Torch(name="perceptron"), features=FEATURES, outcome=BINARY)
    how, start = how.model_copy(update={"batch_size": 16, "local_epochs": 4}), mine.init(np.random.default_rng(0))
    rates = np.where(np.arange(start.size) < FEATURES * 6 + 6, *factors).astype(np.float32)
    weights = {}
    for model, flat in ((mine, start), (theirs, _carried(start, mine, theirs))):
        pull = Pull(0.3, flat + np.float32(0.01), rates=rates)
        trained = model.train(flat, _examples(50, BINARY), how, generator=np.random.default_rng(5), pull=pull)
        frozen = rates == 0
        assert trained.weights[frozen].tobytes() == flat[frozen].tobytes()
        weights[id(model)] = trained.weights
    expected = _carried(weights[id(mine)], mine, theirs)
    np.testing.assert_allclose(weights[id(theirs)], expected, rtol=1e-4, atol=1e-5)


def test_a_frozen_normalisation_keeps_its_running_statistics() -> None:
    model = build(Torch(name="batch-norm"), features=FEATURES, outcome=BINARY)
    start = model.init(np.random.default_rng(0))
    rates = np.ones_like(start)
    for name, part in model.layout.split(rates).items():
        part[...] = 0.0 if name.startswith("0.") else 1.0
    trained = model.train(
        start, _examples(40, BINARY), SGD(), generator=np.random.default_rng(0), pull=Pull(rates=rates)
    ).weights
    assert trained[rates == 0].tobytes() == start[rates == 0].tobytes()
    assert (trained[rates == 1] != start[rates == 1]).any()


@pytest.mark.parametrize(
    "how",
    [SGD(momentum=0.5, nesterov=True, clip_norm=0.2), Adam(weight_decay=0.01), AdamW(clip_norm=0.2)],
    ids=lambda how: how.optimizer,
)
@pytest.mark.parametrize("outcome", [BINARY, THREE, NUMBER], ids=lambda outcome: outcome.kind)
@pytest.mark.parametrize("steps", [None, 7])
def test_it_learns_what_the_built_in_model_learns(how: Training, outcome: Outcome, steps: int | None) -> None:
    """Same architecture, start, order, class weights and pull: same weights, loss and scores."""
    mine = build(MLP(hidden=(6,), activation="tanh"), features=FEATURES, outcome=outcome)
    theirs = build(Torch(name="perceptron"), features=FEATURES, outcome=outcome)
    how = how.model_copy(update={"batch_size": 16, "local_steps": steps, "local_epochs": None if steps else 3})
    examples, listed = _examples(50, outcome), CLASS_WEIGHTS.get(outcome.kind)
    class_weights = None if listed is None else np.array(listed, np.float32)
    start = mine.init(np.random.default_rng(0))
    anchor, correction = start + _noise(start, 0.1, seed=1), _noise(start, 0.02, seed=2)

    expected = mine.train(
        start,
        examples,
        how,
        generator=np.random.default_rng(5),
        class_weights=class_weights,
        pull=Pull(0.3, anchor, correction),
    )
    trained = theirs.train(
        _carried(start, mine, theirs),
        examples,
        how,
        generator=np.random.default_rng(5),
        class_weights=class_weights,
        pull=Pull(0.3, _carried(anchor, mine, theirs), _carried(correction, mine, theirs)),
    )
    assert trained.steps == expected.steps
    assert trained.loss == pytest.approx(expected.loss, rel=1e-5)
    np.testing.assert_allclose(_carried(trained.weights, theirs, mine), expected.weights, rtol=1e-4, atol=2e-5)
    scores = theirs.scores(trained.weights, examples.features)
    np.testing.assert_allclose(scores, mine.scores(expected.weights, examples.features), rtol=1e-4, atol=1e-4)


def test_the_same_generator_gives_the_same_weights_and_leaves_pytorch_alone() -> None:
    """Start, dropout and order come from the generator; PyTorch's own random state and threads stay as they were."""
    model, examples = build(Torch(name="batch-norm"), features=FEATURES, outcome=THREE), _examples(64, THREE)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    starts = [model.init(np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert starts[0].tobytes() == starts[1].tobytes() != starts[2].tobytes()
    first, again, other = (
        model.train(starts[0], examples, SGD(), generator=np.random.default_rng(seed)).weights for seed in (1, 1, 2)
    )
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_buffers_travel_with_the_weights() -> None:
    """What batch normalisation has seen is part of the flat vector; what scores a row uses it."""
    model, examples = build(Torch(name="batch-norm"), features=FEATURES, outcome=BINARY), _examples(64, BINARY)
    start = model.init(np.random.default_rng(0))
    names = dict(model.layout.shapes)
    assert names["0.running_mean"] == (FEATURES,)
    assert names["0.num_batches_tracked"] == ()
    weights = model.train(start, examples, SGD(batch_size=16), generator=np.random.default_rng(0)).weights
    seen = model.layout.split(weights)
    assert seen["0.num_batches_tracked"] == 4
    assert (seen["0.running_mean"] != 0).all()

    seen["0.num_batches_tracked"][...] = 4.6  # as an average over sites may be
    further = model.train(weights, examples, SGD(batch_size=64), generator=np.random.default_rng(0)).weights
    assert model.layout.split(further)["0.num_batches_tracked"] == 6


def test_a_pull_leaves_buffers_alone() -> None:
    model, examples = build(Torch(name="batch-norm"), features=FEATURES, outcome=BINARY), _examples(64, BINARY)
    start = model.init(np.random.default_rng(0))
    pull = Pull(1.0, start + 100, np.full_like(start, 100))
    pulled, free = (
        model.layout.split(model.train(start, examples, SGD(), generator=np.random.default_rng(0), pull=p).weights)
        for p in (pull, None)
    )
    assert pulled["0.running_var"].tobytes() == free["0.running_var"].tobytes()
    assert (pulled["2.weight"] != free["2.weight"]).all()


def test_frozen_parameters_stay() -> None:
    @torch_model("frozen")
    def frozen(features: int, outcomes: int) -> torch.nn.Module:
        module = torch.nn.Sequential(torch.nn.Linear(features, 3), torch.nn.Linear(3, outcomes))
        module[0].requires_grad_(False)
        return module

    model = build(Torch(name="frozen"), features=FEATURES, outcome=BINARY)
    start = model.init(np.random.default_rng(0))
    weights = model.train(start, _examples(40, BINARY), SGD(), generator=np.random.default_rng(0)).weights
    before, after = model.layout.split(start), model.layout.split(weights)
    assert (before["0.weight"] == after["0.weight"]).all()
    assert (before["1.weight"] != after["1.weight"]).any()


def test_options_reach_the_factory() -> None:
    model = build(Torch(name="perceptron", options={"width": 9}), features=FEATURES, outcome=BINARY)
    assert dict(model.layout.shapes)["0.weight"] == (9, FEATURES)


def test_scores_without_a_second_axis_are_taken_for_one_outcome() -> None:
    model, examples = build(Torch(name="flat"), features=FEATURES, outcome=NUMBER), _examples(20, NUMBER)
    start = model.init(np.random.default_rng(0))
    assert model.scores(start, examples.features).shape == (20,)
    assert np.isfinite(model.train(start, examples, SGD(), generator=np.random.default_rng(0)).loss)


def test_scores_of_another_shape_are_refused() -> None:
    model = build(Torch(name="flat"), features=FEATURES, outcome=THREE)
    with pytest.raises(PlanError, match=r"wrong shape \(found: \[60\] for 20 rows\)\n.*shape \(rows, 3\)"):
        model.scores(model.init(np.random.default_rng(0)), _examples(20, THREE).features)


def test_a_single_row_and_batch_normalisation() -> None:
    model, examples = build(Torch(name="batch-norm"), features=FEATURES, outcome=BINARY), _examples(33, BINARY)
    start = model.init(np.random.default_rng(0))
    with pytest.raises(DataError, match=r"training.batch_size.*batch of one row"):
        model.train(start, examples, SGD(), generator=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (Torch(name="perceptrom"), 'model.name: no torch model .*"perceptrom".*\n.*did you mean "perceptron"'),
        (Torch(name="?"), r"known names: batch-norm, flat, perceptron; load the file that registers it"),
        (Torch(name="flat", options={"widht": 3}), "model.options: .*'widht'.*\n.*its options are: none"),
    ],
    ids=["misspelt", "unknown", "wrong option"],
)
def test_what_cannot_be_built_is_refused_with_a_remedy(spec: Torch, complaint: str) -> None:
    with pytest.raises(PlanError, match=complaint):
        build(spec, features=FEATURES, outcome=BINARY)


def test_an_installed_package_may_name_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("linear", "torch.nn:Linear", "medfl.models")
    monkeypatch.setattr(torch_models, "entry_points", lambda group: [entry] if group == "medfl.models" else [])
    model = build(Torch(name="linear"), features=FEATURES, outcome=THREE)
    assert dict(model.layout.shapes) == {"weight": (3, FEATURES), "bias": (3,)}


def test_a_missing_extra_names_the_line_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_models, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'medfl\[torch\]'"):
        build(Torch(name="perceptron"), features=FEATURES, outcome=BINARY)


def test_the_built_in_models_do_without_pytorch() -> None:
    code = "import sys, medfl.learn.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _carried(flat: Floats, source: Model, target: Model) -> Floats:
    """Return the other layout's flat vector; the built-in layers have the transposes of PyTorch's weights."""
    values = source.layout.split(flat).values()
    return target.layout.join({name: value.T for (name, _), value in zip(target.layout.shapes, values, strict=True)})


def _noise(like: Floats, scale: float, *, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(0, scale, like.shape).astype(np.float32)


def _examples(rows: int, outcome: Outcome) -> Examples:
    draw = np.random.default_rng(0)
    features = draw.standard_normal((rows, FEATURES)).astype(np.float32)
    signal = features @ np.array([1.0, -1.0, 0.5, 0.0]) + 0.5 * draw.standard_normal(rows)
    truth = {"binary": signal > 0, "multiclass": np.digitize(signal, [-1, 1]), "regression": signal}[outcome.kind]
    return Examples(features, np.asarray(truth, np.float32))
