"""A site's answers under differential privacy: it spends first, then answers, with noise that only it can draw.

How much noise follows from the study's text, the site's own rows and the rounds that the study has, so that a hub
cannot talk a site into less of it. Each task of a run is answered once: again for the same content, the answer is the
same and costs nothing; for another content it is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfl.errors import RefusedError
from medfl.learn.algorithm import Memory
from medfl.learn.data.clean import Clean
from medfl.learn.data.harmonise import Agreement
from medfl.learn.metrics import judge
from medfl.learn.model import Floats, Outcome, PrivateTraining
from medfl.learn.statistic import Statistic
from medfl.messages import SECURE, Request
from medfl.privacy import scores, statistics
from medfl.privacy.accountant import Mechanism
from medfl.privacy.budget import Budget, Side, bounds_of, budget
from medfl.privacy.clipping import norm_of
from medfl.privacy.composition import Released, cost
from medfl.privacy.ledger import DataSet, Reservation, Spend
from medfl.privacy.updates import outgoing, shares_of
from medfl.site.purse import Purse, digest
from medfl.spec.checks_of_privacy import breaking
from medfl.spec.privacy import DifferentialPrivacy
from medfl.spec.study import Study

NOTHING: Memory = MappingProxyType({})
"""What a site has kept before its first round."""


@dataclass(frozen=True, slots=True)
class Units:
    """The units of a site's rows.

    Parameters
    ----------
    train, test
        The unit of each row; None where each row is one.
    rows
        Number of training and of test rows.
    content
        Digest of the rows themselves; it never leaves, not even in a hash that the hub could try rows against.
    """

    train: NDArray[np.int64] | None
    test: NDArray[np.int64] | None
    rows: tuple[int, int]
    content: bytes

    @property
    def trained(self) -> int:
        """Units that are trained on."""
        return self.rows[0] if self.train is None else len(np.unique(self.train))

    @property
    def tested(self) -> int:
        """Units that are tested on."""
        return self.rows[1] if self.test is None else len(np.unique(self.test))


@dataclass(frozen=True, slots=True)
class Guard:
    """Guards one site's answers in one run.

    Parameters
    ----------
    purse
        What the site has to spend.
    study, dp
        The study's arm, and its differential privacy.
    request
        What is asked.
    dataset
        What it is asked of.
    split
        Names the division of the table.
    units
        Whom the guarantee is about.
    """

    purse: Purse
    study: Study
    dp: DifferentialPrivacy
    request: Request
    dataset: DataSet
    split: str
    units: Units

    def told(self) -> dict[str, Any]:
        """Set the run aside, and say how its budget is spent."""
        words = self._spend()
        return words | {"planned": self.budget.to_json() | {"epsilon": self.dp.epsilon}}

    def statistics(self, clean: Clean, agreement: Agreement) -> Statistic:
        """Return the sums that preprocessing is fitted from, with noise: the same however often they are asked for."""
        if self.budget.statistics is None:
            return Statistic({"rows": np.array([len(clean)])})
        named = json.dumps([self.request.study, self.request.seed, agreement.to_json()], sort_keys=True)
        return statistics.released(
            clean,
            agreement,
            statistics.asked_of(self.study, self.dp),
            units=self.units.train,
            multiplier=self.budget.statistics.noise_multiplier,
            noise=self.purse.stream(self.request, "statistics", named, self._rows),
        )

    @property
    def shares(self) -> bool:
        """Whether the sums leave; else they stay, as each site scales and fills by numbers of its own."""
        how = self.study.preprocess
        fitted = how.scale == "standard" or how.impute in ("mean", "median", "most-frequent")
        return fitted or self.study.training.class_weight == "balanced" or bounds_of(self.study, self.dp) is not None

    def plausible(self, clean: Clean, agreement: Agreement) -> Statistic:
        """Return the sums as they may be read, for a site that scales or fills by numbers of its own."""
        asked = statistics.asked_of(self.study, self.dp)
        return statistics.plausible(self.statistics(clean, agreement), agreement, asked)

    def training(self, usable: NDArray[np.bool_] | None, memory: Memory) -> tuple[PrivateTraining, dict[str, Any]]:
        """Spend a round, and return how these rows are trained on in it, and what is told of it.

        What the site kept from earlier rounds is part of what is answered once: it pulls at the steps, and the same
        noise at other steps would show gradients.
        """
        if not 1 <= self.request.round <= self.budget.rounds:
            raise RefusedError(
                "the study has no such round",
                where="train",
                received=f"round {self.request.round} of {self.budget.rounds}",
                remedy="run the study as it is written",
            )
        words = self._spend(self._now("train", self.budget.round(), memory))
        step = self.budget.step
        private = PrivateTraining(
            clip_norm=self.dp.clip_norm,
            noise_multiplier=step.noise_multiplier,
            sample_rate=step.sample_rate,
            steps=self.budget.steps,
            units=self.units.train,
            noise=self.purse.stream(self.request, "train", self._digest(self.request, memory)),
            usable=usable,
        )
        return private, words

    def judged(self, found: Floats, truth: Floats, outcome: Outcome) -> tuple[dict[str, Any], Statistic]:
        """Spend the one judgement, and return metrics for people and the released numbers behind them.

        A row whose outcome is NaN keeps its place and says nothing.
        """
        how, bounds = self.request.content["judge"], bounds_of(self.study, self.dp)
        words = self._spend(self._now("test", self.budget.judging))
        words |= {"epsilon": self._spent(), "rows": self.units.rows[1]}
        numbers = scores.released(
            outcome,
            found,
            truth,
            units=self.units.test,
            noise=self.purse.stream(self.request, "evaluate", self._digest(self.request)),
            multiplier=self.budget.judging.noise_multiplier,
            bounds=bounds,
        )
        whole = scores.complete(outcome, numbers, rows=self.units.rows[1], threshold=how["threshold"], bounds=bounds)
        metrics = judge.metrics(outcome, whole, threshold=how["threshold"], brief=how["brief"])
        return {"metrics": metrics, "intervals": {}, "privacy": words}, numbers.prefixed("evaluation")

    @property
    def budget(self) -> Budget:
        """How the run's budget is spent here."""
        smallest = min(self.units.trained, self.units.tested)
        return budget(self.study, self.dp, units=self.units.trained, smallest=smallest)

    def _spend(self, *now: Spend) -> dict[str, Any]:
        """Write down the run's preparation, which all else builds on, and what is asked now; say what is spent."""
        first = self._preparation()
        pin = self.purse.spend(self._reservation(self.budget), first, *now, request=self.request)
        last = (first, *now)[-1]
        return {
            "unit": self.dp.unit,
            "delta": self.budget.delta,
            "side": last.side,
            "released": [one.to_json() for one in last.released],
            "lines": pin.lines,
            "head": pin.head,
        }

    def _now(self, side: Side, released: Mechanism, memory: Memory = NOTHING) -> Spend:
        asked, answered = self.request, self._digest(self.request, memory)
        return Spend(task=asked.task, place=asked.round, digest=answered, side=side, released=(released,))

    def _preparation(self) -> Spend:
        """Return the spend of the statistics that go with what is asked: with another agreement it is another one."""
        content = {"agreement": self.request.content["agreement"]}
        asked = replace(self.request, task="prepare", round=0, content=content, arrays={})
        spent = self.budget.statistics
        return Spend(
            task="prepare",
            place=0,
            digest=self._digest(asked),
            side="train",
            released=() if spent is None else (spent,),
        )

    def _digest(self, request: Request, memory: Memory = NOTHING) -> str:
        """Return the digest of all that an answer follows from.

        The rows are part of it: the same noise on other rows would tell how they differ.
        """
        return hashlib.sha256(f"{digest(request, memory)}{self._rows}".encode()).hexdigest()

    @property
    def _rows(self) -> str:
        return self.purse.veiled(self.request, self.units.content)

    def _reservation(self, spent: Budget) -> Reservation:
        return Reservation(
            key=self._key,
            run=self.request.run,
            study=hashlib.sha256(self.request.study.encode()).hexdigest(),
            dataset=self.dataset,
            split=self.split,
            slots={"prepare": 1, "train": spent.rounds, "evaluate": 1},
            released=spent.whole,
        )

    def _spent(self) -> float:
        """Return the ε of what the run has released here, as its ledger says."""
        released: Mapping[Side, tuple[Mechanism, ...]] = self.purse.ledger.spent(self._key)
        return cost([Released(self.split, released)], self.budget.delta, accountant=self.dp.accountant)

    @property
    def _key(self) -> str:
        named = json.dumps([self.request.run, self.request.study, self.request.seed])
        return hashlib.sha256(named.encode()).hexdigest()


def as_promised(
    update: Statistic, study: Study, request: Request, purse: Purse | None, *, memory: Memory = NOTHING
) -> Statistic:
    """Return what may leave of a site's update: all of it where the study promises nothing."""
    dp = study.privacy.dp
    if dp is None or purse is None:
        return update
    noise, rounds = purse.stream(request, "update", digest(request, memory)), study.algorithm.rounds
    most = study.algorithm.min_sites or 1
    fewest = max(1, min(most, _quorum(request)))
    shares = () if dp.within_sites else shares_of(dp, rounds=rounds, fewest=fewest, most=most)
    return outgoing(update, dp, norm=norm_of(request.arrays, dp), shares=shares, noise=noise)


def _quorum(request: Request) -> int:
    """Return how many sites are in a sum at least by the protocol; `min_sites` is the hub's to keep."""
    opening = request.content.get(SECURE)
    terms = opening.get("terms") if isinstance(opening, Mapping) else None
    quorum = terms.get("threshold") if isinstance(terms, Mapping) else None
    return quorum if isinstance(quorum, int) else 1


def require_in_order(request: Request, *, newest: int) -> None:
    """Refuse a round after which another one has left something at the site: it would start from something else.

    Raises
    ------
    RefusedError
        If it is one.
    """
    if request.round < newest:
        raise RefusedError(
            "a later round was answered, and what the site keeps between rounds has gone on from there",
            where=request.id,
            received=f"round {request.round}, after round {newest}",
            remedy="go on from the last round, or start a new run",
        )


def require_private(study: Study, request: Request, purse: Purse | None) -> None:
    """Refuse what would break the promise, and a study that promises nothing where a budget is set.

    Raises
    ------
    RefusedError
        With each reason.
    """
    dp = study.privacy.dp
    if purse is not None and purse.limit is not None and (dp is None or not dp.within_sites):
        raise RefusedError(
            "this data set has a privacy budget, and the study does not say what it spends on each record or patient",
            where=f"data set {purse.dataset}",
            remedy='set unit = "record" or "patient" and epsilon in [privacy.dp]',
        )
    if dp is None:
        return
    if purse is None:
        raise RefusedError("no privacy ledger is kept here", where=request.site, remedy="leave privacy.dp out")
    found = list(breaking(study))
    if request.task in ("alone", "fine-tune"):
        raise RefusedError(
            "metrics of a model that is trained without noise would break the study's differential privacy",
            where=request.task,
            remedy="leave baselines and fine_tune out, or privacy.dp",
        )
    if found:
        first = found[0]
        raise RefusedError(first.what, where=".".join(map(str, first.path)), remedy=first.remedy)
