"""Every parameter of every rule changes what comes out: none is read and forgotten."""

from __future__ import annotations

import pytest

from medfl.learn.algorithm import Algorithm
from medfl.learn.models import build
from medfl.spec.algorithm import AlgorithmPart
from medfl.spec.discover import algorithms, kind_of
from medfl.spec.model import MLP
from medfl.testing.algorithm_contract import Trial, prints
from medfl.testing.federation import BINARY, FEATURES

OTHERS: dict[str, dict[str, object]] = {
    "bulyan": {"byzantine": 0},
    "fedadagrad": {"server_learning_rate": 0.2, "beta1": 0.5, "tau": 0.1},
    "fedadam": {"server_learning_rate": 0.2, "beta1": 0.5, "tau": 0.1, "beta2": 0.5},
    "fedavg": {},
    "fedavgm": {"server_learning_rate": 0.5, "momentum": 0.5},
    "fedmedian": {},
    "fednova": {"mu": 1.0},
    "fedopt": {  # what follows the space only tells one case from another
        "server_optimizer": {"kind": "sgd", "learning_rate": 0.5},
        "server_optimizer ": {"kind": "sgd", "momentum": 0.5},
        **{
            f"server_optimizer {kind} {name}": {"kind": kind, name: value}
            for kind, settings in {
                "adam": {"learning_rate": 0.2, "beta1": 0.5, "beta2": 0.5, "tau": 0.1},
                "yogi": {"learning_rate": 0.2, "beta1": 0.5, "beta2": 0.5, "tau": 0.1},
                "adagrad": {"learning_rate": 0.2, "beta1": 0.5, "tau": 0.1},
            }.items()
            for name, value in settings.items()
        },
    },
    "fedprox": {"mu": 5.0},
    "fedyogi": {"server_learning_rate": 0.2, "beta1": 0.5, "tau": 0.1, "beta2": 0.5},
    "krum": {"byzantine": 0},
    "multi-krum": {"byzantine": 2, "keep": 2},
    "qfedavg": {"q": 3.0, "lipschitz": 1.0},
    "rfa": {"iterations": 1, "tolerance": 0.9, "smoothing": 10.0},
    "scaffold": {"server_learning_rate": 0.5},
    "trimmed-mean": {"trim": 0.4},
}
"""For each rule, another value of each of its own parameters."""


def test_no_parameter_is_left_out() -> None:
    own = {
        kind_of(part): set(part.model_fields) - set(AlgorithmPart.model_fields)
        for part in algorithms()
        if part.__module__.startswith("medfl.")
    }
    assert {kind: {name.split(" ")[0] for name in others} for kind, others in OTHERS.items()} == own


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, others in OTHERS.items() for name in others], ids=str
)
def test_it_changes_the_model(kind: str, name: str) -> None:
    value = OTHERS[kind][name]
    key = name.split(" ")[0]
    plain: dict[str, object] = {key: {"kind": value["kind"]}} if isinstance(value, dict) else {}
    assert _after_three_rounds(kind, {key: value}) != _after_three_rounds(kind, plain)


def _after_three_rounds(kind: str, settings: dict[str, object]) -> object:
    part = next(part for part in algorithms() if kind_of(part) == kind).model_validate({"kind": kind} | settings)
    assert isinstance(part, Algorithm)
    trial = Trial(part, build(MLP(hidden=(5,)), features=FEATURES, outcome=BINARY))
    *_, last = trial.moments(4)
    return prints(last.state)[0]
