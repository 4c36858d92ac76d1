"""The hub's part in differential privacy: it reads noisy sums, tells what was spent, adds noise where it is trusted.

Nothing here protects anybody whose site did not: where the unit is a record or a patient, all noise is there already
when an answer arrives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from medfl.events import PrivacySpent
from medfl.learn.algorithm import Algorithm
from medfl.learn.data.harmonise import Agreement
from medfl.learn.model import Outcome
from medfl.learn.statistic import Array, Statistic
from medfl.privacy import scores, statistics
from medfl.privacy.accountant import epsilon
from medfl.privacy.budget import between, bounds_of, delta_between
from medfl.privacy.clipping import following, norm_of
from medfl.privacy.noise import simulated, stream
from medfl.privacy.updates import with_noise
from medfl.run.asking import Answers
from medfl.run.plan import RunPlan
from medfl.run.sampling import drawn
from medfl.spec.privacy import DifferentialPrivacy
from medfl.spec.study import Study


@dataclass(frozen=True, slots=True)
class Between:
    """What the hub does where the unit of the guarantee is a site, and nothing where it is not.

    Parameters
    ----------
    plan
        The run.
    trainers
        Who may be asked.
    secret
        The key of the hub's noise; None in a simulation.
    """

    plan: RunPlan
    trainers: tuple[str, ...]
    secret: bytes | None

    @property
    def silent(self) -> bool:
        """Whether models are judged at the end only, since each judgement would cost."""
        return self._dp is not None and self._dp.within_sites

    def rule(self, algorithm: Algorithm) -> Algorithm:
        """Return the aggregation rule, with a clip norm that follows the updates where that is asked for."""
        return following(algorithm, self._dp)

    def summed(self, total: Statistic, shared: Mapping[str, Array], *, run: str, round: int) -> Statistic:
        """Return the sum of a round's updates, with noise where the hub is to add it."""
        dp = self._dp
        if dp is None or not dp.at_hub:
            return total
        key, name = (simulated(self.plan.seed, ""), ()) if self.secret is None else (self.secret, (run,))
        # Made anew from the round's own name: a round that is done again after a crash meets the same noise. Another
        # run of the same study meets other noise: else the difference of two sums would have none.
        noise = stream(key, self.plan.study.digest, str(self.plan.seed), *name, str(round))
        multiplier = between(dp, times=self._times(dp)).noise_multiplier
        return with_noise(total, norm=norm_of(shared, dp), multiplier=multiplier, noise=noise)

    def told(self, run: str) -> Iterator[PrivacySpent]:
        """Tell what all rounds have cost a site, where the unit is a site."""
        dp = self._dp
        if dp is None or dp.within_sites:
            return
        each = between(dp, times=self._times(dp))
        delta = delta_between(dp)
        words = {
            "delta": delta,
            "side": "train",
            "released": [each.to_json()],
            "epsilon": epsilon([each], delta, accountant=dp.accountant),
        }
        yield PrivacySpent(run=run, round=self.plan.rounds, stage="train", unit=dp.unit, sites={"": words})

    def _times(self, dp: DifferentialPrivacy) -> int:
        """Return the most rounds in which any site is asked; a site that adds its own noise counts all of them."""
        rule = self.plan.study.algorithm
        if not dp.at_hub or rule.fraction is None:
            return self.plan.rounds
        rounds = range(1, self.plan.rounds + 1)
        asked = [drawn(self.trainers, rule, seed=self.plan.seed, round=number) for number in rounds]
        return max(sum(site in who for who in asked) for site in self.trainers)

    @property
    def _dp(self) -> DifferentialPrivacy | None:
        return self.plan.study.privacy.dp


def told(run: str, stage: str, answers: Answers, *, round: int = 0) -> Iterator[PrivacySpent]:
    """Tell what sites say that they have spent on an answer."""
    spent: dict[str, dict[str, Any]] = {
        site: dict(words["privacy"]) for site, words in answers.said.items() if "privacy" in words
    }
    if spent:
        unit = str(next(iter(spent.values()))["unit"])
        for words in spent.values():
            words.pop("unit", None)
        yield PrivacySpent(run=run, round=round, stage=stage, unit=unit, sites=spent)


def readable(total: Statistic, agreement: Agreement, study: Study) -> Statistic:
    """Return the sums that preprocessing is fitted from; made plausible where they come with noise."""
    dp = study.privacy.dp
    if dp is None or not dp.within_sites:
        return total
    return statistics.plausible(total, agreement, statistics.asked_of(study, dp))


def whole(answers: Answers, outcome: Outcome, study: Study, *, threshold: float | None) -> Statistic:
    """Return the sums over all sites that metrics are read from; made whole where they come with noise."""
    total, dp = answers.total.under("evaluation"), study.privacy.dp
    if dp is None or scores.NOISED not in total.arrays:
        return total
    rows = sum(int(words["privacy"]["rows"]) for words in answers.said.values())
    return scores.complete(outcome, total, rows=rows, threshold=threshold, bounds=bounds_of(study, dp))
