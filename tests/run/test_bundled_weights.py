"""A torch factory that brings its own weights along is a start; one that draws them at random is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from medfl.errors import PlanError
from medfl.learn.models.torch import Registered, torch_model
from medfl.simulate import Results, simulate
from medfl.testing.federation import study, tables

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
LEARNED = [[0.5, -1.0, 0.25, 0.0, 0.75], [1.5, 0.5, -0.25, 1.0, 0.0]]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Registered, "factories", dict(Registered.factories))

    def network(outcomes: int, body: Any) -> Any:
        return torch.nn.Sequential(body, torch.nn.Tanh(), torch.nn.Linear(body.out_features, outcomes))

    @torch_model("shipped")
    def shipped(features: int, outcomes: int) -> Any:
        body = torch.nn.Linear(features, len(LEARNED))
        with torch.no_grad():
            body.weight.copy_(torch.tensor(LEARNED))
        return network(outcomes, body)

    @torch_model("drawn")
    def drawn(features: int, outcomes: int) -> Any:
        body = torch.nn.Linear(features, len(LEARNED))
        torch.nn.init.zeros_(body.bias)
        return network(outcomes, body)

    yield


def run(folder: Path, name: str, **start: Any) -> Results:
    model = {"kind": "torch", "name": name, "start": {"weights": "bundled"} | start}
    return simulate(study(model=model), tables(), home=folder, progress=False)


def test_what_it_brings_is_what_training_starts_from(tmp_path: Path) -> None:
    results = run(tmp_path, "shipped", freeze=["0"])
    view = results.view.runs[0]
    assert view.start is not None
    assert len(view.start.digest) == 64
    with results.home.artefacts.open(view.model or "") as body:
        np.testing.assert_array_equal(load(body.read())["0.weight"], np.array(LEARNED, np.float32))


def test_what_draws_its_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match='"drawn" draws its weights at random') as refusal:
        run(tmp_path, "drawn")
    assert "name a safetensors file" in str(refusal.value)
