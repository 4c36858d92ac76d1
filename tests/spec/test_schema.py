"""The JSON Schema: right in itself, never refusing what is a study, refusing what editors should underline."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from medfl.spec.anatomy import kind_of, tables
from medfl.spec.schema import json_schema

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "spec").glob("*.toml"))
SHARED = sorted((Path(__file__).parents[3] / "shared" / "studies").glob("*.toml"))
SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
BASE: dict[str, Any] = {"study": {"name": "s"}, "data": {"target": "y"}}


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("spec", GOLDEN, ids=lambda spec: spec.stem)
def test_it_accepts_the_golden_specs_and_their_canonical_text(spec: Path) -> None:
    VALIDATOR.validate(tomllib.loads(spec.read_text(encoding="utf-8")))
    VALIDATOR.validate(json.loads(spec.with_suffix(".json").read_text(encoding="utf-8")))


@pytest.mark.skipif(not SHARED, reason="the shared studies are not here")
def test_it_accepts_the_shared_specs() -> None:
    for spec in SHARED:
        VALIDATOR.validate(tomllib.loads(spec.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "parts",
    [
        {"algorithm": "fedprox"},
        {"algorithm": {"rounds": 3}},
        {"algorithm": {"kind": "fedprox", "mu": 1}},
        {"training": "adam"},
        {"training": {"momentum": 0.9}},
        {"preprocess": {"encode": "one-hot"}},
        {"preprocess": {"encode": {"drop_first": False}}},
        {"data": {"target": "y", "simulate": {"sites": 3, "partition": "iid"}}},
        {"training": {"class_weight": "balanced"}},
        {"training": {"class_weight": {"yes": 2}}},
        {"evaluation": {"threshold": "youden"}},
        {"arm": [{"name": "a", "data": {"simulate": {"partition": {"alpha": 2}}}, "training": {"beta1": 0.5}}]},
        {"arm": [{"name": "a", "model": "logistic", "privacy": {"secure_aggregation": False}}]},
    ],
)
def test_it_accepts_every_way_of_writing(parts: dict[str, Any]) -> None:
    VALIDATOR.validate(BASE | parts)


@pytest.mark.parametrize(
    "parts",
    [
        {"trainig": {}},
        {"version": 2},
        {"study": {"name": "a b"}},
        {"data": {}},
        {"data": {"target": "y", "simulate": {"sites": 3, "partition": "quantiles"}}},
        {"algorithm": "fedavgg"},
        {"algorithm": {"kind": "fedavg", "tau": 1}},
        {"algorithm": {"tau": 1}},
        {"algorithm": {"rounds": 0}},
        {"model": {"kind": "mlp", "hidden": []}},
        {"training": {"learning_rate": 0}},
        {"evaluation": {"threshold": 1}},
        {"arm": [{"algorithm": "fedavg"}]},
        {"arm": [{"name": "a", "algorithm": {"tua": 1}}]},
        {"arm": [{"name": "a", "study": {}}]},
    ],
)
def test_it_refuses_what_no_study_has(parts: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(BASE | parts)


def test_every_table_and_key_is_described() -> None:
    for path, part in tables():
        keys = [step for step in path if step != "NAME"]
        name = ".".join((*keys, kind_of(part))) if kind_of(part) else ".".join(keys)
        described = SCHEMA["$defs"][name]
        assert described["description"], name
        for key, leaf in described["properties"].items():
            tags = key in ("kind", "optimizer")
            assert tags or "$ref" in leaf or "oneOf" in leaf or leaf.get("description"), f"{name}.{key}"
