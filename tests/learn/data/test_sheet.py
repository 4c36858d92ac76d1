"""A sheet reads a column once, and a part of it says what its rows alone would say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medfl.learn.data import cells
from medfl.learn.data.cells import Cells, Numbers, Texts, read
from medfl.learn.data.clean import clean
from medfl.learn.data.harmonise import harmonise
from medfl.learn.data.schema import infer
from medfl.learn.data.sheet import Part, Sheet, sheet_of
from medfl.spec.data import Data
from medfl.spec.preprocess import Preprocess

CELLS = st.sampled_from(["1", "2.0", " 2", "-9", "007", "12345678901234567890", "a", "b ", "?", "", "NA", "true", None])
COLUMNS = st.one_of(
    st.lists(CELLS, min_size=1, max_size=12).map(lambda values: pd.Series(values, dtype=object)),
    st.lists(st.sampled_from([1.0, 2.0, 2.5, -9.0, np.nan]), min_size=1, max_size=12).map(pd.Series),
    st.lists(st.integers(-9, 3), min_size=1, max_size=12).map(pd.Series),
    st.lists(st.booleans(), min_size=1, max_size=12).map(pd.Series),
)


def same(one: Cells, other: Cells) -> bool:
    if isinstance(one, Numbers) and isinstance(other, Numbers):
        return np.array_equal(one.values, other.values, equal_nan=True)
    assert isinstance(one, Texts) and isinstance(other, Texts)
    return one.distinct == other.distinct and np.array_equal(one.codes, other.codes)


@settings(deadline=None)
@given(column=COLUMNS, data=st.data())
def test_a_part_says_what_its_rows_alone_would_say(column: pd.Series[Any], data: st.DataObject) -> None:
    chosen = data.draw(st.sets(st.integers(0, len(column) - 1)).map(sorted))
    rows = np.array(chosen, dtype=np.int64)
    part, alone = Part(Sheet(pd.DataFrame({"x": column})), rows), column.iloc[rows].rename("x")

    assert len(part) == len(rows)
    assert pd.Series(part.raw("x"), dtype=alone.dtype).equals(alone.reset_index(drop=True))
    for missing in ((), ("?", "-9")):
        assert same(part.cells("x", missing), read(alone, missing))
        assert same(part.texts("x", missing), read(alone, missing).texts())


def test_columns_are_read_once_for_all_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[object] = []

    def counted(series: pd.Series[Any], missing: tuple[str, ...] = ()) -> Cells:
        names.append(series.name)
        return read(series, missing)

    monkeypatch.setattr(cells, "read", counted)
    frame = pd.DataFrame({"age": [40.0, 50.0, np.nan, 61.0] * 5, "sex": ["f", "m"] * 10, "sick": [0, 1, 1, 0] * 5})
    whole, data = Sheet(frame), Data(target="sick")
    parts = {"one": Part(whole, np.arange(12)), "two": Part(whole, np.arange(12, 20))}

    agreement = harmonise({site: infer(part, data) for site, part in parts.items()}, data, model_kind="mlp")
    for part in parts.values():
        clean(part, agreement, data=data, preprocess=Preprocess(impute="mean"))

    assert sorted(map(str, names)) == ["age", "sex", "sick"]
    assert all(
        part.cells("age") is part.cells("age") and part.texts("sex") is part.texts("sex") for part in parts.values()
    )


def test_a_hidden_column_is_hidden_in_that_sheet_only() -> None:
    sheet = sheet_of(pd.DataFrame({"id": [7, 8], "age": [40, 50]}))

    assert sheet.without("id").names == ("age",)
    assert sheet.without(None).names == sheet.names == ("id", "age")
    assert sheet_of(sheet) is sheet
    assert Part(sheet, np.array([1])).raw("id").tolist() == [8]
