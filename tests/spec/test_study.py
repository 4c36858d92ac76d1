"""The study as a value: frozen, with one canonical text however it was written, and arms by one rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from medfl.spec.model import MLP
from medfl.spec.part import Part
from medfl.spec.preprocess import Ordinal
from medfl.spec.reading import parse, read
from medfl.spec.study import Study
from medfl.spec.training import SGD, AdamW

GOLDEN = Path(__file__).parents[1] / "golden" / "spec"


def study(**parts: Any) -> Study:
    return Study.model_validate({"study": {"name": "s"}, "data": {"target": "y"}} | parts)


def kind(part: Part) -> Any:
    return part.model_dump()["kind"]


# -- one text, one digest ----------------------------------------------------------------------------------------------

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)
COLUMNS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=5)
RATES = st.floats(1e-12, 10, allow_subnormal=False)
TRAINING = st.one_of(
    st.just("sgd"),
    st.fixed_dictionaries(
        {"optimizer": st.just("sgd")}, optional={"learning_rate": RATES, "local_steps": st.integers(1, 9)}
    ),
    st.fixed_dictionaries({"optimizer": st.just("adamw"), "beta2": st.floats(0, 0.999)}, optional={"clip_norm": RATES}),
)
ALGORITHM = st.one_of(
    st.sampled_from(["fedavg", "fedyogi"]),
    st.fixed_dictionaries({"kind": st.just("fedprox"), "mu": RATES, "rounds": st.integers(1, 10**6)}),
)
MODEL = st.one_of(
    st.just("logistic"),
    st.fixed_dictionaries({"kind": st.just("mlp"), "hidden": st.lists(st.integers(1, 512), min_size=1, max_size=3)}),
)
STUDY = st.fixed_dictionaries(
    {"name": NAMES}, optional={"question": st.text(max_size=9), "seed": st.integers(0, 2**53)}
)
DATA = st.fixed_dictionaries(
    {"target": st.just("y")}, optional={"units": st.dictionaries(COLUMNS, COLUMNS, max_size=2)}
)
ARM = st.fixed_dictionaries({"name": NAMES}, optional={"algorithm": ALGORITHM, "model": MODEL, "training": TRAINING})
ARMS = st.lists(ARM, max_size=2, unique_by=lambda arm: str(arm["name"]))
SPECS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"study": STUDY, "data": DATA},
    optional={"training": TRAINING, "algorithm": ALGORITHM, "model": MODEL, "arm": ARMS},
)


def toml(value: object) -> str:
    """Write plain data as TOML, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def written(spec: dict[str, Any]) -> str:
    return "".join(f"{quoted(key)} = {toml(value)}\n" for key, value in spec.items())


@given(SPECS)
def test_canonical_text_reads_back_to_the_same_digest(spec: dict[str, Any]) -> None:
    first = parse(written(spec), source="spec.toml")
    assert Study.model_validate_json(first.canonical) == first
    again = parse(written(json.loads(first.canonical)), source="spec.toml")
    assert again.digest == first.digest


@given(SPECS, st.randoms())
def test_the_order_of_keys_does_not_matter(spec: dict[str, Any], random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if not isinstance(value, dict):
            return [shuffled(inner) for inner in value] if isinstance(value, list) else value
        keys = list(value)
        random.shuffle(keys)
        return {key: shuffled(value[key]) for key in keys}

    assert parse(written(shuffled(spec)), source="a").digest == parse(written(spec), source="b").digest


def test_defaults_spelled_out_are_the_same_study() -> None:
    short = parse('study.name = "s"\ndata.target = "y"\nalgorithm = "fedavg"', source="a")
    long = parse(
        'study.name = "s"\ndata.target = "y"\nversion = 1\n[algorithm]\nkind = "fedavg"\nrounds = 10', source="b"
    )
    assert short.digest == long.digest


def test_a_whole_number_is_a_number() -> None:
    assert study(training={"learning_rate": 1}).digest == study(training={"learning_rate": 1.0}).digest


@pytest.mark.parametrize("change", [{"study": {"name": "t"}}, {"algorithm": "fedyogi"}, {"arm": [{"name": "a"}]}])
def test_another_study_has_another_digest(change: dict[str, Any]) -> None:
    assert study(**change).digest != study().digest


def test_the_canonical_text_has_no_spaces_sorted_keys_and_nothing_absent() -> None:
    text = study(study={"name": "s", "question": "où?"}).canonical
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert "null" not in text
    assert "où?" in text


# -- frozen ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part", ["study", "data", "preprocess", "model", "training", "algorithm", "evaluation", "privacy"]
)
def test_every_part_is_frozen(part: str) -> None:
    found = getattr(study(), part)
    for name in type(found).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(found, name, getattr(found, name))


def test_a_study_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(study(), "version", 1)  # noqa: B010 - mypy knows that it is frozen, too


def test_tables_and_lists_inside_are_frozen() -> None:
    data = study(
        data={"target": "y", "sites": {"a": "a.csv"}, "units": {"age": "a"}},
        arm=[{"name": "a", "data": {"features": ["age"], "units": {"age": "d"}}}],
    )
    override = data.arm[0].data
    assert isinstance(override, dict)
    for table in (data.data.sites, data.data.units, override, override["units"], study().data.units):
        assert table is not None
        with pytest.raises(TypeError, match="build another one"):
            table["b"] = "b.csv"
        with pytest.raises(TypeError, match="build another one"):
            table.clear()
    assert override["features"] == ("age",)


# -- arms --------------------------------------------------------------------------------------------------------------


def test_a_study_without_arms_is_its_own_only_arm() -> None:
    assert study().arms == {"base": study()}


def test_the_arms_of_the_golden_study() -> None:
    arms = read(GOLDEN / "arms.toml").study.arms
    assert list(arms) == ["as-it-is", "by-kind-alone", "another-kind", "steps-instead-of-epochs"]
    assert arms["as-it-is"] == read(GOLDEN / "arms.toml").study.model_copy(update={"arm": ()})
    assert all(arm.arm == () for arm in arms.values())


def test_a_table_is_merged_key_by_key() -> None:
    base = study(model={"kind": "mlp", "hidden": [8], "dropout": 0.1})
    changed = base.overridden({"model": {"hidden": [4, 2]}}).model
    assert changed == MLP(hidden=(4, 2), dropout=0.1)


def test_deeper_tables_are_merged_as_well() -> None:
    base = study(data={"target": "y", "simulate": {"sites": 4, "partition": {"kind": "dirichlet", "alpha": 0.3}}})
    changed = base.overridden({"data": {"simulate": {"partition": {"min_rows": 3}}}})
    assert changed.data.model_dump(exclude_none=True)["simulate"] == {
        "sites": 4,
        "partition": {"kind": "dirichlet", "alpha": 0.3, "min_rows": 3},
    }


def test_a_list_is_replaced() -> None:
    base = study(data={"target": "y", "features": ["a", "b"]})
    assert base.overridden({"data": {"features": ["c"]}}).data.features == ("c",)


def test_another_kind_keeps_only_what_all_kinds_share() -> None:
    base = study(algorithm={"kind": "fedyogi", "rounds": 5, "min_sites": 2, "tau": 0.5})
    changed = base.overridden({"algorithm": {"kind": "fedprox"}}).algorithm
    assert changed.model_dump(exclude_none=True) == {"kind": "fedprox", "rounds": 5, "min_sites": 2, "mu": 0.01}


def test_another_optimiser_keeps_only_what_all_optimisers_share() -> None:
    base = study(
        training={"optimizer": "sgd", "momentum": 0.9, "batch_size": 8, "weight_decay": 0.5, "local_epochs": 2}
    )
    assert base.overridden({"training": "adamw"}).training == AdamW(batch_size=8, local_epochs=2)


def test_the_same_kind_named_again_changes_nothing() -> None:
    base = study(training={"optimizer": "sgd", "momentum": 0.9})
    assert base.overridden({"training": {"optimizer": "sgd", "nesterov": True}}).training == SGD(
        momentum=0.9, nesterov=True
    )


def test_a_part_can_be_named_by_its_kind_alone() -> None:
    changed = study(algorithm="fedyogi").overridden({"algorithm": "fedavg", "preprocess": {"encode": "ordinal"}})
    assert kind(changed.algorithm) == "fedavg"
    assert changed.preprocess.encode == Ordinal()


@pytest.mark.parametrize(
    ("part", "base", "change", "gone"),
    [
        ("training", {"local_epochs": 2}, {"local_steps": 10}, "local_epochs"),
        ("data", {"target": "y", "sites": {"a": "a.csv"}}, {"simulate": {"sites": 2}}, "sites"),
    ],
)
def test_what_excludes_another_key_replaces_it(part: str, base: Any, change: Any, gone: str) -> None:
    changed = study(**{part: base}).overridden({part: change})
    assert getattr(getattr(changed, part), gone) is None


def test_seeds_count_up_from_the_study_seed() -> None:
    assert study(study={"name": "s", "seed": 40, "repeats": 3}).seeds == (40, 41, 42)
