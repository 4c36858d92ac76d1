"""FedOpt: Reddi et al. 2021, "Adaptive Federated Optimization", algorithm 1."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from medfl.learn.algorithm import State
from medfl.learn.algorithms.fedadagrad import FedAdagrad
from medfl.learn.algorithms.fedadam import FedAdam
from medfl.learn.algorithms.fedavgm import FedAvgM
from medfl.learn.algorithms.fedyogi import FedYogi
from medfl.learn.averaging import Averaging
from medfl.learn.model import Floats
from medfl.learn.statistic import Statistic
from medfl.spec.part import Part, tagged


class ServerSGD(Part):
    """Gradient descent at the server, with momentum if asked for: FedAvg by default."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: float = Field(default=1.0, gt=0.0)
    """Size of the server's step (η)."""
    momentum: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the previous step that is kept."""


class _TwoMoments(Part):
    """What Adam and Yogi share."""

    learning_rate: float = Field(default=0.01, gt=0.0)
    """Size of the server's step (η)."""
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Decay of the first moment."""
    beta2: float = Field(default=0.99, ge=0.0, lt=1.0)
    """Decay of the second moment, as in the paper's experiments; fedadam and fedyogi start from 0.999."""
    tau: float = Field(default=1e-3, gt=0.0)
    """Degree of adaptivity (τ): smaller adapts more."""


class ServerAdam(_TwoMoments):
    """Adam at the server: FedAdam."""

    kind: Literal["adam"] = "adam"


class ServerYogi(_TwoMoments):
    """Yogi at the server: FedYogi."""

    kind: Literal["yogi"] = "yogi"


class ServerAdagrad(Part):
    """Adagrad at the server: FedAdagrad."""

    kind: Literal["adagrad"] = "adagrad"
    learning_rate: float = Field(default=0.1, gt=0.0)
    """Size of the server's step (η)."""
    beta1: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Decay of the first moment."""
    tau: float = Field(default=1e-3, gt=0.0)
    """Degree of adaptivity (τ): smaller adapts more."""


ServerOptimizer = Annotated[
    ServerSGD | ServerAdam | ServerYogi | ServerAdagrad, Field(discriminator="kind"), tagged("kind", "sgd")
]


class FedOpt(Averaging):
    """The sites' average change as a gradient for an optimiser at the server, whichever is named."""

    kind: Literal["fedopt"] = "fedopt"
    server_optimizer: ServerOptimizer = ServerSGD()
    """What the hub does with the average change."""

    def init(self, weights: Floats, sites: int) -> State:
        """Start as the optimiser does."""
        return self._rule.init(weights, sites)

    def at_hub(self, state: State, total: Statistic) -> State:
        """Take one step of the optimiser."""
        return self._rule.at_hub(state, total)

    @property
    def _rule(self) -> Averaging:
        """The rule of this optimiser's own name."""
        how = self.server_optimizer
        rate = how.learning_rate
        match how:
            case ServerSGD():
                return FedAvgM(server_learning_rate=rate, momentum=how.momentum)
            case ServerYogi():
                return FedYogi(server_learning_rate=rate, beta1=how.beta1, beta2=how.beta2, tau=how.tau)
            case ServerAdam():
                return FedAdam(server_learning_rate=rate, beta1=how.beta1, beta2=how.beta2, tau=how.tau)
            case ServerAdagrad():
                return FedAdagrad(server_learning_rate=rate, beta1=how.beta1, tau=how.tau)
