"""Fine-tuning at each site after the federation: what a direct computation gives, and nothing of it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load
from sklearn.metrics import roc_auc_score

from medfl.errors import DivergedError, PlanError
from medfl.events import Evaluated, Event
from medfl.execution import carry_on, lay_down
from medfl.learn.data.split import split
from medfl.messages import Reply
from medfl.simulate import Results, simulate
from medfl.site.sources import Sources
from medfl.spec.study import Study
from medfl.store.home import Home
from medfl.store.shelf import whole_execution
from medfl.store.summary import summary
from medfl.testing.federation import overheard, sites

FEATURES = ["age", "dose"]
FLOAT = NDArray[np.float64]
STEPS, RATE = 25, 0.3


def frames() -> dict[str, pd.DataFrame]:
    """Return hospitals whose patients differ in what makes them ill."""
    made = {}
    for number, name in enumerate(("east", "north", "west")):
        draw = np.random.default_rng(number)
        age, dose = draw.normal(size=120), draw.normal(size=120)
        risk = age * (1 - number) + dose * number + draw.normal(0, 0.5, 120)
        made[name] = pd.DataFrame({"age": age, "dose": dose, "sick": (risk > 0).astype(int)})
    return made


def asked(fine_tune: dict[str, Any] | None, **parts: Any) -> Study:
    evaluation = {"bootstrap": 50, "split_seed": 1} | ({"fine_tune": fine_tune} if fine_tune else {})
    return Study.model_validate(
        {
            "study": {"name": "toy", "seed": 5},
            "data": {"target": "sick", "features": FEATURES},
            "preprocess": {"scale": "none"},
            "model": "logistic",
            "training": {"batch_size": 500, "learning_rate": 0.1},
            "algorithm": {"kind": "fedavg", "rounds": 3},
            "evaluation": evaluation,
        }
        | parts
    )


def run(folder: Path, study: Study) -> tuple[Results, dict[str, Any]]:
    results = simulate(study, frames(), home=folder, progress=False)
    entry: dict[str, Any] = results.summary["runs"][0]
    return results, entry


def descended(weights: FLOAT, rows: FLOAT, truth: FLOAT) -> FLOAT:
    """Return weights after full-batch gradient descent on the mean logistic loss."""
    for _ in range(STEPS):
        slope = rows.T @ (1 / (1 + np.exp(-rows @ weights)) - truth) / len(truth)
        weights = weights - RATE * slope
    return weights


def test_each_site_goes_on_from_the_global_model_on_its_own_rows(tmp_path: Path) -> None:
    results, entry = run(tmp_path, asked({"local_steps": STEPS, "learning_rate": RATE}))
    with results.home.artefacts.open(entry["model"]) as body:
        named = load(body.read())
    weights = np.concatenate([named["layer1.weight"][:, 0], named["layer1.bias"]]).astype(float)
    for name, frame in frames().items():
        rows = np.column_stack([frame[FEATURES].to_numpy(np.float32), np.ones(len(frame))]).astype(float)
        truth = frame["sick"].to_numpy(float)
        train, test = split(truth.astype(np.float32), len(truth), fraction=0.2, seed=1)
        own = descended(weights, rows[train], truth[train])
        told = entry["sites"][name]
        assert told["metrics"]["auc"] == pytest.approx(roc_auc_score(truth[test], rows[test] @ weights), abs=0.01)
        assert told["fine_tuned"]["auc"] == pytest.approx(roc_auc_score(truth[test], rows[test] @ own), abs=0.01)
        accuracy = ((rows[test] @ own > 0) == truth[test]).mean()
        assert told["fine_tuned"]["accuracy"] == pytest.approx(accuracy, abs=1e-9)


def test_sites_that_differ_gain_and_the_global_model_is_as_it_was(tmp_path: Path) -> None:
    _, plain = run(tmp_path, asked(None))
    results, tuned = run(tmp_path, asked({"local_epochs": 20, "learning_rate": 0.5}))
    assert tuned["model"] == plain["model"]
    assert tuned["metrics"] == plain["metrics"]
    for name, site in tuned["sites"].items():
        assert site["metrics"] == plain["sites"][name]["metrics"]
        assert "fine_tuned" not in plain["sites"][name]
    assert tuned["sites"]["west"]["fine_tuned"]["auc"] > tuned["sites"]["west"]["metrics"]["auc"]
    shown = str(results)
    assert "fine-tuned" in shown
    page = results.report(tmp_path / "page.html").read_text("utf-8")
    assert "fine-tuned" in page


def test_a_rate_that_moves_nothing_changes_nothing(tmp_path: Path) -> None:
    _, entry = run(tmp_path, asked({"local_epochs": 3, "learning_rate": 1e-30}))
    for site in entry["sites"].values():
        assert site["fine_tuned"] == site["metrics"]


def test_frozen_layers_take_no_part(tmp_path: Path) -> None:
    model = {"kind": "mlp", "hidden": [4]}
    how = {"local_epochs": 30, "learning_rate": 0.5}
    entries = [
        run(tmp_path, asked(how | freeze, model=model))[1]
        for freeze in ({}, {"freeze": "all-but-head"}, {"freeze": ["layer2"]})
    ]
    tuned = [tuple(site["fine_tuned"]["brier"] for site in entry["sites"].values()) for entry in entries]
    assert len(set(tuned)) == 3


def test_nothing_but_metrics_leaves(tmp_path: Path) -> None:
    study = asked({"local_epochs": 2, "learning_rate": 0.1})
    hospitals = sites(tmp_path, {name: (lambda frame=frame: frame) for name, frame in frames().items()})  # type: ignore[misc]
    heard = [(request, answer) for request, answer in overheard(study, hospitals) if "tune" in request.task]
    assert len(heard) == 3
    for _, answer in heard:
        assert isinstance(answer, Reply)
        assert not answer.arrays
        assert set(answer.content) <= {"metrics", "intervals"}
        assert answer.content["intervals"]


class StopWhenJudged:
    """Presses Ctrl-C when the last model was judged, and before sites go on from it."""

    def on(self, event: Event) -> None:
        if isinstance(event, Evaluated) and event.final:
            raise KeyboardInterrupt


def test_a_run_that_stopped_before_it_resumes_to_the_same(tmp_path: Path) -> None:
    study = asked({"local_epochs": 3, "learning_rate": 0.1}, algorithm={"kind": "scaffold", "rounds": 3})
    _, whole = run(tmp_path / "a", study)
    home = Home(tmp_path / "b")
    sources = Sources(tmp_path, home.folder / "sites", frames())
    execution = lay_down(study, home, sources=sources, engine="in-process", arm=None)
    with pytest.raises(KeyboardInterrupt):
        carry_on(home, execution, sources=sources, display=StopWhenJudged())
    stopped = whole_execution(home, execution).runs[0]
    assert (stopped.status, stopped.rounds, stopped.fine_tuned) == ("interrupted", 3, None)
    carry_on(home, execution, sources=sources)
    resumed = summary(whole_execution(home, execution))["runs"][0]
    assert resumed["status"] == "finished"
    assert resumed["sites"] == whole["sites"]
    assert resumed["model"] == whole["model"]


def test_copies_stay_at_the_sites(tmp_path: Path) -> None:
    results, entry = run(tmp_path, asked({"local_epochs": 3, "learning_rate": 0.1}))
    kept = sorted((tmp_path / "sites").glob("*/*.fine-tuned/*.safetensors"))
    assert [path.parts[-3] for path in kept] == ["east", "north", "west"]
    with results.home.artefacts.open(entry["model"]) as body:
        shared = load(body.read())
    for path in kept:
        own = load(path.read_bytes())["weights"]
        assert own.size == sum(part.size for part in shared.values())
        assert not np.array_equal(own[:-1], shared["layer1.weight"][:, 0])


def test_sites_are_compared_before_and_after_and_with_each_alone(tmp_path: Path) -> None:
    fine_tune = {"local_epochs": 10, "learning_rate": 0.3}
    evaluation = {"bootstrap": 20, "baselines": ["local-only"], "fine_tune": fine_tune}
    study = asked(None, evaluation=evaluation, study={"name": "toy", "repeats": 3})
    results, _ = run(tmp_path, study)
    told = [(one["first"], one["second"], one["scope"]) for one in results.summary["comparisons"]]
    assert ("base, fine-tuned", "base", "average of sites") in told
    assert ("base, fine-tuned", "local-only", "average of sites") in told
    auc = {(one["first"], one["second"]): one for one in results.summary["comparisons"] if one["metric"] == "auc"}
    assert auc["base, fine-tuned", "base"]["difference"] > 0
    assert auc["base, fine-tuned", "base"]["p_holm"] is not None
    assert "fine-tuning at each site" in str(results)


@pytest.mark.parametrize(
    ("freeze", "says"),
    [
        (["layr1"], ("layr1", "layer1", "[evaluation.fine_tune] freeze")),
        (["layer1", "layer2"], ("every layer is frozen", "leave one of them out")),
    ],
)
def test_layers_that_cannot_be_frozen_are_refused(tmp_path: Path, freeze: list[str], says: tuple[str, ...]) -> None:
    study = asked({"freeze": freeze}, model={"kind": "mlp", "hidden": [4]})
    with pytest.raises(PlanError) as refusal:
        run(tmp_path, study)
    for fragment in says:
        assert fragment in str(refusal.value)


def test_all_but_the_head_of_what_is_all_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="one layer, its head"):
        run(tmp_path, asked({"freeze": "all-but-head"}))


def test_a_rate_that_throws_a_site_out_of_the_numbers_is_named(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"lower learning_rate in \[evaluation.fine_tune\] \(try 1e\+37\)"):
        run(tmp_path, asked({"local_epochs": 20, "learning_rate": 1e38}, model={"kind": "mlp", "hidden": [4]}))


def test_epochs_and_steps_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="keep one of them"):
        asked({"local_epochs": 1, "local_steps": 1})


def test_engines_agree_and_a_study_may_repeat(tmp_path: Path) -> None:
    for name, frame in frames().items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    lines = "\n".join(f'{name} = "{name}.csv"' for name in frames())
    text = f"""
[study]
name = "toy"
repeats = 2
[data]
target = "sick"
[data.sites]
{lines}
[algorithm]
rounds = 2
[evaluation]
baselines = ["local-only"]
bootstrap = 20
[evaluation.fine_tune]
local_epochs = 3
learning_rate = 0.1
"""
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    told = [
        simulate(tmp_path / "study.toml", home=tmp_path / engine, engine=engine, progress=False).summary["runs"]
        for engine in ("in-process", "processes")
    ]
    assert len(told[0]) == 2
    for mine, theirs in zip(*told, strict=True):
        assert mine["sites"] == theirs["sites"]
        assert all(site["fine_tuned"]["auc"] is not None for site in mine["sites"].values())
