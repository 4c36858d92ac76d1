"""Which torch modules are trained privately, which are refused with what reason, and what is left alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from medfl import seeds
from medfl.errors import MissingExtraError, PlanError
from medfl.learn.model import Examples, Floats, Model, PrivateTraining, Pull, Trained
from medfl.learn.models import build
from medfl.learn.private import sampled
from medfl.learn.private.training import Privately
from medfl.spec.model import Torch
from medfl.spec.training import SGD, Adam
from medfl.testing.federation import BINARY, FEATURES, examples

pytest.importorskip("torch")
pytest.importorskip("opacus")
import torch
from torch import Tensor, nn

from medfl.learn.models.torch import Registered, torch_model

pytestmark = pytest.mark.torch

ROWS = 40


class Centred(nn.Module):
    """Takes the batch's mean away: no layer that a list of layers would name."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, 1)

    def forward(self, rows: Tensor) -> Tensor:
        scores: Tensor = self.linear(rows - rows.mean(0))
        return scores


class Asleep(Centred):
    """The same behind weights that start at zero."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.linear.weight)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, 3, batch_first=True)
        self.head = nn.Linear(3, 1)

    def forward(self, rows: Tensor) -> Tensor:
        scores: Tensor = self.head(self.lstm(rows.unsqueeze(1))[0][:, -1])
        return scores


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, FEATURES)
        self.second = nn.Linear(FEATURES, FEATURES)
        self.second.weight = self.first.weight
        self.head = nn.Linear(FEATURES, 1)

    def forward(self, rows: Tensor) -> Tensor:
        scores: Tensor = self.head(self.second(torch.tanh(self.first(rows))))
        return scores


class Counting(nn.Module):
    """Keeps a buffer that sums up the rows it has seen: it must not leave."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, 1)
        self.frozen = nn.Linear(1, 1).requires_grad_(False)
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(FEATURES))

    def forward(self, rows: Tensor) -> Tensor:
        if self.training:
            self.seen += rows.detach().sum(0)
        scores: Tensor = self.linear(rows) + self.frozen.bias
        return scores


def normed(features: int, outcomes: int, affine: bool = True) -> nn.Module:
    return nn.Sequential(nn.Linear(features, 6), nn.BatchNorm1d(6, affine=affine), nn.ReLU(), nn.Linear(6, outcomes))


def pictures(features: int, outcomes: int) -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)),
        nn.Conv2d(1, 4, 2, padding=1),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.Linear(36, outcomes),
    )


def dropping(features: int, outcomes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(features, 8), nn.Dropout(0.5), nn.Linear(8, outcomes))


def alone(kind: Callable[[], nn.Module]) -> Callable[..., nn.Module]:
    def factory(features: int, outcomes: int) -> nn.Module:
        return kind()

    return factory


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    names: dict[str, Callable[..., nn.Module]] = {"normed": normed, "pictures": pictures, "dropping": dropping}
    names |= {kind.__name__: alone(kind) for kind in (Centred, Asleep, Recurrent, Tied, Counting)}
    for name, factory in names.items():
        torch_model(name)(factory)
    yield
    for name in names:
        Registered.factories.pop(name)


def trained(model: Model, *, pull: Pull | None = None, clip_norm: float = 0.5) -> tuple[Floats, Trained]:
    start = model.init(np.random.default_rng(1))
    private = PrivateTraining(clip_norm, 1.0, 0.4, 6, noise=seeds.generator(1, purpose="noise"))
    rows = examples(BINARY, rows=ROWS)
    return start, Privately(model, private).train(
        start, rows, Adam(weight_decay=0.1), generator=np.random.default_rng(2), pull=pull
    )


def model(name: str, **options: Any) -> Model:
    return build(Torch(name=name, **options), features=FEATURES, outcome=BINARY)


@pytest.mark.parametrize(
    ("name", "options", "what", "remedy"),
    [
        ("normed", {}, "has batch normalisation", 'batch_norm = "group"'),
        ("normed", {"options": {"affine": False}}, "has batch normalisation", 'batch_norm = "group"'),
        ("pictures", {"batch_norm": "local"}, "has batch normalisation", 'batch_norm = "group"'),
        ("Centred", {}, "scores depend on the other rows", "over a batch"),
        ("Asleep", {}, "scores depend on the other rows", "over a batch"),
        ("Recurrent", {}, "cannot find the gradient of each row", "DPLSTM"),
        ("Tied", {}, "parameters under two names", "parameters of its own"),
    ],
)
def test_a_module_whose_rows_cannot_be_told_apart_is_refused(
    name: str, options: dict[str, object], what: str, remedy: str
) -> None:
    with pytest.raises(PlanError) as refused:
        trained(model(name, **options))
    assert what in str(refused.value)
    assert remedy in str(refused.value)


@pytest.mark.parametrize("name", ["normed", "pictures"])
def test_group_normalisation_takes_its_place_with_consent(name: str) -> None:
    grouped = model(name, batch_norm="group")
    names = [parameter for parameter, _ in grouped.layout.shapes]
    assert not any("running" in parameter for parameter in names)
    start, result = trained(grouped)
    assert (result.weights != start).all()
    rows = examples(BINARY, rows=ROWS)
    assert len(set(grouped.scores(start, rows.features).tolist())) > 1, "a norm of single numbers leaves nothing"
    learned = grouped.train(start, rows, SGD(), generator=np.random.default_rng(0))  # plain training as well
    assert np.isfinite(learned.weights).all()


def test_group_normalisation_needs_something_to_replace() -> None:
    with pytest.raises(PlanError, match="has no batch normalisation"):
        model("dropping", batch_norm="group")


def test_a_frozen_batch_normalisation_stands_still_and_is_no_hindrance() -> None:
    module = model("normed")
    rates = np.ones(module.layout.size, np.float32)
    for name, part in module.layout.split(rates).items():
        part[...] = 1.0 if name.startswith("3") else 0.0
    start, result = trained(module, pull=Pull(rates=rates))
    assert result.weights[rates == 0].tobytes() == start[rates == 0].tobytes()
    assert (result.weights[rates > 0] != start[rates > 0]).all()


def test_buffers_and_frozen_parameters_stay_bit_for_bit() -> None:
    """A buffer that sums up rows would carry them out, and noise or decay would spoil what is frozen."""
    counting = model("Counting")
    start, result = trained(counting)
    before, after = (counting.layout.split(weights) for weights in (start, result.weights))
    for name in ("seen", "frozen.weight", "frozen.bias"):
        assert before[name].tobytes() == after[name].tobytes()
    assert (before["linear.weight"] != after["linear.weight"]).all()


def test_dropout_is_drawn_from_the_generator_and_not_from_torch() -> None:
    dropping = model("dropping")
    torch.manual_seed(1)
    first = trained(dropping)[1].weights
    torch.manual_seed(2)
    assert trained(dropping)[1].weights.tobytes() == first.tobytes()


def test_a_row_that_is_not_finite_says_nothing() -> None:
    module = model("dropping")
    start, rows = module.init(np.random.default_rng(1)), examples(BINARY, rows=ROWS)
    spoilt = Examples(rows.features.copy(), rows.outcome)
    spoilt.features[3, 1] = np.inf
    private = PrivateTraining(0.5, 0.0, 1.0, 3)
    result = Privately(module, private).train(start, spoilt, SGD(), generator=np.random.default_rng(2))
    assert np.isfinite(result.weights).all()
    assert (result.weights != start).all()


def test_small_pieces_make_the_same_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = trained(model("normed", batch_norm="group"))
    monkeypatch.setattr(sampled, "AT_ONCE", 200)
    np.testing.assert_allclose(trained(model("normed", batch_norm="group"))[1].weights, whole.weights, atol=1e-5)


def test_without_opacus_the_line_to_type_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opacus", None)
    monkeypatch.setitem(sys.modules, "opacus.validators", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'medfl\[torch\]'"):
        trained(model("dropping"))
