"""Judges the global model on the sites' test rows, from what adds up."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from medfl import seeds
from medfl.errors import WireError
from medfl.events import Evaluated, Event, FineTuned
from medfl.learn import importance
from medfl.learn.data.grouping import ordered
from medfl.learn.metrics import judge
from medfl.learn.metrics.subgroups import Read, by_group
from medfl.learn.model import Floats, Outcome
from medfl.learn.statistic import Statistic
from medfl.messages import Task
from medfl.run.asking import Answers, Asking, changed_by_policy, said
from medfl.run.guarded import told, whole
from medfl.run.preparing import Setting
from medfl.spec.evaluation import Evaluation
from medfl.spec.study import Study


@dataclass(frozen=True, slots=True)
class Judge:
    """Asks for evaluations and tells them as events.

    Parameters
    ----------
    asking, setting, how
        The hub's voice, what the sites agreed on, and what the study says of judging.
    further
        Whether the last model is also judged by groups of patients and with features shuffled, where that is asked for.
    """

    asking: Asking
    setting: Setting
    how: Evaluation
    further: bool = True

    @property
    def during(self) -> dict[str, Any]:
        """What a site is told about judging the incoming model of a round."""
        return {"threshold": self._threshold, "samples": 0, "brief": True}

    @property
    def final(self) -> dict[str, Any]:
        """What a site is told about judging the last model."""
        return {"threshold": self._threshold, "samples": self.how.bootstrap, "brief": False}

    def during_training(self, round: int, answers: Answers) -> Event:
        """Tell how a round's model did, as seen at the start of the next."""
        total = self._pooled(answers, self._threshold)
        pooled = judge.metrics(self._outcome, total, threshold=self._threshold, brief=True)
        return Evaluated(run=self.asking.run, round=round, pooled=pooled, sites=dict(said(answers, "metrics")))

    def untrained(self, weights: Floats) -> Generator[Event, None, None]:
        """Judge the model before the first round, on the test rows of all sites whoever trains in that round."""
        answers = yield from self._ask(0, weights, self.during)
        yield self.during_training(0, answers)

    def finally_(self, round: int, weights: Floats) -> Generator[Event, None, dict[str, Any]]:
        """Judge the last model, with intervals and curves; return what sites were told about judging it."""
        how, last, began = self.final, self, time.perf_counter()
        if self._outcome.kind == "binary" and how["threshold"] is None:
            # The pooled ROC's best point is known only after asking: ask again, so that every site is judged at it.
            answers = yield from self._ask(round, weights, how)
            total = self._pooled(answers, None)
            how = how | {"threshold": judge.metrics(self._outcome, total, threshold=None)["threshold"]}
            last = self._among(answers.sites)
        parts = yield from last._named(round, weights, how | self._parts)
        answers = yield from last._ask(round, weights, parts)
        yield from changed_by_policy(self.asking.run, answers)
        yield from told(self.asking.run, "evaluate", answers, round=round)
        event = self._told(round, answers, self._pooled(answers, how["threshold"]), how)
        yield replace(event, seconds=time.perf_counter() - began)
        return how

    def _among(self, sites: tuple[str, ...]) -> Judge:
        """Return who judges the same model once more; in sums over exactly these sites, or not at all.

        The difference of two sums for one model, with a site less in the second, would be that site's own numbers.
        """
        if not self.asking.sums_only:
            return self
        asking, setting = replace(self.asking, min_sites=None), replace(self.setting, sites=sites)
        return replace(self, asking=asking, setting=setting)

    def _named(self, round: int, weights: Floats, how: dict[str, Any]) -> Generator[Event, None, dict[str, Any]]:
        """Name the groups of patients that some site shows, where all sites must send alike to be added up."""
        if not (self.asking.sums_only and how.get("subgroups")):
            return how
        answers = yield from self._ask(round, weights, how | {"subgroups": "names"})
        told = said(answers, "subgroups").values()
        names = {
            name: list(ordered(how_grouped, (group for one in told for group in one[name]["shown"])))
            for name, how_grouped in (self.how.subgroups or {}).items()
        }
        return how | {"subgroups": names}

    def fine_tuned(self, round: int, weights: Floats, how: dict[str, Any]) -> Generator[Event, None, None]:
        """Let each site go on from the last model by itself and judge its copy, at the operating point of the model."""
        answers = yield from self._ask(round, weights, how, task="fine-tune")
        yield FineTuned(
            run=self.asking.run,
            round=round,
            sites=dict(said(answers, "metrics")),
            site_intervals=dict(said(answers, "intervals")),
        )

    def each_alone(self, answers: Answers) -> Event:
        """Tell how each site's own model does on its own test rows."""
        return Evaluated(
            run=self.asking.run,
            round=1,
            pooled={},
            sites=dict(said(answers, "metrics")),
            final=True,
            site_intervals=dict(said(answers, "intervals")),
        )

    def _pooled(self, answers: Answers, threshold: float | None) -> Statistic:
        """Return the sums over all sites that metrics are read from; made whole where they come with noise."""
        return whole(answers, self._outcome, self._study, threshold=threshold)

    def _ask(
        self, round: int, weights: Floats, how: dict[str, Any], *, task: Task = "evaluate"
    ) -> Generator[Event, None, Answers]:
        content = self.setting.content | {"judge": how}
        arrays = {"weights": weights}
        return (yield from self.asking.ask(task, self.setting.sites, round=round, content=content, arrays=arrays))

    def _told(self, round: int, answers: Answers, total: Statistic, how: dict[str, Any]) -> Evaluated:
        read = partial(self._read, threshold=how["threshold"])
        pooled, intervals = read(total, "pooled bootstrap")
        return Evaluated(
            run=self.asking.run,
            round=round,
            pooled=pooled,
            sites=dict(said(answers, "metrics")),
            final=True,
            pooled_intervals=intervals,
            site_intervals=dict(said(answers, "intervals")),
            curves=judge.curves(self._outcome, total),
            subgroups=tuple(self._by_group(answers, read)),
            importance=tuple(self._by_feature(answers)),
        )

    @property
    def _parts(self) -> dict[str, Any]:
        """What a site is told about judging the last model in parts; nothing where that is not asked for."""
        if not self.further:
            return {}
        grouped = {"subgroups": True} if self.how.subgroups else {}
        return grouped | ({"importance": self.how.importance.repeats} if self.how.importance else {})

    def _read(
        self, total: Statistic, purpose: str, *, threshold: float | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the metrics and intervals that pooled sums give; the purpose names the bootstrap's random numbers."""
        metrics = judge.metrics(self._outcome, total, threshold=threshold)
        if self._within:
            return metrics, {}  # Resampled counts would not know of the noise in them.
        generator, samples = seeds.generator(self.asking.seed, purpose=purpose), self.how.bootstrap
        try:
            return metrics, dict(judge.intervals(self._outcome, total, metrics, samples=samples, generator=generator))
        except (np.linalg.LinAlgError, ValueError, OverflowError) as error:
            # One site is enough that sends what no rows give; in a sum nobody can say which.
            raise WireError(
                "what the sites counted to judge the model cannot be",
                where="judging",
                received=type(error).__name__,
                remedy="ask the sites which of them has changed something; run the study without it",
            ) from error

    def _by_group(self, answers: Answers, read: Read) -> Iterator[Mapping[str, Any]]:
        if self.how.subgroups and "subgroups" in self._parts:
            words, sums = said(answers, "subgroups"), answers.total.under("subgroups")
            yield from by_group(words, sums, subgroups=self.how.subgroups, read=read)

    def _by_feature(self, answers: Answers) -> Iterator[Mapping[str, Any]]:
        if repeats := self._parts.get("importance"):
            yield from importance.read(self.setting.recipe, answers.total.under("importance"), repeats=repeats)

    @property
    def _study(self) -> Study:
        return Study.model_validate_json(self.asking.study)

    @property
    def _within(self) -> bool:
        dp = self._study.privacy.dp
        return dp is not None and dp.within_sites

    @property
    def _outcome(self) -> Outcome:
        return self.setting.agreement.outcome

    @property
    def _threshold(self) -> float | None:
        return None if self.how.threshold == "youden" else self.how.threshold
