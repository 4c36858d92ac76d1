"""Every built-in model, and PyTorch modules of a user's own, hold to the contract."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from medfl.learn.model import Model, Outcome
from medfl.learn.models import build
from medfl.learn.models.torch import Registered, torch_model
from medfl.spec.model import MLP, Linear, Logistic, Torch
from medfl.testing.federation import BINARY, FEATURES, MULTICLASS, REGRESSION
from medfl.testing.model_contract import ModelContract

CLASSES = [BINARY, MULTICLASS]
OUTCOMES = [*CLASSES, REGRESSION]
BUILT_IN: list[tuple[Logistic | Linear | MLP, Outcome]] = [
    *((Logistic(), outcome) for outcome in CLASSES),
    (Linear(), REGRESSION),
    *((MLP(hidden=(6,)), outcome) for outcome in OUTCOMES),
    (MLP(hidden=(5, 3), activation="gelu", dropout=0.3, layer_norm=True), MULTICLASS),
]


class TestBuiltIn(ModelContract):
    @pytest.fixture(autouse=True, params=BUILT_IN, ids=lambda pair: f"{pair[0].kind}-{pair[1].kind}")
    def _asked(self, request: pytest.FixtureRequest) -> None:
        self.spec, self.outcome = request.param

    def model(self) -> Model:
        return build(self.spec, features=FEATURES, outcome=self.outcome)


@pytest.mark.torch
@pytest.mark.skipif(find_spec("torch") is None, reason="needs the torch extra")
class TestTorch(ModelContract):
    @pytest.fixture(autouse=True, params=["plain", "normalised"])
    def _registered(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        from torch import nn

        monkeypatch.setattr(Registered, "factories", {})

        @torch_model("plain")
        def plain(features: int, outcomes: int) -> nn.Module:
            return nn.Sequential(nn.Linear(features, 6), nn.Tanh(), nn.Linear(6, outcomes))

        @torch_model("normalised")
        def normalised(features: int, outcomes: int) -> nn.Module:
            return nn.Sequential(nn.BatchNorm1d(features), nn.Dropout(0.2), nn.Linear(features, outcomes))

        self.name = request.param

    @pytest.fixture(autouse=True, params=OUTCOMES, ids=lambda outcome: outcome.kind)
    def _predicts(self, request: pytest.FixtureRequest) -> None:
        self.outcome = request.param

    def model(self) -> Model:
        return build(Torch(name=self.name), features=FEATURES, outcome=self.outcome)
