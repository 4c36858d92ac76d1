"""What starts from a model gives, before it has learned anything, the same predictions for the same raw values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medfl.learn.exported import load
from medfl.publish.export import export
from medfl.simulate import Results, simulate
from medfl.spec.study import Study
from medfl.store.shelf import whole_run

Frames = dict[str, pd.DataFrame]
STANDING_STILL = {"optimizer": "sgd", "learning_rate": 1e-30, "batch_size": 16}
"""A step of this size changes no float32 weight."""


def people(seed: int, *, shift: float = 0.0, stretch: float = 1.0, colours: str = "abc", rows: int = 90) -> Frames:
    """Return two hospitals' tables; `shift` and `stretch` make another population of them."""
    frames = {}
    for number, name in enumerate(("east", "west")):
        draw = np.random.default_rng([seed, number])
        age, dose = draw.normal(50 + shift, 10 * stretch, rows).round(1), draw.normal(shift / 9, stretch, rows).round(3)
        colour = draw.choice(list(colours), rows)
        risk = (age - 50 - shift) / 10 + dose - shift / 9 + (colour == "b") + draw.normal(0, 0.7, rows)
        grade = np.array(["low", "mid", "top"])[np.digitize(risk, [-0.5, 1.0])]
        frames[name] = pd.DataFrame(
            {"age": age, "dose": dose, "colour": colour, "sick": (risk > 0.4).astype(int), "cost": 7 * risk + shift}
        ).assign(grade=grade)
    return frames


def asked(
    target: str, model: dict[str, Any], features: tuple[str, ...] = ("age", "dose", "colour"), **parts: Any
) -> Study:
    return Study.model_validate(
        {
            "study": {"name": "toy", "seed": 3},
            "data": {"target": target, "features": list(features)},
            "model": model,
            "training": {"batch_size": 16},
            "algorithm": {"kind": "fedavg", "rounds": 2},
            "evaluation": {"bootstrap": 0},
        }
        | parts
    )


def exported(results: Results, folder: Path) -> Path:
    run = results.summary["runs"][0]["run"]
    export(whole_run(results.home, run), results.home.artefacts, folder)
    return folder


def pretrained(folder: Path, target: str, model: dict[str, Any], frames: Frames, **parts: Any) -> Path:
    study = asked(target, model, **parts)
    return exported(simulate(study, frames, home=folder / "home", progress=False), folder / "source")


def started(folder: Path, study: Study, frames: Frames) -> Path:
    return exported(simulate(study, frames, home=folder / "home", progress=False), folder / "target")


def predicted(model: Path, frame: pd.DataFrame) -> np.ndarray[Any, Any]:
    words, _ = load(model).predict(frame)
    return words.drop(columns=["row", "predicted"] if len(words.columns) > 2 else ["row"]).to_numpy(float)


MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "logistic": ("sick", {"kind": "logistic"}),
    "mlp": ("sick", {"kind": "mlp", "hidden": [6, 4]}),
    "mlp with layer norm": ("sick", {"kind": "mlp", "hidden": [5], "layer_norm": True, "activation": "tanh"}),
    "multinomial": ("grade", {"kind": "logistic"}),
    "linear": ("cost", {"kind": "linear"}),
    "mlp of a number": ("cost", {"kind": "mlp", "hidden": [6]}),
}
WAYS: dict[str, dict[str, Any]] = {
    "standard": {},
    "min-max": {"scale": "min-max"},
    "unscaled": {"scale": "none"},
    "all categories": {"encode": {"kind": "one-hot", "drop_first": False}},
    "first dropped": {"encode": {"kind": "one-hot", "drop_first": True}},
    "median": {"impute": "median"},
}


@pytest.mark.parametrize("kind", MODELS)
def test_all_models_whatever_the_scale_of_the_new_population(tmp_path: Path, kind: str) -> None:
    target, model = MODELS[kind]
    source = pretrained(tmp_path, target, model, people(1))
    there = people(2, shift=25.0, stretch=0.4)
    study = asked(target, model | {"start": {"model": str(source)}}, training=STANDING_STILL)
    own = started(tmp_path, study, there)
    assert (
        json.loads((own / "model.json").read_text("utf-8"))["sha256"]
        != json.loads((source / "model.json").read_text("utf-8"))["sha256"]
    ), "another scale needs other weights"
    rows = pd.concat([*people(1).values(), *there.values()])
    np.testing.assert_allclose(predicted(own, rows), predicted(source, rows), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("before", WAYS)
@pytest.mark.parametrize("after", WAYS)
def test_all_ways_of_preprocessing(tmp_path: Path, before: str, after: str) -> None:
    source = pretrained(tmp_path, "sick", {"kind": "logistic"}, people(1), preprocess=WAYS[before])
    there = people(2, shift=5.0, stretch=2.0)
    model = {"kind": "logistic", "start": {"model": str(source)}}
    own = started(tmp_path, asked("sick", model, training=STANDING_STILL, preprocess=WAYS[after]), there)
    rows = pd.concat(there.values())
    np.testing.assert_allclose(predicted(own, rows), predicted(source, rows), rtol=2e-4, atol=2e-5)


def test_new_features_have_no_effect_and_absent_ones_stand_at_their_mean(tmp_path: Path) -> None:
    model = {"kind": "mlp", "hidden": [6]}
    source = pretrained(tmp_path, "sick", model, people(1))
    there = {name: frame.assign(weight=frame["age"] * 2 + 1) for name, frame in people(2, shift=9.0).items()}
    study = asked(
        "sick", model | {"start": {"model": str(source)}}, ("age", "colour", "weight"), training=STANDING_STILL
    )
    own = started(tmp_path, study, there)
    recipe = json.loads((source / "model.json").read_text("utf-8"))["recipe"]
    assert [feature["name"] for feature in recipe["features"]][1] == "dose"
    rows = pd.concat(there.values())
    mean = rows.assign(dose=recipe["offset"][1])
    np.testing.assert_allclose(predicted(own, rows), predicted(source, mean), rtol=2e-4, atol=2e-5)
    heavier = rows.assign(weight=rows["weight"] + 1e3)
    np.testing.assert_array_equal(predicted(own, heavier), predicted(own, rows))


def test_a_category_that_the_source_never_saw_counts_as_its_most_frequent_one(tmp_path: Path) -> None:
    model = {"kind": "logistic"}
    source = pretrained(tmp_path, "sick", model, people(1), preprocess={"impute": "most-frequent"})
    recipe = json.loads((source / "model.json").read_text("utf-8"))["recipe"]
    colour = next(feature for feature in recipe["features"] if feature["name"] == "colour")
    usual = colour["categories"][int(colour["fill"])]
    there = people(2, colours="abd")
    study = asked("sick", model | {"start": {"model": str(source)}}, training=STANDING_STILL)
    own = started(tmp_path, study, there)
    rows = pd.concat(there.values())
    alike = rows.assign(colour=rows["colour"].replace("d", usual))
    np.testing.assert_allclose(predicted(own, rows), predicted(source, alike), rtol=2e-4, atol=2e-5)


def test_a_run_of_the_same_store_is_a_source_as_its_export_is(tmp_path: Path) -> None:
    model = {"kind": "mlp", "hidden": [6]}
    study = asked("sick", model, evaluation={"bootstrap": 0, "baselines": ["centralised"]})
    first = simulate(study, people(1), home=tmp_path / "home", progress=False)
    pooled = first.view.baselines[0]
    export(whole_run(first.home, pooled.run), first.home.artefacts, tmp_path / "pooled")
    there = people(2, shift=3.0)
    digests = [
        simulate(asked("sick", model | {"start": start}), there, home=tmp_path / "home", progress=False).summary[
            "runs"
        ][0]["model"]
        for start in ({"run": pooled.run}, {"model": str(tmp_path / "pooled")})
    ]
    assert digests[0] == digests[1]
    fresh = simulate(asked("sick", model), there, home=tmp_path / "home", progress=False)
    assert fresh.summary["runs"][0]["model"] != digests[0]
