"""A made-up but plausible execution, as events: three hospitals, two arms, two repeats, both baselines.

For tests of views, reports and pages that need a history and no training. The numbers are invented, and the same each
time.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from medfl.events import (
    DataDescribed,
    DataPrepared,
    Evaluated,
    Event,
    Noticed,
    Role,
    RoundFinished,
    RoundStarted,
    RunFinished,
    RunPlanned,
    RunStarted,
    SiteAnswered,
)
from medfl.seeds import generator
from medfl.spec.study import Study
from medfl.store.journal import Recorded

SITES: Mapping[str, tuple[int, float]] = {"lakeside": (412, 0.02), "northfield": (230, -0.01), "st-anne": (96, -0.05)}
"""Rows of each hospital, and by how much its patients are easier to predict."""
SKILL: Mapping[str, float] = {"fedavg": 0.0, "fedyogi": 0.015, "centralised": 0.02, "local-only": -0.06}
"""By how much each way of learning is better than the first arm."""
COLUMNS = ("age", "bmi", "smoker")


def study(*, repeats: int = 2, rounds: int = 5, evaluation: Mapping[str, Any] | None = None) -> Study:
    """Return the spec of the story; `evaluation` adds to that part."""
    return Study.model_validate(
        {
            "study": {
                "name": "readmission",
                "question": "Who comes back within 30 days?",
                "seed": 7,
                "repeats": repeats,
            },
            "data": {
                "target": "readmitted",
                "sites": {site: f"{site}.csv" for site in SITES},
                "units": {"bmi": "kg/m²"},
            },
            "preprocess": {"impute": "median"},
            "model": {"kind": "mlp", "hidden": [16]},
            "algorithm": {"rounds": rounds},
            "evaluation": {"baselines": ["centralised", "local-only"], **(evaluation or {})},
            "arm": [
                {"name": "fedavg"},
                {"name": "fedyogi", "algorithm": {"kind": "fedyogi", "server_learning_rate": 0.01}},
            ],
        }
    )


def execution(spec: Study | None = None, *, name: str = "20250102-030405-abc") -> list[Event]:
    """Return every event of a finished execution: all plans first, then run after run."""
    planned = list(plans(spec or study(), name=name))
    return [*planned, *(event for plan in planned for event in run(plan))]


def plans(spec: Study, *, name: str) -> Iterator[RunPlanned]:
    """Yield the plan of each arm × repeat, then of each baseline × repeat."""
    arms: list[tuple[Role, str]] = [("arm", arm) for arm in spec.arms]
    for role, arm in [*arms, *((baseline, baseline) for baseline in spec.evaluation.baselines)]:
        for seed in spec.seeds:
            yield RunPlanned(
                run=f"{name}-{arm}-{seed}",
                execution=name,
                study=spec.study.name,
                digest=spec.digest,
                spec=spec.canonical,
                base="/data/readmission",
                engine="in-process",
                role=role,
                arm=arm,
                seed=seed,
            )


def run(plan: RunPlanned) -> list[Event]:
    """Return what follows a plan, from the start to the end of a run where all went well."""
    rounds = 5 if plan.role != "arm" else _rounds(plan)
    model = "" if plan.role == "local-only" else digest(plan, rounds, "model")
    return [
        *beginning(plan),
        *(event for number in range(1, rounds + 1) for event in one_round(plan, number)),
        judgement(plan, rounds, final=True),
        RunFinished(run=plan.run, rounds=rounds, model=model, seconds=0.4 * rounds),
    ]


def beginning(plan: RunPlanned) -> list[Event]:
    """Return a run's events before its first round."""
    return [
        RunStarted(
            run=plan.run,
            versions={"medfl": "3.0.0", "numpy": "2.3.1", "python": "3.11.7"},
            platform="Linux x86_64",
            sites=tuple(SITES),
        ),
        _described(plan.run),
        _prepared(plan.run),
        Noticed(run=plan.run, text="st-anne has fewer than 100 rows: its own intervals are wide", site="st-anne"),
    ]


def one_round(plan: RunPlanned, number: int) -> list[Event]:
    """Return the events of one round, the judgement of the model before it among them."""
    loss = 0.3 + 0.4 / number
    answers = [
        SiteAnswered(
            run=plan.run, round=number, site=site, seconds=0.0004 * rows, received=2456, sent=2464, loss=loss - ease
        )
        for site, (rows, ease) in SITES.items()
    ]
    finished = RoundFinished(
        run=plan.run,
        round=number,
        model=digest(plan, number, "model"),
        state=digest(plan, number, "state"),
        sites=tuple(SITES),
        loss=loss,
    )
    return [
        RoundStarted(run=plan.run, round=number, sites=tuple(SITES)),
        *answers,
        judgement(plan, number - 1),
        finished,
    ]


def judgement(plan: RunPlanned, number: int, *, final: bool = False) -> Evaluated:
    """Return how the model of a round was judged; with intervals and curves if it is the final one."""
    sites = {site: _metrics(plan, number, site, ease) for site, (_, ease) in SITES.items()}
    pooled = {} if plan.role == "local-only" else _metrics(plan, number, "", 0.0)
    if not final:
        return Evaluated(run=plan.run, round=number, pooled=pooled, sites=sites)
    return Evaluated(
        run=plan.run,
        round=number,
        pooled=pooled,
        sites=sites,
        final=True,
        pooled_intervals=_intervals(pooled, rows=sum(rows for rows, _ in SITES.values())),
        site_intervals={site: _intervals(sites[site], rows=rows) for site, (rows, _) in SITES.items()},
        curves=_curves() if pooled else None,
    )


def recorded(events: Iterable[Event], *, start: int = 1) -> list[Recorded]:
    """Return events as a journal would, one each tenth of a second from a fixed moment on."""
    begin = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    return [
        Recorded(seq, (begin + timedelta(seconds=0.1 * seq)).isoformat(timespec="milliseconds"), event)
        for seq, event in enumerate(events, start)
    ]


def digest(plan: RunPlanned, number: int, what: str) -> str:
    """Return an invented sha256."""
    return hashlib.sha256(f"{plan.arm} {plan.seed} {number} {what}".encode()).hexdigest()


def _rounds(plan: RunPlanned) -> int:
    return Study.model_validate_json(plan.spec).arms[plan.arm].algorithm.rounds


def _described(run: str) -> DataDescribed:
    sites = {
        site: {"rows": rows, "schema": hashlib.sha256(b"three columns").hexdigest(), "missing": {"bmi": rows // 40}}
        for site, (rows, _) in SITES.items()
    }
    return DataDescribed(run=run, sites=sites, agreement={"target": "readmitted", "features": list(COLUMNS)})


def _prepared(run: str) -> DataPrepared:
    sites = {site: _split(rows) for site, (rows, _) in SITES.items()}
    recipe = {"features": list(COLUMNS), "scale": {"mean": [61.2, 27.4, 0.0], "sd": [12.1, 4.9, 1.0]}}
    explained = (
        "Missing values of bmi become the median over all sites, 26.9.",
        "age and bmi are scaled to mean 0 and standard deviation 1 over all sites.",
    )
    return DataPrepared(run=run, sites=sites, recipe=recipe, explained=explained)


def _split(rows: int) -> dict[str, Any]:
    train, left_out = round(0.8 * rows), 2
    test = rows - train - left_out
    return {
        "train_rows": train,
        "test_rows": test,
        "left_out": left_out,
        "train_classes": {"no": train - train // 4, "yes": train // 4},
        "test_classes": {"no": test - test // 4, "yes": test // 4},
    }


def _metrics(plan: RunPlanned, number: int, site: str, ease: float) -> dict[str, float | None]:
    """Metrics that grow over the rounds towards a ceiling, a little different in each repeat."""
    draw = generator(plan.seed, site=site, purpose=f"story of {plan.arm}")
    auc = 0.5 + (0.34 + ease + SKILL.get(plan.arm, 0.0)) * (1 - math.exp(-number)) + 0.01 * draw.standard_normal()
    accuracy = auc - 0.05
    return {
        "auc": auc,
        "auprc": auc - 0.2,
        "accuracy": accuracy,
        "sensitivity": accuracy - 0.12,
        "specificity": accuracy + 0.04,
        "ppv": accuracy - 0.2,
        "npv": accuracy + 0.08,
        "f1": accuracy - 0.16,
        "prevalence": 0.25,
        "brier": 0.26 - 0.2 * (auc - 0.5),
        "log_loss": 0.69 - 0.5 * (auc - 0.5),
        "ece": 0.04,
        "calibration_slope": 0.9,
        "calibration_intercept": -0.1,
        "threshold": 0.5,
    }


def _intervals(metrics: Mapping[str, float | None], *, rows: int) -> dict[str, tuple[float, float]]:
    half = 1 / math.sqrt(rows)
    wanted = {name: value for name, value in metrics.items() if name not in ("threshold", "ece") and value is not None}
    return {name: (value - half, value + half) for name, value in wanted.items()}


def _curves() -> dict[str, Any]:
    """Points in the shape of :func:`medfl.learn.metrics.judge.curves`, for a binary outcome."""
    steps = [step / 20 for step in range(21)]
    tenths = [step / 10 + 0.05 for step in range(10)]
    return {
        "roc": [[fpr, fpr**0.3, 1.0 - fpr] for fpr in steps],
        "pr": [[recall, 0.9 - 0.6 * recall**2] for recall in steps],
        "calibration": [[p, 0.05 + 0.9 * p, 14, max(0.0, 0.9 * p - 0.05), min(1.0, 0.9 * p + 0.15)] for p in tenths],
        "histogram": [[low, low + 0.05, round(20 * (1 - low)), round(8 * low)] for low in steps[:-1]],
    }
