"""Three ways to one gradient: the fast path by hand, torch modules through our own steps, and Opacus's optimiser."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest

from medfl.learn.model import Floats, Layout, Model, Outcome, PrivateTraining
from medfl.learn.models import build
from medfl.learn.private.training import Privately, clipping_of
from medfl.learn.private.units import Task, Units
from medfl.spec.model import MLP, Activation, Torch
from medfl.spec.training import SGD, Adam, AdamW, Training
from medfl.testing.federation import BINARY, FEATURES, MULTICLASS, REGRESSION, examples

pytest.importorskip("torch")
pytest.importorskip("opacus")
import torch
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer

from medfl.learn.models.torch import torch_model

pytestmark = pytest.mark.torch

ROWS, HIDDEN = 60, (8, 6)
ACTIVATIONS = {
    "relu": torch.nn.ReLU,
    "tanh": torch.nn.Tanh,
    "sigmoid": torch.nn.Sigmoid,
    "gelu": torch.nn.GELU,
    "silu": torch.nn.SiLU,
    "leaky-relu": torch.nn.LeakyReLU,
    "elu": torch.nn.ELU,
}
OPTIMISERS: dict[str, Training] = {"sgd": SGD(momentum=0.9), "adam": Adam(eps=1e-6), "adamw": AdamW(eps=1e-6)}
PATIENTS = np.random.default_rng(3).integers(0, 20, ROWS)


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch_model("twin")(twin)
    yield
    torch.set_num_threads(threads)


def twin(features: int, outcomes: int, activation: str, layer_norm: bool) -> torch.nn.Module:
    """Return the built-in network as a torch module."""
    parts: list[torch.nn.Module] = []
    for inputs, units in pairwise((features, *HIDDEN)):
        parts += [torch.nn.Linear(inputs, units), *([torch.nn.LayerNorm(units)] if layer_norm else [])]
        parts += [ACTIVATIONS[activation]()]
    return torch.nn.Sequential(*parts, torch.nn.Linear(HIDDEN[-1], outcomes))


def pair(activation: Activation, outcome: Outcome, layer_norm: bool) -> tuple[Model, Model]:
    spec = MLP(hidden=HIDDEN, activation=activation, layer_norm=layer_norm)
    options = {"activation": activation, "layer_norm": layer_norm}
    module = Torch(name="twin", options=options)
    return tuple(build(each, features=FEATURES, outcome=outcome) for each in (spec, module))  # type: ignore[return-value]


def as_torch(own: Layout, flat: Floats, theirs: Layout) -> Floats:
    """Return a flat vector in the order of the torch module, whose matrices are transposed."""
    values = [part.T for part in own.split(flat).values()]
    return theirs.join(dict(zip((name for name, _ in theirs.shapes), values, strict=True)))


@pytest.mark.parametrize("labels", [None, PATIENTS], ids=["rows", "patients"])
@pytest.mark.parametrize("layer_norm", [False, True], ids=["plain", "normed"])
@pytest.mark.parametrize("outcome", [BINARY, MULTICLASS, REGRESSION], ids=lambda outcome: outcome.kind)
@pytest.mark.parametrize("activation", get_args(Activation))
def test_the_clipped_sum_is_the_same(
    activation: Activation, outcome: Outcome, layer_norm: bool, labels: np.ndarray | None
) -> None:
    own, module = pair(activation, outcome, layer_norm)
    start = own.init(np.random.default_rng(1))
    weights = None if outcome.kind == "regression" else np.array([0.5, 2.0, 1.0], np.float32)
    task, units = Task(examples(outcome, rows=ROWS), weights, 0.3, None), Units(labels, ROWS)
    drawn = units.drawn(np.arange(0, units.count, 2))
    draw = np.random.default_rng(0)
    by_hand = clipping_of(own, task, draw).summed(start, drawn).copy()
    sampled = clipping_of(module, task, draw).summed(as_torch(own.layout, start, module.layout), drawn)
    np.testing.assert_allclose(
        as_torch(own.layout, by_hand, module.layout) / drawn.count, sampled / drawn.count, rtol=0, atol=1e-6
    )


class Ordered(np.random.Generator):
    """A generator whose noise is put in another order, so that two layouts get the same for the same weight."""

    order: np.ndarray

    def standard_normal(self, *sizes: Any, **options: Any) -> Any:
        """Return the same numbers, each at another place."""
        return super().standard_normal(*sizes, **options)[self.order]


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("labels", [None, PATIENTS], ids=["rows", "patients"])
def test_with_the_same_noise_the_weights_are_the_same(optimiser: str, labels: np.ndarray | None) -> None:
    own, module = pair("tanh", BINARY, layer_norm=True)
    rows, start = examples(BINARY, rows=ROWS), own.init(np.random.default_rng(1))
    noise = Ordered(np.random.PCG64(4))
    numbers = np.arange(len(start), dtype=np.float32)
    noise.order = as_torch(own.layout, numbers, module.layout).astype(int)
    how = OPTIMISERS[optimiser]

    def trained(model: Model, weights: Floats, noise: np.random.Generator) -> Floats:
        private = PrivateTraining(0.5, 1.2, 0.3, 25, labels, noise)
        return Privately(model, private).train(weights, rows, how, generator=np.random.default_rng(2)).weights

    by_hand = trained(own, start, np.random.Generator(np.random.PCG64(4)))
    sampled = trained(module, as_torch(own.layout, start, module.layout), noise)
    np.testing.assert_allclose(as_torch(own.layout, by_hand, module.layout), sampled, rtol=0, atol=1e-5)
    assert np.abs(by_hand - start).max() > 1e-3


@pytest.mark.parametrize("outcome", [BINARY, MULTICLASS, REGRESSION], ids=lambda outcome: outcome.kind)
def test_opacus_takes_the_same_steps(outcome: Outcome) -> None:
    """Its own optimiser on whole batches without noise, against both of ours."""
    own, module = pair("relu", outcome, layer_norm=True)
    rows, start = examples(outcome, rows=ROWS), own.init(np.random.default_rng(1))
    private = PrivateTraining(0.05, 0.0, 1.0, 20)
    how = SGD(learning_rate=0.5, momentum=0.9)
    by_hand = Privately(own, private).train(start, rows, how, generator=np.random.default_rng(2)).weights
    theirs = as_torch(own.layout, start, module.layout)
    sampled = Privately(module, private).train(theirs, rows, how, generator=np.random.default_rng(2)).weights

    net = twin(FEATURES, outcome.scores, "relu", layer_norm=True)
    torch.nn.utils.vector_to_parameters(torch.tensor(theirs), net.parameters())
    wrapped = GradSampleModule(net)
    inner = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    optimiser = DPOptimizer(inner, noise_multiplier=0.0, max_grad_norm=0.05, expected_batch_size=ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(20):
            optimiser.zero_grad()
            scores, truth = wrapped(torch.tensor(rows.features)), torch.tensor(rows.outcome)
            torch.autograd.backward(_loss(outcome, scores, truth))
            optimiser.step()
    expected = torch.nn.utils.parameters_to_vector(net.parameters()).detach().numpy()
    np.testing.assert_allclose(as_torch(own.layout, by_hand, module.layout), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(sampled, expected, rtol=0, atol=1e-5)


def _loss(outcome: Outcome, scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    functional = torch.nn.functional
    if outcome.kind == "multiclass":
        return functional.cross_entropy(scores, truth.long())
    if outcome.kind == "binary":
        return functional.binary_cross_entropy_with_logits(scores[:, 0], truth)
    return functional.mse_loss(scores[:, 0], truth)
