"""DP-SGD: Abadi et al. 2016, "Deep Learning with Differential Privacy", algorithm 1.

In each step every unit (a row, or a patient with all of his rows) takes part by a throw of dice. Each unit's gradient
is clipped by itself, the clipped ones are added up, noise is added to the sum, and the result is divided by the number
of units that are *expected*: the number that came would tell something. A step in which nobody takes part is a step of
noise. Whatever is done with the noised gradient afterwards (an algorithm's pull, momentum, Adam, weight decay) reads no
row, and so costs no privacy.

A unit's gradient is the mean over its rows: a patient counts once, however often he was seen, and `clip_norm` means the
same with patients as with rows.

Models differ in how they find the clipped sum; the steps around it are the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from medfl.errors import DataError, PlanError
from medfl.learn.model import Examples, Floats, Model, PrivateTraining, Pull, Trained
from medfl.learn.models.network import Network
from medfl.learn.models.optimisers import Descent
from medfl.learn.models.torch import TorchModel
from medfl.learn.private import chance
from medfl.learn.private.ghost import GhostClipping
from medfl.learn.private.sampled import SampledClipping
from medfl.learn.private.units import Drawn, Task, Units
from medfl.spec.training import LocalTraining


class Clipping(Protocol):
    """What is particular to a model: the sum of its units' gradients, each clipped by itself."""

    @property
    def learning(self) -> Floats | None:
        """1 for each number of the flat vector that training may move, else 0; None where that is all of them."""
        ...

    def summed(self, weights: Floats, drawn: Drawn) -> Floats:
        """Return the sum over the units drawn, at these weights: flat, and good until the next call."""
        ...


class Privately:
    """A model that is trained by DP-SGD; :meth:`train` is called as the model's own.

    Parameters
    ----------
    model
        A built-in network or a torch module.
    private
        Clipping, noise and sampling.
    """

    def __init__(self, model: Model, private: PrivateTraining) -> None:
        self.model = model
        self.private = private

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
        """Return the weights after one round of DP-SGD; `weights` is not changed, and no loss is told.

        Batches and steps are those of :class:`~medfl.learn.model.PrivateTraining`, the rest of `how` holds. A class's
        weight multiplies its rows' gradients before they are clipped: it changes what a unit says, not how much it can
        say. `generator` draws what dropout leaves out, nothing that the guarantee rests on.

        Raises
        ------
        DataError
            If there are no rows.
        PlanError
            If the model cannot be trained so, with the reason.
        """
        private = self.private
        units = Units(private.units, len(examples))
        if not units.count:
            raise DataError("there are no rows to learn from", remedy="leave this site out, or give it more rows")
        rates = None if pull is None else pull.rates
        task = Task(examples, class_weights, private.clip_norm, rates, private.usable)
        clipping = clipping_of(self.model, task, generator)
        dice, expected = chance.of(private.noise), private.sample_rate * units.count
        spread = private.noise_multiplier * private.clip_norm
        weights = np.array(weights, np.float32)
        gradient = np.empty_like(weights)
        descent = Descent(how, weights, gradient, pull=_held(pull, clipping.learning))
        with np.errstate(all="ignore"):
            for _ in range(private.steps):
                drawn = units.drawn(chance.poisson_sample(units.count, private.sample_rate, dice))
                noise = spread * dice.normal(len(weights)) if spread else 0.0
                gradient[:] = (clipping.summed(weights, drawn) + noise) / expected
                for operation in descent.operations:
                    operation()
        return Trained(weights, float("nan"), private.steps)


def shared_out(private: PrivateTraining, lengths: Sequence[int]) -> list[PrivateTraining | None]:
    """Return the training in parts whose steps are to each other as `lengths`; None where no step falls to a part."""
    ends = [round(private.steps * sum(lengths[: end + 1]) / sum(lengths)) for end in range(len(lengths))]
    counts = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    return [replace(private, steps=count) if count else None for count in counts]


def clipping_of(model: Model, task: Task, generator: np.random.Generator) -> Clipping:
    """Return the model's way to its clipped sums.

    Raises
    ------
    MissingExtraError
        If it needs an optional package that is not installed.
    PlanError
        If the model has none, with the reason.
    """
    match model:
        case Network():
            return GhostClipping(model, task, generator)
        case TorchModel():
            return SampledClipping(model, task, generator)
    raise PlanError(
        "this model cannot be trained with differential privacy: it does not tell each row's gradient apart",
        where="model.kind",
        received=type(model).__name__,
        remedy='choose "logistic", "linear", "mlp" or "torch", or leave [privacy.dp] out',
    )


def _held(pull: Pull | None, learning: Floats | None) -> Pull | None:
    """Return a pull that leaves alone what training may not move."""
    if learning is None:
        return pull
    pull = pull or Pull()
    return replace(pull, rates=learning if pull.rates is None else pull.rates * learning)
