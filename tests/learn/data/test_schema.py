"""What a table is like: one spelling for each value, types, categories, and what the sites make of it together."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medfl.errors import DataError
from medfl.learn.data.cells import Numbers, Texts, in_order, read, spelled
from medfl.learn.data.harmonise import Agreement, harmonise
from medfl.learn.data.positive import parse
from medfl.learn.data.schema import Column, Schema, infer
from medfl.spec.data import Data

COLUMNS = st.builds(
    Column,
    name=st.text(min_size=1),
    kind=st.sampled_from(["numeric", "categorical"]),
    unit=st.sampled_from(["", "mg/dL"]),
    categories=st.lists(st.text(min_size=1), max_size=4).map(in_order),
    missing=st.integers(0, 99),
    minimum=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    maximum=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    integral=st.booleans(),
)


@given(columns=st.lists(COLUMNS, max_size=5).map(tuple), rows=st.integers(0, 10**9))
def test_a_schema_survives_json(columns: tuple[Column, ...], rows: int) -> None:
    schema = Schema(columns, rows, ("spare",))
    again = Schema.from_json(json.loads(json.dumps(schema.to_json())))
    assert again == schema
    assert again.digest == schema.digest


def test_the_digest_knows_names_kinds_units_and_categories_only() -> None:
    column = Column("age", "numeric", "years", (), 3, 1.0, 90.0, True)
    sex = Column("sex", "categorical", "", ("f", "m"), 1)
    digest = Schema((column, sex), 10).digest
    assert digest == Schema((sex, Column("age", "numeric", "years", ("1",), 0, 2.0, 3.0, False)), 99, ("x",)).digest
    assert digest != Schema((column, Column("sex", "categorical", "", ("f", "m", "x"))), 10).digest
    assert digest != Schema((Column("age", "numeric", "months"), sex), 10).digest


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        (1.0, "1"),
        (1, "1"),
        ("1.0", "1"),
        (" 007 ", "7"),
        ("+5", "5"),
        ("-0", "0"),
        (-0.0, "0"),
        (0.1, "0.1"),
        ("1e3", "1000"),
        ("12345678901234567890", "12345678901234567890"),
        (True, "True"),
        ("TRUE", "True"),
        (" never ", "never"),
        ("1_000", "1_000"),
        ("infinity", "infinity"),
    ],
)
def test_one_spelling_for_each_value(value: object, spelling: str) -> None:
    assert spelled(value) == spelling


def test_categories_are_in_order_of_value_then_alphabet() -> None:
    assert in_order(["b", "10", "2", "a", "-1", "2"]) == ("-1", "2", "10", "a", "b")


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series([1.0, np.nan, 3.0]),
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series(["1", "NA", " 3.0 "]),
        pd.Series([1, "?", "3"], dtype=object),
        pd.Series([1, -9, 3]),
    ],
    ids=["float", "nullable", "text", "mixed", "stand-in"],
)
def test_numbers_are_numbers_however_they_are_stored(cells: pd.Series[Any]) -> None:
    found = read(cells, ["?", "-9"])
    assert isinstance(found, Numbers)
    assert np.array_equal(found.values, [1.0, np.nan, 3.0], equal_nan=True)


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series(["no", None, "yes", "no"]),
        pd.Series(["no", "None", " yes", "no "], dtype=object),
        pd.Series(["no", None, "yes", "no"], dtype="category"),
    ],
    ids=["text", "spaces", "category"],
)
def test_texts_are_texts_however_they_are_stored(cells: pd.Series[Any]) -> None:
    found = read(cells)
    assert isinstance(found, Texts)
    assert found.distinct == ("no", "yes")
    assert found.codes.tolist() == [0, -1, 1, 0]


def test_truth_values_are_categories() -> None:
    found = read(pd.Series([True, False]))
    assert isinstance(found, Texts)
    assert found.distinct == ("False", "True")


def test_inference_reads_types_categories_and_missingness() -> None:
    frame = pd.DataFrame({"age": [61, None, 70.5], "cp": [1.0, 4.0, 1.0], "sex": ["m", "f", None], "sick": [0, 1, 1]})
    schema = infer(frame, Data(target="sick", categorical=("cp",), units={"age": "years"}))
    assert schema.columns == (
        Column("age", "numeric", "years", (), 1, 61.0, 70.5, False),
        Column("cp", "categorical", "", ("1", "4"), 0),
        Column("sex", "categorical", "", ("f", "m"), 1),
        Column("sick", "numeric", "", ("0", "1"), 0, 0.0, 1.0, True),
    )


def test_the_partition_column_is_no_feature() -> None:
    data = Data.model_validate({"target": "sick", "simulate": {"partition": {"kind": "column", "column": "ward"}}})
    frame = pd.DataFrame({"ward": ["a", "b"], "age": [1, 2], "sick": [0, 1]})
    assert [column.name for column in infer(frame, data).columns] == ["age", "sick"]


def test_values_of_a_numeric_target_are_not_told_where_they_cannot_be_classes() -> None:
    whole = pd.DataFrame({"a": [1] * 70, "y": range(70)})
    halves = pd.DataFrame({"a": [1] * 4, "y": [0.5, 1.5, 0.5, 1.5]})
    assert infer(whole, Data(target="y")).columns[1].categories == ()
    assert infer(whole.head(9), Data(target="y", outcome="regression")).columns[1].categories == ()
    assert infer(halves, Data(target="y")).columns[1].categories == ()
    assert infer(halves, Data(target="y", outcome="binary")).columns[1].categories == ("0.5", "1.5")


def agreed(target: object, kind: str = "mlp", **data: Any) -> Agreement:
    frame = pd.DataFrame({"a": 1.0, "y": target})
    said = Data.model_validate({"target": "y"} | data)
    return harmonise({"here": infer(frame, said)}, said, model_kind=kind)


@pytest.mark.parametrize(
    ("target", "settings", "kind", "classes"),
    [
        ([0, 1] * 9, {}, "binary", ("0", "1")),
        ([2.0, 1.0] * 9, {}, "binary", ("1", "2")),
        (["yes", "no"] * 9, {}, "binary", ("no", "yes")),
        ([True, False] * 9, {}, "binary", ("False", "True")),
        (["malignant", "benign"] * 9, {}, "binary", ("benign", "malignant")),
        ([0, 1, 2, 3] * 9, {}, "multiclass", ("0", "1", "2", "3")),
        ([0, 1, 2, 3] * 9, {"positive": "> 0"}, "binary", ("y <= 0", "y > 0")),
        ([0, 1, 2, 3] * 9, {"positive": "2"}, "binary", ("y != 2", "y = 2")),
        ([0, 1, 2, 3] * 9, {"outcome": "regression"}, "regression", ()),
        ([0, 1, 2, 3] * 9, {"kind": "linear"}, "regression", ()),
        (list(range(21)), {}, "regression", ()),
        (list(range(21)), {"outcome": "multiclass"}, "multiclass", tuple(map(str, range(21)))),
        ([0.5, 1.5, 2.5], {}, "regression", ()),
        ([0, 1] * 9, {"outcome": "multiclass"}, "multiclass", ("0", "1")),
    ],
)
def test_the_outcome_is_inferred(
    target: list[object], settings: dict[str, Any], kind: str, classes: tuple[str, ...]
) -> None:
    outcome = agreed(target, **settings).outcome
    assert (outcome.kind, outcome.classes) == (kind, classes)


def test_what_was_assumed_is_said() -> None:
    assert "benign and malignant, malignant is taken as positive" in agreed(["malignant", "benign"] * 9).notes[0]
    assert agreed([0, 1, 2] * 9, positive="> 0").notes == ()
    assert "taken as a number" in agreed([0.5, 1.5, 2.5]).notes[0]


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ("> 1", [0, 0, 1]),
        (">=1", [0, 1, 1]),
        ("< 1", [1, 0, 0]),
        ("<= 1.0", [1, 1, 0]),
        ("== 1", [0, 1, 0]),
        ("= 1", [0, 1, 0]),
        ("!= 1", [1, 0, 1]),
        ("1.0", [0, 1, 0]),
        ("yes", [0, 0, 0]),
    ],
)
def test_positive_reads_comparisons_and_values(text: str, yes: list[int]) -> None:
    holds = parse(text).holds(Numbers(np.array([0.0, 1.0, 2.0, np.nan])), "y")
    assert holds[:3].tolist() == yes
    assert np.isnan(holds[3])


def test_positive_text_value() -> None:
    found = read(pd.Series(["ill", "well", None, "ill"]))
    assert parse("ill").holds(found, "y")[[0, 1, 3]].tolist() == [1, 0, 1]


def test_sites_are_merged() -> None:
    one = pd.DataFrame({"age": [50, 60], "sex": ["m", None], "ca": [np.nan] * 2, "sick": [0, 1]})
    two = pd.DataFrame({"sick": [1, 0, None], "sex": ["f", "x", "m"], "age": [np.nan, 70.5, 40], "ca": ["a", "b", "a"]})
    data = Data(target="sick")
    agreement = harmonise({"one": infer(one, data), "two": infer(two, data)}, data, model_kind="logistic")
    assert agreement.features == (
        Column("age", "numeric", "", (), 1, 40.0, 70.5, False),
        Column("sex", "categorical", "", ("f", "m", "x"), 1),
        Column("ca", "categorical", "", ("a", "b"), 2),
    )
    assert agreement.rows == {"one": 2, "two": 2}
    assert Agreement.from_json(json.loads(json.dumps(agreement.to_json()))) == agreement


@settings(max_examples=40, deadline=None)
@given(owner=st.lists(st.integers(0, 2), min_size=12, max_size=12).filter(lambda o: len(set(o)) == 3))
def test_the_agreement_does_not_depend_on_who_holds_which_row(owner: list[int]) -> None:
    frame = pd.DataFrame({"age": [*range(11), None], "sex": [*"mfmfmfmfmfx", None], "sick": [0, 1] * 6})
    data = Data(target="sick")
    parts = {str(site): frame[np.array(owner) == site] for site in range(3)}
    if min(map(len, parts.values())) < 2:
        return
    schemas = {site: infer(part, data) for site, part in parts.items()}
    together = harmonise(schemas, data, model_kind="mlp", keep_one_class=True)
    pooled = harmonise({"all": infer(frame, data)}, data, model_kind="mlp")
    assert together.features == pooled.features
    assert together.outcome == pooled.outcome


def test_a_site_with_one_class_may_be_kept() -> None:
    data = Data(target="sick")
    frames = {"a": pd.DataFrame({"x": [1, 2], "sick": [0, 0]}), "b": pd.DataFrame({"x": [1, 2], "sick": [0, 1]})}
    schemas = {site: infer(frame, data) for site, frame in frames.items()}
    assert harmonise(schemas, data, model_kind="mlp", keep_one_class=True).outcome.classes == ("0", "1")


LONG = 123456789012345678
"""A code of eighteen digits, which float64 cannot tell from its neighbours."""


@pytest.mark.parametrize("dtype", ["int64", "uint64", "Int64", "object", "str"])
def test_long_codes_stay_apart(dtype: Any) -> None:
    found = read(pd.Series([LONG + row % 50 for row in range(100)]).astype(dtype))
    assert isinstance(found, Numbers)
    assert found.texts().distinct == tuple(str(LONG + code) for code in range(50))
    assert found.distinct == 50
    assert found.take(np.array([1, 2, 51])).texts().distinct == (str(LONG + 1), str(LONG + 2))


def test_codes_are_spelled_the_same_whether_or_not_a_longer_one_stands_beside_them() -> None:
    sixteen = 1_000_000_000_000_001
    assert read(pd.Series([sixteen])).texts().distinct == (str(sixteen),)
    assert read(pd.Series([sixteen, LONG])).texts().distinct == (str(sixteen), str(LONG))


def test_a_long_code_can_be_positive() -> None:
    found = read(pd.Series([LONG, LONG + 1, LONG + 2]))
    for rule in (str(LONG + 1), f"== {LONG + 1}"):
        assert parse(rule).holds(found, "code").tolist() == [0, 1, 0]
    assert parse(f"!= {LONG + 1}").holds(found, "code").tolist() == [1, 0, 1]


def test_long_codes_that_lost_their_digits_are_refused() -> None:
    """One empty cell, and pandas reads such a column as decimals."""
    with pytest.raises(DataError, match="column 'code': whole numbers of more than 15 digits") as caught:
        read(pd.Series([LONG, None, LONG + 1], dtype="float64", name="code")).texts()
    assert "12345" not in str(caught.value)


def test_a_stand_in_for_missing_beside_long_codes() -> None:
    found = read(pd.Series([LONG, -9, LONG + 1]), ["-9"])
    assert found.texts().codes.tolist() == [0, -1, 1]
