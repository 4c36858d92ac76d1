"""A model of another package: found when announced, built by itself, and started from what it learned elsewhere."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from tests.learn.transfer.test_columns import made, table, taken

from medfl.errors import PlanError, SystemFault
from medfl.learn.model import Model, Outcome
from medfl.learn.models import build
from medfl.run.starting import _require_bundled
from medfl.spec import discover
from medfl.spec.discover import models, titled
from medfl.spec.model import MLP, ModelPart
from medfl.testing.federation import BINARY, FEATURES


class Two(ModelPart):
    """Two layers of its own."""

    kind: Literal["two"] = "two"
    width: int = 3
    """Of the first."""

    def made(self, *, features: int, outcome: Outcome) -> Model:
        return build(MLP(hidden=(self.width,)), features=features, outcome=outcome)


class Silent(ModelPart):
    """Does not say how it is made."""

    kind: Literal["silent"] = "silent"


def test_it_is_built_by_itself() -> None:
    model = build(Two(width=5), features=FEATURES, outcome=BINARY)
    assert dict(model.layout.shapes)["layer1.weight"] == (FEATURES, 5)


def test_one_that_does_not_say_how_is_refused() -> None:
    with pytest.raises(PlanError, match=r"says what it is called but not how it works.*(?s:.)*the method made"):
        build(Silent(), features=FEATURES, outcome=BINARY)


def test_it_takes_over_what_it_learned_on_the_same_columns() -> None:
    weights, first = taken(made(table(40, 1), Two()), made(table(50, 2), Two()))
    assert first.weights.tobytes() == weights.tobytes()
    assert any(note.startswith("a model of kind two's weights are taken over as they are") for note in first.notes)


def test_it_takes_over_nothing_from_other_columns_or_settings() -> None:
    with pytest.raises(PlanError, match="a model of kind two takes over weights for the same columns only"):
        taken(made(table(40, 1, colours=("amber", "blue")), Two()), made(table(50, 2), Two()))
    with pytest.raises(PlanError, match="the model to start from has another architecture"):
        taken(made(table(40, 1), Two(width=4)), made(table(50, 2), Two()))


def test_what_it_draws_is_not_what_it_brings_along() -> None:
    model = build(Two(), features=FEATURES, outcome=BINARY)
    with pytest.raises(PlanError, match="the model two draws its weights at random"):
        _require_bundled(Two(), model, model.init(np.random.default_rng(3)))


def announced(folder: Path, monkeypatch: pytest.MonkeyPatch, *kinds: str) -> None:
    for number, kind in enumerate(kinds):
        package = folder / f"nets{number}"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "net.py").write_text(
            "from typing import Literal\nfrom medfl.spec.model import ModelPart\n"
            f'class Net(ModelPart):\n    kind: Literal["{kind}"] = "{kind}"\n'
        )
    monkeypatch.syspath_prepend(folder)
    points = [EntryPoint("a", f"nets{number}", discover.MODELS) for number in range(len(kinds))]
    monkeypatch.setattr(discover, "entry_points", lambda group: points)


def test_two_models_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announced(tmp_path, monkeypatch, "mlp")
    with pytest.raises(SystemFault, match=r"two installed models are called 'mlp'.*MEDfl itself and nets0\.net"):
        models.__wrapped__()


def test_a_model_that_is_not_installed_any_more_is_told_by_its_kind() -> None:
    assert titled("waves") == "a model of kind waves"
