"""Frozen layers stay as they came, bit for bit, whatever the rule and the optimiser; schedules hold at each round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load

from medfl.events import RoundFinished
from medfl.simulate import Results, simulate
from medfl.spec.discover import algorithms
from medfl.spec.study import Study
from medfl.testing.federation import table

RULES = sorted(str(part.model_fields["kind"].default) for part in algorithms())
OPTIMISERS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1},
    "decay, momentum, clipping": {
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "weight_decay": 0.1,
        "momentum": 0.9,
        "clip_norm": 0.5,
    },
    "adam": {"optimizer": "adam", "learning_rate": 0.02, "weight_decay": 0.1},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.02},
}
MODEL = {"kind": "mlp", "hidden": [5, 4], "layer_norm": True}
LAYERS = ("layer1", "norm1", "layer2", "norm2", "layer3")
Tensors = dict[str, NDArray[np.float32]]


def frames(sites: int = 7) -> dict[str, pd.DataFrame]:
    return {f"site-{number}": table(40 + 4 * number, number) for number in range(sites)}


def asked(start: dict[str, Any] | None = None, *, rounds: int = 3, **parts: Any) -> Study:
    return Study.model_validate(
        {
            "study": {"name": "toy", "seed": 5},
            "data": {"target": "sick"},
            "model": MODEL | ({"start": start} if start else {}),
            "training": {"batch_size": 16},
            "algorithm": {"kind": "fedavg", "rounds": rounds},
            "evaluation": {"bootstrap": 0},
        }
        | parts
    )


def by_round(results: Results, run: int = 0) -> list[Tensors]:
    """Return the global weights after each round."""
    view = results.view.every[run]
    weights = []
    for recorded in results.home.journal.read(run=view.run):
        if isinstance(recorded.event, RoundFinished):
            with results.home.artefacts.open(recorded.event.model) as body:
                weights.append(load(body.read()))
    return weights


def moved(before: Tensors, after: Tensors) -> set[str]:
    """Return the layers that are not what they were."""
    return {name.partition(".")[0] for name in before if before[name].tobytes() != after[name].tobytes()}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Tensors]:
    """Return a store, a finished run in it, and its weights."""
    home = tmp_path_factory.mktemp("store")
    results = simulate(asked(rounds=2), frames(), home=home, progress=False)
    return home, results.view.runs[0].run, by_round(results)[-1]


@pytest.mark.parametrize("rule", RULES)
def test_under_every_rule(source: tuple[Path, str, Tensors], rule: str) -> None:
    home, run, before = source
    how: dict[str, Any] = {"algorithm": {"kind": rule, "rounds": 3}, "privacy": {"secure_aggregation": False}}
    start = {"run": run, "freeze": "all-but-head"}
    after = by_round(simulate(asked(start, **how), frames(), home=home, progress=False))
    assert len(after) == 3
    for weights in after:
        assert moved(before, weights) == {"layer3"}


@pytest.mark.parametrize("how", OPTIMISERS)
def test_under_every_optimiser(source: tuple[Path, str, Tensors], how: str) -> None:
    home, run, before = source
    rule = {"kind": "fedprox", "mu": 0.1, "rounds": 2}
    start = {"run": run, "freeze": ["layer1", "norm2"]}
    study = asked(start, algorithm=rule, training={"batch_size": 16} | OPTIMISERS[how])
    after = by_round(simulate(study, frames(), home=home, progress=False))[-1]
    assert moved(before, after) == {"norm1", "layer2", "layer3"}


def test_a_frozen_gradient_does_not_count_for_clipping(source: tuple[Path, str, Tensors]) -> None:
    """With all else frozen, one clipped step moves what is free by learning rate × norm, at one site with one batch."""
    home, run, before = source
    one = {name: frame for name, frame in frames().items() if name == "site-6"}
    training = {"optimizer": "sgd", "learning_rate": 1.0, "clip_norm": 1e-3, "batch_size": 500, "local_steps": 1}
    start = {"run": run, "freeze": "all-but-head"}
    study = asked(start, rounds=1, training=training)
    (after,) = by_round(simulate(study, one, home=home, progress=False))
    way = [after[name].astype(float) - before[name] for name in ("layer3.weight", "layer3.bias")]
    assert np.sqrt(sum(np.square(part).sum() for part in way)) == pytest.approx(1e-3, rel=1e-3)


def test_factors_scale_a_step(source: tuple[Path, str, Tensors]) -> None:
    """One step on one batch, from where a step that moves nothing ends."""
    home, run, _ = source
    one = {"site-6": frames()["site-6"]}

    def stepped(rate: float, **start: Any) -> Tensors:
        training = {"optimizer": "sgd", "learning_rate": rate, "batch_size": 500, "local_steps": 1}
        study = asked({"run": run} | start, rounds=1, training=training)
        return by_round(simulate(study, one, home=home, progress=False))[0]

    before, whole = stepped(1e-30), stepped(0.5)
    part = stepped(0.5, rates={"layer1": 0.25, "layer2": 0.5})
    assert moved(before, whole) == set(LAYERS)
    for name in before:
        factor = {"layer1": 0.25, "layer2": 0.5}.get(name.partition(".")[0], 1.0)
        np.testing.assert_allclose(part[name] - before[name], factor * (whole[name] - before[name]), atol=1e-6)


def test_a_probe_comes_before_fine_tuning(source: tuple[Path, str, Tensors]) -> None:
    home, run, before = source
    first, second, third = by_round(
        simulate(asked({"run": run, "probe_rounds": 2}), frames(), home=home, progress=False)
    )
    assert moved(before, first) == moved(first, second) == {"layer3"}
    assert moved(second, third) == set(LAYERS)


def test_layers_thaw_from_the_head_backwards(source: tuple[Path, str, Tensors]) -> None:
    home, run, before = source
    after = by_round(simulate(asked({"run": run, "unfreeze_every": 2}, rounds=6), frames(), home=home, progress=False))
    steps = [moved(one, other) for one, other in zip([before, *after], after, strict=False)]
    assert steps[0] == steps[1] == {"layer3"}
    assert steps[2] == steps[3]
    assert {"layer3", "layer2"} <= steps[2] <= {"layer3", "norm2", "layer2"}
    assert steps[4] == steps[5]
    assert "layer1" in steps[4]


@pytest.mark.parametrize("role", ["centralised", "local-only"])
def test_baselines_start_from_the_same_weights_and_follow_the_same_schedule(
    source: tuple[Path, str, Tensors], role: str
) -> None:
    """With a learning rate that moves nothing after the start, all ways of learning are judged alike."""
    home, run, _ = source
    still = {"optimizer": "sgd", "learning_rate": 1e-30, "batch_size": 16}
    evaluation = {"bootstrap": 0, "baselines": [role], "split_seed": 1}
    study = asked({"run": run, "probe_rounds": 1}, training=still, evaluation=evaluation)
    results = simulate(study, frames(), home=home, progress=False)
    (arm,) = results.summary["runs"]
    told = results.summary["baselines"]
    if role == "centralised":
        assert told[0]["metrics"] == arm["metrics"]
    for entry in told:
        if entry["site"] is not None:
            assert entry["metrics"]["auc"] == arm["sites"][entry["site"]]["metrics"]["auc"]


def test_a_centralised_baseline_keeps_frozen_what_the_federation_does(source: tuple[Path, str, Tensors]) -> None:
    home, run, before = source
    evaluation = {"bootstrap": 0, "baselines": ["centralised"]}
    frozen = asked({"run": run, "freeze": ["layer1"], "probe_rounds": 1}, evaluation=evaluation)
    (pooled,) = by_round(simulate(frozen, frames(), home=home, progress=False), run=1)
    assert moved(before, pooled) == set(LAYERS) - {"layer1"}


@pytest.mark.parametrize("engine", ["in-process", "processes"])
def test_engines_and_resuming_agree(tmp_path: Path, engine: str) -> None:
    for name, frame in frames(3).items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    sites = {name: f"{name}.csv" for name in frames(3)}
    first = asked(data={"target": "sick", "sites": sites}, rounds=1)
    home = tmp_path / "home"

    def told(study: Study) -> Results:
        path = tmp_path / "study.toml"
        path.write_text(spelled(study, sites), encoding="utf-8")
        return simulate(path, home=home, engine=engine, progress=False)

    run = told(first).view.runs[0].run
    start = {"run": run, "unfreeze_every": 1, "rates": {"layer2": 0.5}}
    models = {told(asked(start, data={"target": "sick", "sites": sites})).summary["runs"][0]["model"] for _ in range(2)}
    assert len(models) == 1


def spelled(study: Study, sites: dict[str, str]) -> str:
    """Return the study as TOML."""
    start = study.model.start
    lines = [
        f'[study]\nname = "toy"\nseed = {study.study.seed}\n[data]\ntarget = "sick"\n[data.sites]',
        *(f'"{name}" = "{file}"' for name, file in sites.items()),
        '[model]\nkind = "mlp"\nhidden = [5, 4]\nlayer_norm = true',
        *(
            [f'[model.start]\nrun = "{start.run}"\nunfreeze_every = 1\nrates = {{ layer2 = 0.5 }}']
            if start is not None
            else []
        ),
        f"[training]\nbatch_size = 16\n[algorithm]\nrounds = {study.algorithm.rounds}\n[evaluation]\nbootstrap = 0\n",
    ]
    return "\n".join(lines)
