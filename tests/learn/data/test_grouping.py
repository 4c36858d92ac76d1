from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from medfl.errors import DataError
from medfl.learn.data.grouping import UNKNOWN, bands_of, groups, ordered, unknown_columns
from medfl.learn.data.schema import Schema
from medfl.learn.data.sheet import Sheet
from medfl.spec.evaluation import Evaluation, Grouping

FRAME = pd.DataFrame(
    {
        "sex": ["f", "m", "", "m", "f"],
        "code": [1, 2, 1, 2, 10],
        "age": [39.9, 40.0, 59.9, 60.0, None],
        "word": ["1", "two", "3", "4", "5"],
        "free": [f"text {row}" for row in range(5)],
    }
)
ALL = np.arange(5)


def named(column: str, cuts: tuple[float, ...] | None = None, rows: np.ndarray = ALL) -> list[str]:
    found = groups(Sheet(FRAME), Grouping(column=column, cuts=cuts), rows)
    return [found.names[code] for code in found.codes]


def test_each_value_is_a_group_and_so_are_those_without_one() -> None:
    assert named("sex") == ["f", "m", UNKNOWN, "m", "f"]
    assert named("code") == ["1", "2", "1", "2", "10"]


def test_a_band_begins_at_its_cut() -> None:
    assert named("age", (40, 60)) == ["< 40", "40 to < 60", "40 to < 60", "≥ 60", UNKNOWN]
    assert bands_of((40,)) == ("< 40", "≥ 40")
    assert bands_of((0.5, 12.25)) == ("< 0.5", "0.5 to < 12.25", "≥ 12.25")


def test_only_the_rows_that_are_asked_for() -> None:
    assert named("sex", rows=np.array([3, 0])) == ["m", "f"]
    assert named("age", (40,), np.array([4, 0])) == [UNKNOWN, "< 40"]


def test_groups_of_several_sites_come_in_order() -> None:
    bands = Grouping(column="age", cuts=(40, 60))
    assert ordered(bands, ["≥ 60", UNKNOWN, "< 40"]) == ("< 40", "≥ 60", UNKNOWN)
    assert ordered(Grouping(column="code"), ["10", "2", UNKNOWN, "2"]) == ("2", "10", UNKNOWN)


def test_text_has_no_bands() -> None:
    with pytest.raises(DataError, match="1 of 5 values are not numbers") as caught:
        named("word", (2,))
    assert "two" not in str(caught.value)


def test_too_many_values_are_no_groups() -> None:
    frame = pd.DataFrame({"id": [f"p{row}" for row in range(80)]})
    with pytest.raises(DataError, match="80 different values are too many") as caught:
        groups(Sheet(frame), Grouping(column="id"), np.arange(80))
    assert "p1" not in str(caught.value)
    assert "cuts" in str(caught.value)


def test_a_column_that_a_site_lacks_is_named() -> None:
    schemas = {"east": Schema((), 5, ("sex", "age")), "west": Schema((), 5, ("age",))}
    asked = Evaluation.model_validate({"subgroups": {"by sex": "sex", "x": "aeg"}})
    lacking, unknown = unknown_columns(schemas, asked)
    assert "west lacks the column 'sex'" in lacking.what
    assert "there is no column 'aeg'" in unknown.what
    assert "age" in unknown.remedy
