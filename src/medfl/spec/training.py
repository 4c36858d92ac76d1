"""How a site trains between two exchanges."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from medfl.spec.part import Part, Table, tagged


class LocalTraining(Part):
    """What all optimisers share."""

    learning_rate: float = Field(gt=0.0)
    """Size of a step."""
    batch_size: int = Field(default=32, ge=1)
    """Rows a step; a site with fewer rows uses all of them."""
    local_epochs: int | None = Field(default=None, ge=1)
    """Passes over the site's training rows a round; 1 where neither epochs nor steps are given."""
    local_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps a round, instead of epochs."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """L2 penalty: added to the gradient for SGD and Adam, decoupled for AdamW."""
    clip_norm: float | None = Field(default=None, gt=0.0)
    """Largest Euclidean norm of a step's gradient over all parameters; a longer one is scaled down."""
    class_weight: Literal["balanced"] | Table[Annotated[float, Field(gt=0.0)]] | None = None
    """Weight of each class in the loss: "balanced" (from the classes' counts over all sites), or one number a class."""

    @model_validator(mode="after")
    def _epochs_or_steps(self) -> Self:
        if self.local_epochs is not None and self.local_steps is not None:
            raise ValueError("local_epochs and local_steps exclude each other: keep one of them")
        return self

    @property
    def epochs(self) -> int:
        """Passes over the rows a round; meaningless when ``local_steps`` is given."""
        return self.local_epochs if self.local_epochs is not None else 1


class SGD(LocalTraining):
    """Stochastic gradient descent, with momentum as PyTorch defines it."""

    optimizer: Literal["sgd"] = "sgd"
    learning_rate: float = Field(default=0.05, gt=0.0)
    """Size of a step."""
    momentum: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the previous step that is kept."""
    nesterov: bool = False
    """Look ahead along the momentum before taking the gradient (needs momentum > 0)."""

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov needs a momentum above 0: set momentum, or leave nesterov out")
        return self


class Adam(LocalTraining):
    """Adam (Kingma & Ba 2015, algorithm 1)."""

    optimizer: Literal["adam"] = "adam"
    learning_rate: float = Field(default=0.001, gt=0.0)
    """Size of a step."""
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Decay of the first moment."""
    beta2: float = Field(default=0.999, ge=0.0, lt=1.0)
    """Decay of the second moment."""
    eps: float = Field(default=1e-8, gt=0.0)
    """Added to the root of the second moment."""


class AdamW(LocalTraining):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2)."""

    optimizer: Literal["adamw"] = "adamw"
    learning_rate: float = Field(default=0.001, gt=0.0)
    """Size of a step."""
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Decay of the first moment."""
    beta2: float = Field(default=0.999, ge=0.0, lt=1.0)
    """Decay of the second moment."""
    eps: float = Field(default=1e-8, gt=0.0)
    """Added to the root of the second moment."""
    weight_decay: float = Field(default=0.01, ge=0.0)
    """Decoupled decay of the weights, times the learning rate, at each step."""


Training = Annotated[SGD | Adam | AdamW, Field(discriminator="optimizer"), tagged("optimizer", "sgd")]
