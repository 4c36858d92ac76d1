"""A row is known again by its cells, whatever the table around it looks like."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.learn.data.prints import prints_of
from medfl.learn.data.sheet import Part, Sheet
from medfl.testing.federation import table

CELLS = st.sampled_from([0, 1, 1.5, -0.0, "a", "b", "1", "1.50", "", None, np.nan, True])


def test_no_two_rows_of_a_table_have_one_print() -> None:
    frame = table(5000, 0)
    assert len(set(prints_of(frame).tolist())) == 5000


def test_prints_that_were_kept_stay_known() -> None:
    frame = pd.DataFrame({"age": [61, 70], "sex": ["f", None]})
    assert prints_of(frame).tolist() == [12865600722169214431, 18308189992123602614]


def test_neither_order_nor_writing_counts() -> None:
    frame = pd.DataFrame({"age": [61, 70, 61], "sex": ["f", "m", None]})
    shuffled = frame.iloc[[2, 0, 1]][["sex", "age"]]
    written = pd.DataFrame({"age": ["61.0", "70", " 61"], "sex": ["f ", "m", ""]})
    assert prints_of(shuffled).tolist() == prints_of(frame)[[2, 0, 1]].tolist()
    assert prints_of(written).tolist() == prints_of(frame).tolist()
    assert prints_of(frame.astype({"age": float})).tolist() == prints_of(frame).tolist()


@pytest.mark.parametrize("change", [{"age": ["62", "70"]}, {"sex": ["m", "m"]}, {"name": ["Roe", "Doe"]}])
def test_another_cell_or_column_makes_another_row(change: dict[str, list[str]]) -> None:
    frame = pd.DataFrame({"age": [61, 70], "sex": ["f", "m"]})
    assert prints_of(frame.assign(**change))[0] != prints_of(frame)[0]


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=30))
def test_alike_rows_are_numbered_through(rows: list[tuple[object, object]]) -> None:
    frame = pd.DataFrame(rows, columns=["a", "b"], dtype=object)
    prints = prints_of(frame)
    assert len(set(prints.tolist())) == len(rows)
    more = prints_of(pd.concat([frame, frame], ignore_index=True))
    assert set(prints.tolist()) <= set(more.tolist()), "what is added takes nobody's number"
    assert len(set(more.tolist())) == 2 * len(rows)


def test_cells_of_any_kind() -> None:
    frame = pd.DataFrame(
        {
            "a": [[1, 2], {"b": 1}, b"c"],
            "when": pd.Series([pd.Timestamp("2020-01-01"), None, pd.Timestamp("2021-01-01")]),
        }
    )
    assert len(set(prints_of(frame).tolist())) == 3
    assert prints_of(frame.head(0)).tolist() == []


def test_a_part_has_the_prints_of_its_rows() -> None:
    whole = Sheet(table(30, 1))
    assert Part(whole, np.array([3, 7])).prints().tolist() == whole.prints()[[3, 7]].tolist()
    assert whole.showing(["age"]).prints().tolist() == whole.prints().tolist(), "a row is all its cells, seen or not"
