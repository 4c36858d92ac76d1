"""How a run spends its budget: solved by each site from the study's text and its own rows, so that no hub can lie.

A unit is either trained on or tested on, never both. What is released of training units (the sums that preprocessing is
fitted from, and every step of every round) adds up; what is released of test units (one judgement of the last model)
adds up beside it; and the run costs whichever is more (McSherry 2009, theorem 4, parallel composition).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from medfl.errors import RefusedError
from medfl.privacy.accountant import Accountant, Mechanism, epsilon, solve
from medfl.spec.privacy import DifferentialPrivacy
from medfl.spec.study import Study

DELTA = 1e-5
Side = Literal["train", "test"]
"""Which units something was released of."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a site may release in one run.

    Parameters
    ----------
    delta
        Chance that the bound fails.
    statistics
        Noise of the sums that preprocessing is fitted from; None where none are needed.
    step
        One step of DP-SGD (Abadi et al. 2016, algorithm 1).
    steps
        Steps a round.
    rounds
        Rounds in which the site may be asked: all of them, whoever is drawn.
    judging
        Noise of the one judgement of the last model.
    units
        Records or patients that are trained on.
    """

    delta: float
    statistics: Mechanism | None
    step: Mechanism
    steps: int
    rounds: int
    judging: Mechanism
    units: int

    @property
    def training(self) -> tuple[Mechanism, ...]:
        """What is released of the training units in the whole run."""
        every = Mechanism(self.step.noise_multiplier, self.step.sample_rate, self.steps * self.rounds)
        return (every,) if self.statistics is None else (self.statistics, every)

    @property
    def whole(self) -> Mapping[Side, tuple[Mechanism, ...]]:
        """What is released in the whole run, by the units that it is about."""
        return {"train": self.training, "test": (self.judging,)}

    def cost(self, accountant: Accountant) -> float:
        """Return the ε of the whole run."""
        return max(epsilon(released, self.delta, accountant=accountant) for released in self.whole.values())

    def round(self) -> Mechanism:
        """Return what one round releases."""
        return Mechanism(self.step.noise_multiplier, self.step.sample_rate, self.steps)

    def to_json(self) -> dict[str, Any]:
        """Return it in words for the hub: noise, rate and number of steps are no secret."""
        return {
            "delta": self.delta,
            "noise_multiplier": self.step.noise_multiplier,
            "sample_rate": self.step.sample_rate,
            "units": self.units,
            "steps": self.steps * self.rounds,
            "statistics_noise": None if self.statistics is None else self.statistics.noise_multiplier,
            "judging_noise": self.judging.noise_multiplier,
        }


def budget(study: Study, dp: DifferentialPrivacy, *, units: int, smallest: int) -> Budget:
    """Return how a site spends its budget.

    Parameters
    ----------
    study
        The study's arm.
    dp
        Its differential privacy, of records or patients.
    units
        Records or patients that the site trains on; their number counts as known.
    smallest
        The smaller of the numbers of units that the site trains and tests on.

    Raises
    ------
    RefusedError
        If δ is so large that giving one unit away altogether would keep the promise.
    PlanError
        If no noise keeps to the budget.
    """
    delta = dp.delta if dp.delta is not None else min(DELTA, 0.1 / units)
    if delta >= 1.0 / smallest:
        raise RefusedError(
            "delta is so large that publishing a unit as it is would keep the promise",
            where="[privacy.dp] delta",
            received=f"{delta:g}, with {smallest} {dp.unit}s",
            remedy=f"choose delta below {0.1 / smallest:.1g}, or leave it out",
        )
    rate = min(1.0, study.training.batch_size / units)
    steps = steps_a_round(study, units)
    rounds = study.algorithm.rounds
    beside: tuple[Mechanism, ...] = ()
    if needs_statistics(study, dp):
        beside = (Mechanism(solve(dp.epsilon * dp.share, delta, accountant=dp.accountant)),)
    noise = solve(dp.epsilon, delta, sample_rate=rate, count=steps * rounds, beside=beside, accountant=dp.accountant)
    judging = Mechanism(solve(dp.epsilon, delta, accountant=dp.accountant))
    return Budget(delta, beside[0] if beside else None, Mechanism(noise, rate), steps, rounds, judging, units)


def steps_a_round(study: Study, units: int) -> int:
    """Return the steps that a site with so many units takes a round: as many as without privacy."""
    how = study.training
    return how.local_steps if how.local_steps is not None else how.epochs * math.ceil(units / how.batch_size)


def needs_statistics(study: Study, dp: DifferentialPrivacy) -> bool:
    """Return whether preprocessing is fitted from sums over the rows, rather than from declared bounds."""
    how = study.preprocess
    fitted = how.scale.startswith("standard") or how.impute not in ("none", "drop")
    return fitted or study.training.class_weight == "balanced" or bounds_of(study, dp) is not None


def bounds_of(study: Study, dp: DifferentialPrivacy) -> tuple[float, float] | None:
    """Return the declared range of the outcome where a number is predicted, as far as the study says; else None."""
    data = study.data
    number = data.positive is None and data.outcome in (None, "regression")
    return dp.ranges.get(data.target) if number else None


def between(dp: DifferentialPrivacy, *, times: int) -> Mechanism:
    """Return the noise of each round where the unit is a site that takes part so often.

    No gain is counted from asking only some sites: who is asked follows from the seed, which the sites know.
    """
    noise = solve(dp.epsilon, delta_between(dp), count=times, accountant=dp.accountant)
    return Mechanism(noise, count=times)


def delta_between(dp: DifferentialPrivacy) -> float:
    """Return δ where the unit is a site."""
    return DELTA if dp.delta is None else dp.delta
