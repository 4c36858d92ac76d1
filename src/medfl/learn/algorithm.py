"""What an algorithm is: three pure functions. A new paper is one new file in ``learn/algorithms``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from medfl import seeds
from medfl.errors import PlanError
from medfl.learn.apart import Around
from medfl.learn.model import Examples, Floats, Model, PrivateTraining, Pull, Trained
from medfl.learn.private.training import Privately, shared_out
from medfl.learn.statistic import Array, Statistic
from medfl.spec.training import SGD, LocalTraining

Memory: TypeAlias = Mapping[str, Array]
"""What a site keeps between rounds and never sends."""


@dataclass(frozen=True, slots=True)
class State:
    """What the hub knows between rounds.

    Parameters
    ----------
    shared
        What every site is sent; always with ``"weights"``, the flat global weights.
    kept
        What stays at the hub, such as a server optimiser's moments.
    """

    shared: Mapping[str, Array]
    kept: Mapping[str, Array] = field(default_factory=dict)

    @property
    def weights(self) -> Floats:
        """The flat global weights."""
        return self.shared["weights"]


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a site's training during which each layer keeps its rate.

    Parameters
    ----------
    how
        The optimiser's settings, with this part's share of the epochs or steps.
    rates
        Factor of the learning rate for each weight, flat; None for 1 everywhere.
    """

    how: LocalTraining
    rates: Floats | None


@dataclass(frozen=True, slots=True)
class Local:
    """What an algorithm sees of a site during one round.

    Parameters
    ----------
    model
        The model, bound to its input and outcome.
    examples
        The site's training rows.
    how
        The optimiser's settings.
    class_weights
        Weight of each class in the loss; None for equal ones.
    site, round
        They name the streams of random numbers.
    stages
        Parts of the training in which layers learn at rates of their own; empty where all learn alike throughout.
    around
        What of the model the algorithm does not see; None where it sees all of it.
    private
        How training is made private; None where it is not.
    """

    model: Model
    examples: Examples
    how: LocalTraining
    class_weights: Floats | None
    site: str
    round: int
    stages: tuple[Stage, ...] = ()
    around: Around | None = None
    private: PrivateTraining | None = None

    def train(self, weights: Array, *, seed: int, pull: Pull | None = None, purpose: str = "train") -> Trained:
        """Train from these weights for one round, stage after stage; the loss is the last stage's.

        `purpose` names the stream of random numbers, beside site and round.
        """
        generator = seeds.generator(seed, round=self.round, site=self.site, purpose=purpose)
        trained = Trained(self._whole(weights), 0.0, 0)
        pull = pull if self.around is None else self.around.pull(pull)
        for stage, private in self._parts():
            part = self._trained(stage, private, trained.weights, generator=generator, pull=pull)
            trained = Trained(part.weights, part.loss, trained.steps + part.steps)
        if self.around is None:
            return trained
        self.around.after = trained.weights
        return replace(trained, weights=self.around.learned(trained.weights))

    @property
    def rates(self) -> Floats | None:
        """Factor of the learning rate for each weight at the end of the round; None for 1 everywhere."""
        rates = self.stages[-1].rates if self.stages else None
        return rates if rates is None or self.around is None else self.around.learned(rates)

    def loss(self, weights: Array, *, seed: int) -> float:
        """Return the mean training loss at these weights: what a step over all rows measures before it is taken.

        Raises
        ------
        PlanError
            If training is private: the loss is a number about every row, and no noise covers it.
        """
        if self.private is not None:
            raise PlanError(
                "this rule asks each site for its training loss, which differential privacy does not cover",
                where="[algorithm] kind",
                remedy="choose a rule that needs the change of the weights only, such as fedavg",
            )
        whole = SGD(batch_size=len(self.examples), local_steps=1)
        generator = seeds.generator(seed, round=self.round, site=self.site, purpose="loss")
        return self.model.train(
            self._whole(weights), self.examples, whole, generator=generator, class_weights=self.class_weights
        ).loss

    def _parts(self) -> Iterator[tuple[Stage, PrivateTraining | None]]:
        """Yield each part of the training; private steps are shared out as epochs or steps would be."""
        stages = self.stages or (Stage(self.how, None),)
        if self.private is None:
            yield from ((stage, None) for stage in stages)
            return
        lengths = [stage.how.local_steps or stage.how.epochs for stage in stages]
        for stage, private in zip(stages, shared_out(self.private, lengths), strict=True):
            if private is not None:
                yield stage, private

    def _trained(
        self,
        stage: Stage,
        private: PrivateTraining | None,
        weights: Floats,
        *,
        generator: np.random.Generator,
        pull: Pull | None,
    ) -> Trained:
        model = self.model if private is None else Privately(self.model, private)
        return model.train(
            weights,
            self.examples,
            stage.how,
            generator=generator,
            class_weights=self.class_weights,
            pull=_at_rates(pull, stage.rates),
        )

    def _whole(self, weights: Array) -> Floats:
        return weights if self.around is None else self.around.whole(weights)


@runtime_checkable
class Algorithm(Protocol):
    """An aggregation rule; its parameters are the fields of the object."""

    def init(self, weights: Floats, sites: int) -> State:
        """Return the state before the first round, from freshly drawn weights and the number of all sites."""
        ...

    def at_site(self, shared: Mapping[str, Array], data: Local, memory: Memory, seed: int) -> tuple[Statistic, Memory]:
        """Train at a site; return what adds up over sites, and what the site keeps."""
        ...

    def at_hub(self, state: State, total: Statistic) -> State:
        """Return the next state from the sum of the sites' statistics.

        Where the rule's ``single_contributions`` is true, `total` has them stacked: each array with a first axis, one
        entry a site that answered, in the order of the sites' names.
        """
        ...


def _at_rates(pull: Pull | None, rates: Floats | None) -> Pull | None:
    return pull if rates is None else replace(pull or Pull(), rates=rates)


def weighted_update(start: Array, trained: Trained, rows: int) -> Statistic:
    """Return a site's update weighted by its rows: numerators in float64 under their weight, so that they add exactly.

    The names are ``delta`` (rows × (local − global weights)), ``loss`` (rows × mean loss) and ``weight`` (rows).
    """
    delta = trained.weights.astype(np.float64) - start.astype(np.float64)
    return Statistic({"delta": delta * rows, "loss": np.array(trained.loss * rows), "weight": np.array(float(rows))})


def mean_loss(total: Statistic) -> float | None:
    """Return the mean training loss over sites, weighted by rows, of a sum or of a stack; None where it is not told."""
    if "loss" not in total.arrays:
        return None
    loss = float(total["loss"].sum() / total["weight"].sum())
    return loss if np.isfinite(loss) else None


def mean_update(total: Statistic) -> Array:
    """Return the average update over sites, weighted by rows, in float64."""
    return total["delta"] / total["weight"]
