"""What a model is to the rest of the program: three pure functions over one flat vector of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from medfl.spec.training import LocalTraining

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is predicted.

    Parameters
    ----------
    kind
        Binary: one of two; multiclass: one of several; regression: a number.
    classes
        The classes' names in order of their index; for binary (negative, positive); empty for regression.
    """

    kind: Literal["binary", "multiclass", "regression"]
    classes: tuple[str, ...] = ()

    @property
    def scores(self) -> int:
        """Numbers a model gives for each row: one for binary and regression, one a class for multiclass."""
        return len(self.classes) if self.kind == "multiclass" else 1


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows ready to learn from.

    Parameters
    ----------
    features
        Float32, shape (rows, features), C-contiguous.
    outcome
        Float32, shape (rows,): 0 or 1; the class index; or the (standardised) number.
    """

    features: Floats
    outcome: Floats

    def __len__(self) -> int:
        return len(self.outcome)


@dataclass(frozen=True)
class Layout:
    """Names and shapes of the parameters that follow each other in the flat vector.

    Parameters
    ----------
    shapes
        In their order.
    running
        Names of those that are no weights but numbers kept while training, such as a batch normalisation's mean.
    own
        Names of those that stay at a site and are never sent.
    """

    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    running: tuple[str, ...] = ()
    own: tuple[str, ...] = ()

    @property
    def even(self) -> bool:
        """Whether all of them are weights that sites share."""
        return not (self.running or self.own)

    @property
    def learned(self) -> int:
        """Number of weights that sites share and aggregate."""
        return sum(prod(shape) for name, shape in self.shapes if name not in {*self.running, *self.own})

    @cached_property
    def size(self) -> int:
        """Number of weights in all."""
        return sum(prod(shape) for _, shape in self.shapes)

    def split(self, flat: Floats) -> dict[str, Floats]:
        """Return views into `flat`, by name."""
        views, start = {}, 0
        for name, shape in self.shapes:
            stop = start + prod(shape)
            views[name] = flat[start:stop].reshape(shape)
            start = stop
        return views

    def join(self, parameters: Mapping[str, Floats]) -> Floats:
        """Return the flat vector of these parameters; the inverse of :meth:`split`."""
        return np.concatenate([np.asarray(parameters[name], np.float32).reshape(-1) for name, _ in self.shapes])


@dataclass(frozen=True, slots=True)
class Pull:
    """What makes a local step differ from plain descent.

    An algorithm adds ``mu * (weights - anchor) + correction`` to every gradient; a study may let layers learn slower,
    or not at all.

    Parameters
    ----------
    mu
        Strength of the proximal term (FedProx, Li et al. 2020, eq. 2).
    anchor
        The global weights it pulls to, flat; None for no proximal term.
    correction
        A constant vector, flat (SCAFFOLD, Karimireddy et al. 2020, eq. 3); None for none.
    rates
        Factor of the learning rate for each weight, flat; a weight of factor 0 stays as it is, bit for bit, and its
        gradient does not count in clipping. None for 1 everywhere.
    """

    mu: float = 0.0
    anchor: Floats | None = None
    correction: Floats | None = None
    rates: Floats | None = None


@dataclass(frozen=True, slots=True)
class PrivateTraining:
    """How a site trains so that its weights tell little of any one unit: see :mod:`medfl.learn.private`.

    It takes the place of batch size, epochs and steps of the study's training.

    Parameters
    ----------
    clip_norm
        Largest Euclidean norm of one unit's gradient (C).
    noise_multiplier
        Standard deviation of the noise in the sum of clipped gradients, as a multiple of `clip_norm` (σ); 0 for none,
        which protects nobody.
    sample_rate
        Probability with which each unit takes part in a step (q), independently of all others and of other steps.
    steps
        Steps a round.
    units
        Number of the unit that each row belongs to, shape (rows,): any integers, such as one a patient; None where each
        row is a unit.
    noise
        Draws who takes part and the noise, so that a simulation can be repeated; None for the operating system's secure
        randomness, without which nothing is protected from whoever knows the seed.
    usable
        Which rows say anything, shape (rows,); None for all. The others keep their place, so that nobody sees how many
        they are.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    clip_norm: float
    noise_multiplier: float
    sample_rate: float
    steps: int
    units: NDArray[np.int64] | None = None
    noise: np.random.Generator | None = None
    usable: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if not (0.0 < self.clip_norm < np.inf and 0.0 <= self.noise_multiplier < np.inf):
            raise ValueError("clip_norm must be above 0, noise_multiplier at least 0, and both finite")
        if not 0.0 < self.sample_rate <= 1.0 or self.steps < 1:
            raise ValueError("sample_rate must be above 0 and at most 1, and steps at least 1")


@dataclass(frozen=True, slots=True)
class Trained:
    """What local training gives.

    Parameters
    ----------
    weights
        Flat float32 vector.
    loss
        Mean loss over the last epoch's (or all steps') batches, before each step; NaN after private training, which
        tells nothing of the rows but the weights.
    steps
        Optimiser steps taken.
    """

    weights: Floats
    loss: float
    steps: int


class Model(Protocol):
    """A model bound to its input width and outcome."""

    @property
    def layout(self) -> Layout:
        """Names and shapes of its parameters."""
        ...

    def init(self, generator: np.random.Generator) -> Floats:
        """Return fresh weights, flat."""
        ...

    def train(
        self,
        weights: Floats,
        examples: Examples,
        how: LocalTraining,
        *,
        generator: np.random.Generator,
        class_weights: Floats | None = None,
        pull: Pull | None = None,
    ) -> Trained:
        """Return the weights after one round of local training; `weights` is not changed."""
        ...

    def scores(self, weights: Floats, features: Floats) -> Floats:
        """Return raw scores, shape (rows,) or (rows, classes): logits, or the predicted number."""
        ...


@runtime_checkable
class Makes(Protocol):
    """What a model of another package says in a study: a :class:`~medfl.spec.model.ModelPart` that can make it."""

    def made(self, *, features: int, outcome: Outcome) -> Model:
        """Return the model, bound to its input width and outcome.

        The same arguments give the same model, at the hub and at every site. Raises a
        :class:`~medfl.errors.PlanError` where it cannot predict this kind of outcome.
        """
        ...
