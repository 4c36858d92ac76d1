"""Which model is learned."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from medfl.spec.part import FrozenDict, Part, Table
from medfl.spec.start import Start

Activation = Literal["relu", "tanh", "sigmoid", "gelu", "silu", "leaky-relu", "elu"]
Scalar = bool | int | float | str


class Started(Part):
    """What all models share."""

    start: Start | None = None
    """Weights learned elsewhere to start from; drawn at random where it is left out."""


class Logistic(Started):
    """Logistic regression; multinomial when the outcome has more than two classes."""

    kind: Literal["logistic"] = "logistic"


class Linear(Started):
    """Linear regression of a numeric outcome, by least squares."""

    kind: Literal["linear"] = "linear"


class MLP(Started):
    """A multilayer perceptron: fully connected layers with an activation between them."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(default=(64, 32), min_length=1, max_length=64)
    """Width of each hidden layer, from the input on."""
    activation: Activation = "relu"
    """Function between the layers."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of hidden units left out at random at each training step."""
    layer_norm: bool = False
    """Normalise each hidden layer over its units (Ba et al. 2016), before the activation."""


class Torch(Started):
    """A PyTorch module of your own, registered by name with ``medfl.torch_model``; needs ``medfl[torch]``."""

    kind: Literal["torch"] = "torch"
    name: str = Field(min_length=1)
    """The name it was registered under."""
    options: Table[Scalar] = Field(default_factory=FrozenDict)
    """Keyword arguments of its factory."""
    batch_norm: Literal["shared", "local", "group"] | None = None
    """Batch normalisation: its running statistics pooled over sites ("shared", as where it is left out), all of it kept
    at each site and never sent ("local": FedBN, Li et al. 2021), or group normalisation in its place ("group": Wu & He
    2018), in which rows do not meet, as differential privacy needs."""


class ModelPart(Started):
    """The base of a model of another package; subclasses add ``kind: Literal["…"]`` and their parameters.

    Besides, they say how the model is made: see :class:`medfl.learn.model.Makes`. They are found through the entry
    points of group ``medfl.models``: each that names a package stands for all models in its modules.

    Attributes
    ----------
    title
        What the model is, as it stands in a sentence: "a logistic regression on random waves"; empty for its kind.
    """

    title: ClassVar[str] = ""

    kind: str
    """The model's name."""

    @property
    def settings(self) -> dict[str, object]:
        """Its own parameters."""
        return self.model_dump(exclude={"kind", "start"})


BuiltIn: TypeAlias = Logistic | Linear | MLP | Torch
Model: TypeAlias = BuiltIn | ModelPart
BUILT_IN = ("logistic", "linear", "mlp", "torch")
"""The kinds that need no other package."""
