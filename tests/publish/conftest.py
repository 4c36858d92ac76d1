"""Invented executions with real metrics: scores are drawn, and judged by the same code that judges a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from medfl.events import (
    DataDescribed,
    DataPrepared,
    Evaluated,
    Event,
    Noticed,
    RoundFinished,
    RoundStarted,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunPlanned,
    RunStarted,
    SiteAnswered,
    SiteFailed,
)
from medfl.learn.metrics import judge
from medfl.learn.model import Floats, Outcome
from medfl.learn.statistic import Statistic, total
from medfl.seeds import generator
from medfl.spec.study import Study
from medfl.store.folding import view_execution, view_run
from medfl.store.views import ExecutionView, RunView
from medfl.testing import story

OUTCOMES = {
    "binary": Outcome("binary", ("benign", "malignant")),
    "multiclass": Outcome("multiclass", ("mild", "moderate", "severe")),
    "regression": Outcome("regression"),
}
SITES = {"north": 143, "east": 142, "south": 142, "west": 142}


@dataclass(frozen=True)
class Tale:
    """What is to be told."""

    spec: Study
    sites: Mapping[str, int] = field(default_factory=lambda: dict(SITES))
    kind: str = "binary"
    one_class: tuple[str, ...] = ()
    failing: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    end: str = "finished"
    samples: int = 60

    @property
    def outcome(self) -> Outcome:
        return OUTCOMES[self.kind]

    @property
    def events(self) -> list[Event]:
        plans = list(story.plans(self.spec, name="20250102-030405-abc"))
        return [*plans, *(event for plan in plans for event in self.of(plan))]

    @property
    def runs(self) -> list[RunView]:
        recorded = story.recorded(self.events)
        ids = dict.fromkeys(item.event.run for item in recorded)
        return [view_run([item for item in recorded if item.event.run == run]) for run in ids]

    @property
    def told(self) -> ExecutionView:
        return view_execution(self.runs)

    def of(self, plan: RunPlanned) -> Iterator[Event]:
        if self.end == "planned":
            return
        yield from self.beginning(plan)
        rounds = self.spec.arms[plan.arm].algorithm.rounds if plan.role == "arm" else 1
        stop = rounds if self.end == "finished" or plan.role != "arm" else rounds // 2
        for number in range(1, stop + 1):
            yield from self.round(plan, number)
        if stop < rounds:
            yield (
                RunInterrupted(run=plan.run)
                if self.end == "interrupted"
                else RunFailed(run=plan.run, code="diverged", message=f"round {stop + 1}: the weights are not finite")
            )
            return
        yield self.judged(plan, rounds, final=True)
        model = "" if plan.role == "local-only" else story.digest(plan, rounds, "model")
        yield RunFinished(run=plan.run, rounds=rounds, model=model, seconds=0.21 * rounds)

    def beginning(self, plan: RunPlanned) -> Iterator[Event]:
        described = {
            site: {"rows": rows, "schema": story.digest(plan, 0, "schema"), "missing": {"radius": rows // 30}}
            for site, rows in self.sites.items()
        }
        yield RunStarted(
            run=plan.run,
            versions={"medfl": "3.0.0", "numpy": "2.3.1", "python": "3.11.7"},
            platform="Linux 6.1 x86_64",
            sites=tuple(self.sites),
        )
        agreement = {"target": self.spec.data.target, "features": ["radius", "texture", "smooth"]}
        yield DataDescribed(run=plan.run, sites=described, agreement=agreement)
        yield DataPrepared(
            run=plan.run,
            sites={site: self.split(site) for site in self.sites},
            recipe={},
            explained=(
                "radius: missing values become the median over all sites",
                "radius, texture, smooth: scaled to mean 0, standard deviation 1 over all sites",
            ),
        )
        for site in self.one_class:
            text = "all test rows have one outcome (benign): its AUC is not defined"
            yield Noticed(run=plan.run, text=text, site=site)

    def round(self, plan: RunPlanned, number: int) -> Iterator[Event]:
        failing = [site for site, rounds in self.failing.items() if number in rounds and plan.role == "arm"]
        yield RoundStarted(run=plan.run, round=number, sites=tuple(self.sites))
        for site in self.sites:
            if site in failing:
                yield SiteFailed(
                    run=plan.run, round=number, site=site, stage="train", code="site", reason="the disk is full",
                )  # fmt: skip
            else:
                yield SiteAnswered(
                    run=plan.run, round=number, site=site, seconds=0.02, received=2456, sent=19464,
                    loss=0.2 + 0.5 / number,
                )  # fmt: skip
        if plan.role == "arm":
            yield self.judged(plan, number - 1)
        if plan.role != "local-only":
            yield RoundFinished(
                run=plan.run, round=number, model=story.digest(plan, number, "model"), loss=0.2 + 0.5 / number,
                state=story.digest(plan, number, "state"), sites=tuple(s for s in self.sites if s not in failing),
            )  # fmt: skip

    def split(self, site: str) -> dict[str, Any]:
        truth = self.truth(site)
        classes = {name: int((truth == index).sum()) for index, name in enumerate(self.outcome.classes)}
        return {
            "train_rows": 4 * len(truth),
            "test_rows": len(truth),
            "left_out": 0,
            "train_classes": {name: 4 * count for name, count in classes.items()},
            "test_classes": classes,
        }

    def truth(self, site: str) -> Floats:
        rows = max(self.sites[site] // 5, 2)
        draw = generator(0, site=site, purpose="truth")
        if self.outcome.kind == "regression":
            return draw.normal(50, 12, rows).astype(np.float32)
        share = 0.2 + 0.5 * draw.random()
        found = np.zeros(rows) if site in self.one_class else draw.random(rows) < share
        return (found if self.outcome.kind == "binary" else draw.integers(0, 3, rows)).astype(np.float32)

    def judged(self, plan: RunPlanned, number: int, *, final: bool = False) -> Evaluated:
        every = {site: self.measured(plan, number, site) for site in self.sites}
        pooled = total(every.values())
        alone = plan.role == "local-only"
        metrics = {site: judge.metrics(self.outcome, found) for site, found in every.items()}
        together = {} if alone else judge.metrics(self.outcome, pooled)
        if not final:
            return Evaluated(run=plan.run, round=number, pooled=together, sites=metrics)
        draw = generator(plan.seed, purpose="intervals")
        return Evaluated(
            run=plan.run,
            round=number,
            pooled=together,
            sites=metrics,
            final=True,
            pooled_intervals={}
            if alone
            else judge.intervals(self.outcome, pooled, together, samples=self.samples, generator=draw),
            site_intervals={
                site: judge.intervals(self.outcome, found, metrics[site], samples=self.samples, generator=draw)
                for site, found in every.items()
            },
            curves=None if alone else judge.curves(self.outcome, pooled),
        )

    def measured(self, plan: RunPlanned, number: int, site: str) -> Statistic:
        """Scores that follow the truth the better, the more was learned."""
        truth = self.truth(site)
        draw = generator(plan.seed, site=site, purpose="scores")
        skill = {"local-only": 0.7, "centralised": 1.15}.get(plan.role, 1.0 + 0.1 * (plan.arm == "fedyogi"))
        skill *= 1.0 if plan.role != "arm" else 1 - 0.9 * float(np.exp(-0.6 * number))
        noise = draw.standard_normal((len(truth), 3)).astype(np.float32)
        match self.outcome.kind:
            case "binary":
                scores = 0.9 * 2 * skill / 1.3**2 * (skill * (2 * truth - 1) + 1.3 * noise[:, 0])
            case "multiclass":
                scores = noise + skill * np.eye(3, dtype=np.float32)[truth.astype(int)]
            case "regression":
                scores = truth + (14 - 6 * skill) * noise[:, 0]
        return judge.measure(self.outcome, np.ascontiguousarray(scores, np.float32), truth)


def study(*, arms: tuple[str, ...] = (), repeats: int = 1, rounds: int = 12, **parts: Any) -> Study:
    """A study of breast tumours with one arm, or with those named."""
    body: dict[str, Any] = {
        "study": {"name": "breast-cancer", "question": "Is this tumour malignant?", "seed": 1, "repeats": repeats},
        "data": {"target": "malignant", "sites": {site: f"{site}.csv" for site in SITES}, "units": {"radius": "mm"}},
        "preprocess": {"impute": "median"},
        "algorithm": {"rounds": rounds},
        "evaluation": {"baselines": ["centralised", "local-only"]},
        "arm": [{"name": arm, "algorithm": {"kind": arm}} for arm in arms],
    }
    return Study.model_validate(body | parts)


@pytest.fixture(scope="session")
def demo() -> ExecutionView:
    """Four hospitals, one arm, one repeat, both baselines."""
    return Tale(study()).told


@pytest.fixture(scope="session")
def trial() -> ExecutionView:
    """Four hospitals, two arms, three repeats, both baselines, a site that fails twice."""
    return Tale(study(arms=("fedavg", "fedyogi"), repeats=3), failing={"east": (3, 4)}).told


@pytest.fixture(scope="session")
def tell() -> Callable[..., ExecutionView]:
    """Return the teller of any tale: what is asked, and how it went."""
    return lambda spec=None, **how: Tale(spec or study(), **how).told


@pytest.fixture(scope="session")
def ask() -> Callable[..., Study]:
    """Return what writes a study."""
    return study
