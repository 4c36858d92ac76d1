"""Every key of a study changes what happens or is refused: none is read and forgotten.

Each key of each part stands in the table below with another value than its default. The study is run with and without
it, and something must differ: an event (models, metrics, intervals, what was told on the way) or what a reader sees.
A key that is added to the language and not to this table fails the first test.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from medfl.errors import UserError
from medfl.events import to_json
from medfl.publish.export import export
from medfl.simulate import simulate
from medfl.spec.algorithm import AlgorithmPart
from medfl.spec.merging import merge
from medfl.spec.study import Study
from medfl.testing.federation import NAMES, table

Override = Mapping[str, Any]


@dataclass(frozen=True)
class Flip:
    """A key's other value, and the study in which it matters.

    Parameters
    ----------
    change
        Laid over the study.
    base
        Laid over the study in both runs.
    refused
        Whether the change is refused, with a sentence, instead.
    rows
        Passed as one table to be dealt out, instead of one a site.
    """

    change: Override
    base: Override = field(default_factory=dict)
    refused: bool = False
    rows: bool = False


MISSING = {"preprocess": {"impute": "mean"}}
ROUNDS = {"algorithm": {"rounds": 2}}
MLP = {"model": {"kind": "mlp", "hidden": [8]}}
SIMULATE = {"data": {"simulate": {"sites": 3}}}
MOMENTUM = {"training": {"optimizer": "sgd", "momentum": 0.5}}
ADAM = {"training": {"optimizer": "adam"}}
ADAMW = {"training": {"optimizer": "adamw"}}
SHAPLEY = {"evaluation": {"contributions": {"kind": "shapley", "permutations": 2}}, "algorithm": {"rounds": 1}}
GROUPS = {"evaluation": {"subgroups": {"dose": {"column": "dose", "cuts": [0.0]}}, "smallest_group": 2}}
AGAINST = {"evaluation": {"baselines": ["centralised"]}, "study": {"repeats": 2}}
TRANSLATED = {"data": {"harmonise": {"east": {"columns": {"dose": {"called": "stage"}}}}, "features": ["age", "dose"]}}
DIRICHLET = {"data": {"simulate": {"sites": 3, "partition": {"kind": "dirichlet", "alpha": 1.0, "min_rows": 2}}}}
QUANTILES = {"data": {"simulate": {"sites": 3, "partition": {"kind": "quantiles", "column": "age"}}}}
BY_COLUMN = {"data": {"features": ["age", "dose"], "simulate": {"partition": {"kind": "column", "column": "colour"}}}}
COLUMNS = ["age", "dose", "colour", "stage", "number", "sick"]
FILES = {"data": {"sites": {name: f"{name}.csv" for name in NAMES}, "columns": COLUMNS}}
GERMAN = {"data": {"sites": {name: f"{name}-german.csv" for name in NAMES}, "features": ["age", "dose"]}, **MISSING}
TABLE = {"data": {"simulate": {"sites": 2, "table": "east-named.csv"}}}
AGED = {"data": {"target": "age", "positive": "> 60", "features": ["dose", "colour"]}}
LINEAR = {"data": {"target": "age", "features": ["dose", "colour"]}, "model": {"kind": "linear"}}
SKEWED = {"sites": 3, "partition": {"kind": "dirichlet", "alpha": 0.05, "min_rows": 5}}
ONE_CLASS = {"data": {"simulate": SKEWED}}
STARTED = {"model": {"kind": "mlp", "hidden": [8], "start": {"model": "learned-mlp"}}}
TUNED = {"evaluation": {"fine_tune": {"learning_rate": 0.5}}}
TUNED_MLP = {"evaluation": {"fine_tune": {"local_epochs": 3, "learning_rate": 0.5}}, **MLP}
BY_IDS = {"evaluation": {"id_column": "number", "test_ids": {name: f"{name}-a.txt" for name in NAMES}}}
PRIVATE = {
    "privacy": {
        "dp": {
            "unit": "record",
            "epsilon": 3.0,
            "ranges": {"age": [0, 120], "dose": [-5, 5], "stage": [1, 3], "number": [0, 3000]},
            "categories": {"colour": ["amber", "blue", "clear"], "sick": ["0", "1"]},
        }
    },
    "preprocess": {"impute": "drop"},
}
UNSCALED = merge(PRIVATE, {"preprocess": {"scale": "min-max"}})
OF_PATIENTS = merge(
    PRIVATE,
    {
        "privacy": {"dp": {"unit": "patient", "patient_id": "number"}},
        "data": {"features": ["age", "dose"]},
        "evaluation": {"split_seed": 1},
    },
)
OF_SITES = merge(PRIVATE, {"privacy": {"dp": {"unit": "site", "noise": "central"}}, "preprocess": {"scale": "min-max"}})


def dp(name: str, value: object, base: Override = PRIVATE, *, refused: bool = False) -> Flip:
    return Flip({"privacy": {"dp": {name: value}}}, base, refused)


def training(name: str, value: object, base: Override | None = None) -> Flip:
    return Flip({"training": {name: value}}, base or {})


def evaluation(name: str, value: object, base: Override | None = None) -> Flip:
    return Flip({"evaluation": {name: value}}, base or {})


def start(name: str, value: object, base: Override = STARTED, *, refused: bool = False) -> Flip:
    return Flip({"model": {"start": {name: value}}}, base, refused)


def fine_tune(name: str, value: object, base: Override = TUNED) -> Flip:
    return Flip({"evaluation": {"fine_tune": {name: value}}}, base)


def shared_by_optimisers(kind: str, base: Override) -> dict[str, Flip]:
    return {
        f"{kind}.{name}": training(name, value, base)
        for name, value in {
            "learning_rate": 0.01,
            "batch_size": 8,
            "local_epochs": 2,
            "local_steps": 3,
            "weight_decay": 0.5,
            "clip_norm": 0.01,
            "class_weight": "balanced",
        }.items()
    }


def dose(name: str, value: object, *, base: Override = TRANSLATED, refused: bool = False) -> Flip:
    change = {"data": {"harmonise": {"east": {"columns": {"dose": {name: value}}}}}}
    return Flip(change, merge(base, MISSING), refused)


FLIPS: dict[str, Flip] = {
    "Data.harmonise": Flip(TRANSLATED, merge(MISSING, {"data": {"features": ["age", "dose"]}})),
    "SiteColumns.columns": Flip({"data": {"harmonise": {"east": {"columns": {"dose": {"factor": 2.0}}}}}}, MISSING),
    "Translation.called": dose("called", "number"),
    "Translation.factor": dose("factor", 2.0),
    "Translation.offset": dose("offset", 3.0),
    "Translation.unit": dose("unit", "mg", base=merge(TRANSLATED, {"data": {"units": {"dose": "g"}}}), refused=True),
    "Translation.codes": dose("codes", {"1": "7"}),
    "Info.name": Flip({"study": {"name": "other"}}),
    "Info.question": Flip({"study": {"question": "Why?"}}),
    "Info.seed": Flip({"study": {"seed": 8}}),
    "Info.repeats": Flip({"study": {"repeats": 2}}),
    "Arm.name": Flip({"arm": [{"name": "one"}]}),
    **{
        f"Arm.{part}": Flip({"arm": [{"name": "one", part: change}]}, {"arm": [{"name": "one"}]})
        for part, change in {
            "data": {"features": ["dose"]},
            "preprocess": {"scale": "min-max"},
            "model": {"kind": "mlp"},
            "training": {"learning_rate": 0.5},
            "algorithm": {"rounds": 1},
            "evaluation": {"test_fraction": 0.4},
            "privacy": {"secure_aggregation": True},
        }.items()
    },
    "Study.version": Flip({"version": 2}, refused=True),
    "Study.study": Flip({"study": {"seed": 8}}),
    "Study.data": Flip({"data": {"features": ["dose"]}}),
    "Study.preprocess": Flip({"preprocess": {"scale": "none"}}),
    "Study.model": Flip({"model": {"kind": "mlp"}}),
    "Study.training": training("learning_rate", 0.5),
    "Study.algorithm": Flip({"algorithm": {"kind": "fedyogi"}}),
    "Study.evaluation": evaluation("threshold", 0.3),
    "Study.privacy": Flip({"privacy": {"secure_aggregation": True}}),
    "Study.arm": Flip({"arm": [{"name": "one"}, {"name": "two", "algorithm": {"rounds": 1}}]}),
    "Data.target": Flip({"data": {"target": "age", "positive": "> 60"}}, {"data": {"features": ["dose", "colour"]}}),
    "Data.positive": Flip({"data": {"positive": "> 55"}}, AGED),
    "Data.outcome": Flip({"data": {"outcome": "multiclass"}}),
    "Data.features": Flip({"data": {"features": ["dose", "colour"]}}),
    "Data.categorical": Flip({"data": {"categorical": ["stage"]}}),
    "Data.columns": Flip({"data": {"columns": ["dose", "age", *COLUMNS[2:]]}}, FILES),
    "Data.missing": Flip({"data": {"missing": ["amber"]}}, MISSING),
    "Data.decimal": Flip({"data": {"decimal": "."}}, GERMAN, refused=True),
    "Data.units": Flip({"data": {"units": {"age": "years"}}}),
    "Data.one_class": Flip({"data": {"one_class": "refuse"}}, ONE_CLASS, refused=True, rows=True),
    "Data.sites": Flip({"data": {"sites": {"east": "west.csv", "west": "east.csv"}}}, FILES),
    "Data.simulate": Flip({"data": {"simulate": {"sites": 4}}}, SIMULATE, rows=True),
    "Simulate.table": Flip({"data": {"simulate": {"table": "west-named.csv"}}}, TABLE),
    "Simulate.bundled": Flip(
        {"data": {"target": "diagnosis", "features": ["all"], "simulate": {"sites": 3, "bundled": "breast-cancer"}}},
        SIMULATE,
        rows=True,
    ),
    "Simulate.sites": Flip({"data": {"simulate": {"sites": 4}}}, SIMULATE, rows=True),
    "Simulate.names": Flip({"data": {"simulate": {"names": ["a", "b", "c"]}}}, SIMULATE, rows=True),
    "Simulate.partition": Flip({"data": {"simulate": {"partition": "dirichlet"}}}, SIMULATE, rows=True),
    "IID.kind": Flip({"data": {"simulate": {"partition": {"kind": "dirichlet"}}}}, SIMULATE, rows=True),
    "Dirichlet.kind": Flip({"data": {"simulate": {"partition": {"kind": "iid"}}}}, SIMULATE | DIRICHLET, rows=True),
    "Dirichlet.alpha": Flip({"data": {"simulate": {"partition": {"alpha": 9.0}}}}, DIRICHLET, rows=True),
    "Dirichlet.min_rows": Flip({"data": {"simulate": {"partition": {"min_rows": 50}}}}, DIRICHLET, rows=True),
    "Quantiles.kind": Flip({"data": {"simulate": {"partition": {"kind": "iid"}}}}, QUANTILES, rows=True),
    "Quantiles.column": Flip({"data": {"simulate": {"partition": {"column": "dose"}}}}, QUANTILES, rows=True),
    "ByColumn.kind": Flip({"data": {"simulate": {"sites": 3, "partition": {"kind": "iid"}}}}, BY_COLUMN, rows=True),
    "ByColumn.column": Flip({"data": {"simulate": {"partition": {"column": "stage"}}}}, BY_COLUMN, rows=True),
    "Preprocess.impute": Flip({"preprocess": {"impute": "median"}}, MISSING),
    "Preprocess.encode": Flip({"preprocess": {"encode": "ordinal"}}),
    "Preprocess.scale": Flip({"preprocess": {"scale": "standard-per-site"}}),
    "Preprocess.median_bins": Flip({"preprocess": {"median_bins": 16}}, {"preprocess": {"impute": "median"}}),
    "OneHot.kind": Flip({"preprocess": {"encode": {"kind": "ordinal"}}}),
    "OneHot.drop_first": Flip({"preprocess": {"encode": {"kind": "one-hot", "drop_first": False}}}),
    "Ordinal.kind": Flip({"preprocess": {"encode": "one-hot"}}, {"preprocess": {"encode": "ordinal"}}),
    "Logistic.kind": Flip(MLP),
    "Linear.kind": Flip(MLP, LINEAR),
    "MLP.kind": Flip({"model": {"kind": "logistic"}}, {"model": {"kind": "mlp"}}),
    "MLP.hidden": Flip({"model": {"hidden": [4, 4]}}, MLP),
    "MLP.activation": Flip({"model": {"activation": "tanh"}}, MLP),
    "MLP.dropout": Flip({"model": {"dropout": 0.5}}, MLP),
    "MLP.layer_norm": Flip({"model": {"layer_norm": True}}, MLP),
    "Logistic.start": start("model", "learned-logistic", {}),
    "Linear.start": start("model", "learned-linear", LINEAR),
    "MLP.start": start("model", "learned-mlp", MLP),
    "Start.model": start("model", "learned-mlp", MLP),
    "Start.run": start("run", "ffffffff-1", MLP, refused=True),
    "Start.weights": start("weights", "learned-mlp/model.safetensors", MLP),
    "Start.new_head": start("new_head", True),
    "Start.freeze": start("freeze", ["layer1"]),
    "Start.rates": start("rates", {"layer1": 0.1}),
    "Start.unfreeze_every": start("unfreeze_every", 1),
    "Start.probe_rounds": start("probe_rounds", 1),
    "SGD.optimizer": training("optimizer", "adam"),
    "SGD.momentum": training("momentum", 0.9),
    "SGD.nesterov": training("nesterov", True, MOMENTUM),
    **shared_by_optimisers("SGD", {}),
    "Adam.optimizer": training("optimizer", "adamw", ADAM),
    "AdamW.optimizer": training("optimizer", "sgd", ADAMW),
    **{
        f"{kind}.{name}": training(name, value, base)
        for kind, base in {"Adam": ADAM, "AdamW": ADAMW}.items()
        for name, value in {"beta1": 0.5, "beta2": 0.5, "eps": 0.1}.items()
    },
    **shared_by_optimisers("Adam", ADAM),
    **shared_by_optimisers("AdamW", ADAMW),
    "AlgorithmPart.kind": Flip({"algorithm": {"kind": "fedyogi"}}),
    "AlgorithmPart.rounds": Flip({"algorithm": {"rounds": 3}}),
    "AlgorithmPart.min_sites": Flip({"algorithm": {"min_sites": 9}}, refused=True),
    "AlgorithmPart.fraction": Flip({"algorithm": {"fraction": 0.4}}),
    "AlgorithmPart.min_asked": Flip({"algorithm": {"min_asked": 2}}, {"algorithm": {"fraction": 0.4}}),
    "Evaluation.test_fraction": evaluation("test_fraction", 0.4),
    "Evaluation.split_seed": evaluation("split_seed", 3),
    "Evaluation.id_column": evaluation("id_column", "number", {"data": {"features": ["all"]}}),
    "Evaluation.test_ids": evaluation("test_ids", {name: f"{name}-b.txt" for name in NAMES}, BY_IDS),
    "Evaluation.baselines": evaluation("baselines", ["centralised"]),
    "Evaluation.threshold": evaluation("threshold", "youden"),
    "Evaluation.bootstrap": evaluation("bootstrap", 30),
    "Evaluation.margin": evaluation("margin", 0.2, AGAINST),
    "Evaluation.subgroups": evaluation("subgroups", {"colour": "colour"}),
    "Evaluation.smallest_group": evaluation("smallest_group", 10, GROUPS),
    "Evaluation.contributions": evaluation("contributions", "leave-one-out"),
    "Evaluation.importance": evaluation("importance", {}),
    "Evaluation.fine_tune": evaluation("fine_tune", {}),
    "FineTune.local_epochs": fine_tune("local_epochs", 9),
    "FineTune.local_steps": fine_tune("local_steps", 9),
    "FineTune.learning_rate": fine_tune("learning_rate", 0.01),
    "FineTune.freeze": fine_tune("freeze", "all-but-head", TUNED_MLP),
    "Grouping.column": evaluation("subgroups", {"dose": {"column": "age"}}, GROUPS),
    "Grouping.cuts": evaluation("subgroups", {"dose": {"cuts": [0.5]}}, GROUPS),
    "Contributions.kind": evaluation("contributions", {"kind": "leave-one-out", "permutations": None}, SHAPLEY),
    "Contributions.permutations": evaluation("contributions", {"permutations": 3}, SHAPLEY),
    "Importance.repeats": evaluation("importance", {"repeats": 2}, {"evaluation": {"importance": {}}}),
    "Privacy.secure_aggregation": Flip({"privacy": {"secure_aggregation": True}}),
    "Privacy.dp": Flip({"privacy": PRIVATE["privacy"]}, {"preprocess": {"impute": "drop"}}),
    "DifferentialPrivacy.unit": Flip({"privacy": {"dp": {"unit": "site", "noise": "central"}}}, UNSCALED),
    "DifferentialPrivacy.epsilon": dp("epsilon", 9.0),
    "DifferentialPrivacy.delta": dp("delta", 1e-7),
    "DifferentialPrivacy.patient_id": dp("patient_id", "stage", OF_PATIENTS),
    "DifferentialPrivacy.clip_norm": dp("clip_norm", 0.1),
    "DifferentialPrivacy.clip_quantile": dp("clip_quantile", 0.5, OF_SITES),
    "DifferentialPrivacy.accountant": dp("accountant", "rdp"),
    "DifferentialPrivacy.noise": dp("noise", "distributed", OF_SITES, refused=True),
    "DifferentialPrivacy.ranges": dp("ranges", {"age": [50, 70]}),
    "DifferentialPrivacy.categories": dp("categories", {"colour": ["amber", "blue", "clear", "green"]}),
    "DifferentialPrivacy.statistics_share": dp("statistics_share", 0.5),
}
TORCH: dict[str, Flip] = {
    "Torch.kind": Flip({"model": {"kind": "mlp"}}, {"model": {"kind": "torch", "name": "narrow"}}),
    "Torch.name": Flip({"model": {"name": "wide"}}, {"model": {"kind": "torch", "name": "narrow"}}),
    "Torch.options": Flip({"model": {"options": {"bias": False}}}, {"model": {"kind": "torch", "name": "narrow"}}),
    "Torch.start": start("weights", "bundled", {"model": {"kind": "torch", "name": "shipped"}}),
    "Torch.batch_norm": Flip({"model": {"batch_norm": "local"}}, {"model": {"kind": "torch", "name": "normed"}}),
}
RULES = "an algorithm's own keys are in tests/learn/algorithms/test_every_parameter_counts.py"


def parts(kind: type[BaseModel], seen: dict[str, type[BaseModel]]) -> Mapping[str, type[BaseModel]]:
    """Return every part of the language by name, from one part on."""
    seen[kind.__name__] = kind
    for one in kind.model_fields.values():
        waiting: list[Any] = [one.annotation]
        while waiting:
            found = waiting.pop()
            if get_origin(found) is not None:
                waiting += get_args(found)
            elif isinstance(found, type) and issubclass(found, BaseModel) and found.__name__ not in seen:
                parts(found, seen)
    return seen


def test_every_key_of_the_language_is_in_the_table() -> None:
    """What is missing here was added to the language and never seen to do anything."""
    rules = {
        name
        for name, part in parts(Study, {}).items()
        if issubclass(part, AlgorithmPart) or part.__module__.startswith("medfl.learn.algorithms")
    }
    keys = {
        f"{name}.{key}"
        for name, part in ({"AlgorithmPart": AlgorithmPart} | dict(parts(Study, {}))).items()
        if name not in rules or name == "AlgorithmPart"
        for key in part.model_fields
    }
    assert keys == FLIPS.keys() | TORCH.keys(), RULES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the same hospitals as files, without and with a line of names; lists of test patients; learned models."""
    place = tmp_path_factory.mktemp("keys")
    for name, frame in frames().items():
        frame.to_csv(place / f"{name}.csv", index=False, header=False)
        frame.to_csv(place / f"{name}-named.csv", index=False)
        frame.to_csv(place / f"{name}-german.csv", index=False, sep=";", decimal=",")
        for number, listed in enumerate((frame["number"][:20], frame["number"][20:45])):
            (place / f"{name}-{'ab'[number]}.txt").write_text("\n".join(map(str, listed)), encoding="utf-8")
    kinds: dict[str, Override] = {"logistic": {}, "mlp": MLP, "linear": LINEAR}
    for name, change in kinds.items():
        learned = simulate(asked(change), frames(), home=place / "home", progress=False)
        export(learned.view.runs[0], learned.home.artefacts, place / f"learned-{name}")
    return place


@pytest.fixture
def files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand where the files are: a study in Python starts its relative paths there."""
    monkeypatch.chdir(folder)


def frames() -> dict[str, pd.DataFrame]:
    return {name: one_frame(60 + 20 * number, number) for number, name in enumerate(NAMES)}


def one_frame(rows: int, seed: int) -> pd.DataFrame:
    """Return a table with every kind of column: numbers, one of them with gaps, texts, codes, an ID."""
    draw = np.random.default_rng(100 + seed)
    frame = table(rows, seed)
    frame.loc[draw.choice(rows, 5, replace=False), "dose"] = np.nan
    frame.insert(3, "stage", draw.integers(1, 4, rows))
    frame.insert(4, "number", np.arange(rows) + 1000 * seed)
    return frame[["age", "dose", "colour", "stage", "number", "sick"]]


@pytest.mark.usefixtures("files")
def test_nothing_changes_by_itself(tmp_path: Path) -> None:
    first, again = (what_happens(Flip({}, AGAINST), {}, home=tmp_path / time) for time in ("first", "again"))
    assert first == again


@pytest.mark.slow
@pytest.mark.parametrize("key", [*FLIPS])
@pytest.mark.usefixtures("files")
def test_a_key_changes_what_happens_or_is_refused(key: str, tmp_path: Path) -> None:
    seen_to_matter(FLIPS[key], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("key", [*TORCH])
def test_a_key_of_torch_models_too(key: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from medfl import torch_model

    def network(width: int, features: int, outcomes: int, bias: bool) -> Any:
        layers = torch.nn.Linear(features, width, bias=bias), torch.nn.ReLU(), torch.nn.Linear(width, outcomes)
        return torch.nn.Sequential(*layers)

    @torch_model("narrow")
    def narrow(features: int, outcomes: int, bias: bool = True) -> Any:
        return network(4, features, outcomes, bias)

    @torch_model("normed")
    def normed(features: int, outcomes: int) -> Any:
        return torch.nn.Sequential(torch.nn.BatchNorm1d(features), torch.nn.Linear(features, outcomes))

    @torch_model("shipped")
    def shipped(features: int, outcomes: int) -> Any:
        layer = torch.nn.Linear(features, outcomes)
        torch.nn.init.constant_(layer.weight, 0.5)
        return layer

    @torch_model("wide")
    def wide(features: int, outcomes: int, bias: bool = True) -> Any:
        return network(9, features, outcomes, bias)

    seen_to_matter(TORCH[key], tmp_path)


def seen_to_matter(flip: Flip, tmp_path: Path) -> None:
    plain = what_happens(flip, {}, home=tmp_path / "plain")
    if flip.refused:
        with pytest.raises((UserError, ValueError)) as refusal:
            what_happens(flip, flip.change, home=tmp_path / "changed")
        assert len(str(refusal.value)) > 40, "a refusal says why and what to do"
        return
    assert what_happens(flip, flip.change, home=tmp_path / "changed") != plain


def what_happens(flip: Flip, last: Override, *, home: Path) -> str:
    """Return all that is told of a study: every event but its time and place, and what is printed in the end."""
    spec = asked(flip.base, last)
    found = simulate(spec, tables(spec, dealt=flip.rows), home=home, progress=False)
    events = [to_json(recorded.event) | {"at": type(recorded.event).__name__} for recorded in found.home.journal.read()]
    for event in events:
        for passing in ("execution", "digest", "spec", "base", "seconds", "state", "versions"):
            event.pop(passing, None)
    printed = [line for line in str(found).splitlines() if str(home) not in line]
    return json.dumps([events, printed], default=str)


def tables(spec: Study, *, dealt: bool) -> object:
    """Return what is passed with the study: nothing where it names files."""
    simulated = spec.data.simulate
    if spec.data.sites is not None or (simulated is not None and (simulated.table or simulated.bundled)):
        return None
    return one_frame(180, 9) if dealt else frames()


def asked(*overrides: Override) -> Study:
    """Return the study with these laid over it, one after the other."""
    spec: dict[str, Any] = {
        "study": {"name": "keys", "seed": 7},
        "data": {"target": "sick", "features": ["age", "dose", "colour", "stage"]},
        "preprocess": {"impute": "drop"},
        "training": {"batch_size": 16},
        "algorithm": {"kind": "fedavg", "rounds": 2},
        "evaluation": {"bootstrap": 20},
        "privacy": {"secure_aggregation": False},
    }
    for override in overrides:
        whole = {name: override[name] for name in ("arm", "version") if name in override}
        laid = {name: change for name, change in override.items() if name not in whole}
        spec = merge(spec, laid) | {name: spec[name] for name in ("arm", "version") if name in spec} | whole
    if spec["data"].get("features") == ["all"]:
        spec["data"].pop("features")
    return Study.model_validate(spec)
