"""Models, one framework a file: built-in networks in NumPy, a user's own module in PyTorch, or one of their making."""

from __future__ import annotations

from functools import lru_cache

from medfl.errors import PlanError
from medfl.learn.model import Makes, Model, Outcome
from medfl.learn.models import losses
from medfl.learn.models.circuit import Architecture
from medfl.learn.models.network import Network
from medfl.learn.models.torch import TorchModel
from medfl.spec.model import MLP, Linear, Logistic, ModelPart, Torch
from medfl.spec.model import Model as Asked


def build(spec: Asked, *, features: int, outcome: Outcome) -> Model:
    """Return the model that `spec` asks for, bound to its input width and outcome.

    Raises
    ------
    PlanError
        If the model cannot predict this kind of outcome, no torch model is registered under its name, or a model of
        another package does not say how it is made.
    MissingExtraError
        If the model needs PyTorch and it is not installed.
    """
    match spec:
        case Torch():
            return TorchModel(spec, features=features, outcome=outcome)
        case MLP():
            architecture = Architecture(
                widths=(features, *spec.hidden, outcome.scores),
                activation=spec.activation,
                dropout=spec.dropout,
                layer_norm=spec.layer_norm,
            )
            return _network(architecture, outcome)
        case Linear() if outcome.kind == "regression":
            return _network(Architecture((features, 1)), outcome)
        case Logistic() if outcome.kind != "regression":
            return _network(Architecture((features, outcome.scores)), outcome)
        case Makes():
            return spec.made(features=features, outcome=outcome)
        case ModelPart():
            raise PlanError(
                "the model says what it is called but not how it works",
                where="model.kind",
                received=spec.kind,
                remedy="give its class the method made",
            )
    raise PlanError(
        f"a {spec.kind} model cannot predict a {outcome.kind} outcome",
        where="model.kind",
        received=f'"{spec.kind}"',
        remedy='write kind = "linear" for a number, "logistic" for classes, or "mlp" for either',
    )


@lru_cache(maxsize=8)
def _network(architecture: Architecture, outcome: Outcome) -> Network:
    """Return the one network of this kind: simulated sites share its buffers, which stay in the processor's cache."""
    return Network(architecture, losses.of(outcome))
