"""A table that a study translates reads as one that was rewritten by hand; what it lacks is said, without a value."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.errors import DataError
from medfl.learn.data.cells import Cells, Numbers, Texts
from medfl.learn.data.schema import infer
from medfl.learn.data.sheet import Part, Sheet
from medfl.learn.data.translated import Translated, translated
from medfl.spec.data import Data
from medfl.spec.harmonising import Translation

NUMBERS = st.lists(st.floats(-1e6, 1e6, width=32) | st.none(), min_size=1, max_size=20)
SCALES = st.floats(-1e3, 1e3).filter(lambda one: abs(one) > 1e-3)
WORDS = st.sampled_from(["M", "F", "1", "2", "x", " y ", "", "NA", "true"])


def one(**said: object) -> Translation:
    return Translation.model_validate(said)


def read(there: pd.DataFrame, said: Translation, *, missing: tuple[str, ...] = ()) -> Cells:
    return Translated(Sheet(there), {"here": said}).cells("here", missing)


def same(first: Cells, second: Cells) -> bool:
    if isinstance(first, Numbers) and isinstance(second, Numbers):
        return np.array_equal(first.values, second.values, equal_nan=True)
    if isinstance(first, Texts) and isinstance(second, Texts):
        return first.distinct == second.distinct and np.array_equal(first.codes, second.codes)
    return False


@given(NUMBERS, SCALES, st.floats(-1e3, 1e3))
def test_numbers_are_those_of_a_table_rewritten_by_hand(values: list[float | None], by: float, plus: float) -> None:
    there = pd.DataFrame({"there": pd.Series(values, dtype=float)})
    hand = pd.DataFrame({"here": there["there"] * by + plus})
    found = read(there, one(called="there", factor=by, offset=plus))
    assert same(found, Sheet(hand).cells("here"))


@given(st.lists(WORDS, min_size=1, max_size=20), st.dictionaries(WORDS, WORDS, min_size=1))
def test_codes_are_those_of_a_table_rewritten_by_hand(texts: list[str], codes: dict[str, str]) -> None:
    there = pd.DataFrame({"there": pd.Series(texts, dtype=object)})
    spelled = {key.strip().replace("true", "True"): text for key, text in codes.items() if key not in ("", "NA")}
    hand = [spelled.get(text.strip().replace("true", "True"), text) for text in texts]
    found = read(there, one(called="there", codes=codes))
    assert same(found, Sheet(pd.DataFrame({"here": pd.Series(hand, dtype=object)})).cells("here"))


@given(NUMBERS, SCALES, st.floats(-1e3, 1e3))
def test_a_conversion_and_back_is_nothing(values: list[float | None], by: float, plus: float) -> None:
    there = Sheet(pd.DataFrame({"there": pd.Series(values, dtype=float)}))
    forth = Translated(there, {"here": one(called="there", factor=by, offset=plus)})
    back = Translated(forth, {"again": one(called="here", factor=1 / by, offset=-plus / by)})
    found, expected = back.cells("again"), there.cells("there")
    assert isinstance(found, Numbers)
    assert isinstance(expected, Numbers)
    assert np.allclose(found.values, expected.values, rtol=1e-6, atol=1e-2, equal_nan=True)


@given(st.permutations(["a", "b", "c"]))
def test_codes_that_only_rename_lose_nothing(new: list[str]) -> None:
    texts = ["1", "2", "3", "3", "1"]
    found = read(pd.DataFrame({"here": texts}), one(codes=dict(zip("123", new, strict=True))))
    assert isinstance(found, Texts)
    assert [found.distinct[code] for code in found.codes] == [new[int(text) - 1] for text in texts]


def test_names_change_where_they_stand_and_what_they_hide_is_gone() -> None:
    there = Sheet(pd.DataFrame({"SEX": ["M"], "age": [1.0], "sex": ["not this"]}))
    sheet = Translated(there, {"sex": one(called="SEX")})
    assert sheet.names == ("sex", "age")
    assert sheet.texts("sex").distinct == ("M",)
    assert sheet.raw("sex").tolist() == ["M"]


def test_two_columns_may_change_places() -> None:
    there = Sheet(pd.DataFrame({"low": [1.0], "high": [2.0]}))
    sheet = Translated(there, {"low": one(called="high"), "high": one(called="low")})
    assert sheet.names == ("high", "low")
    assert sheet.raw("low").tolist() == [2.0]


def test_rows_of_a_whole_are_translated_too_and_told_apart_as_before() -> None:
    whole = Sheet(pd.DataFrame({"GLU": [5.0, 6.0, 7.0]}))
    part = Part(whole, np.array([0, 2]))
    sheet = Translated(part, {"glucose": one(called="GLU", factor=18.0)})
    found = sheet.cells("glucose")
    assert isinstance(found, Numbers)
    assert found.values.tolist() == [90.0, 126.0]
    assert len(sheet) == 2
    assert (sheet.prints() == part.prints()).all()


def test_missing_values_are_spelled_as_in_the_table() -> None:
    there = pd.DataFrame({"here": [1.0, -9.0]})
    found = read(there, one(factor=10.0), missing=("-9",))
    assert isinstance(found, Numbers)
    assert found.values[0] == 10.0
    assert np.isnan(found.values[1])


def test_an_empty_meaning_is_a_missing_value() -> None:
    found = read(pd.DataFrame({"here": ["yes", "unknown", "no"]}), one(codes={"unknown": ""}))
    assert isinstance(found, Texts)
    assert found.codes.tolist() == [1, -1, 0]


def test_texts_that_become_numbers_are_numbers() -> None:
    found = read(pd.DataFrame({"here": ["no", "yes"]}), one(codes={"no": "0", "yes": "1"}))
    assert isinstance(found, Numbers)
    assert found.values.tolist() == [0.0, 1.0]


def test_a_text_among_numbers_is_counted_and_not_quoted() -> None:
    there = Sheet(pd.DataFrame({"here": ["5.0", "6.0", "smith"]}))
    with pytest.raises(DataError) as error:
        infer(Translated(there, {"here": one(factor=2.0)}), Data(target="sick", features=("here",)))
    assert "1 of 3 values are not numbers" in str(error.value)
    assert "smith" not in str(error.value)


def test_a_number_that_becomes_too_large_is_told_as_any_other() -> None:
    there = Sheet(pd.DataFrame({"here": [1e30, 1e-290]}))
    with pytest.raises(DataError, match="infinite or too large: 1 of 2"):
        infer(Translated(there, {"here": one(factor=1e300)}), Data(target="sick", features=("here",)))


def test_what_is_not_there_is_named_with_what_was_perhaps_meant() -> None:
    with pytest.raises(DataError) as error:
        translated(Sheet(pd.DataFrame({"GLUC": [1.0]})), {"glucose": one(called="GLU"), "age": one(factor=2.0)})
    assert "no column 'GLU', from which 'glucose' is to be read" in str(error.value)
    assert "did you mean 'GLUC'?" in str(error.value)
    assert "no column 'age'" in str(error.value)


def test_without_translations_the_sheet_is_the_same() -> None:
    sheet = Sheet(pd.DataFrame({"a": [1]}))
    assert translated(sheet, {}) is sheet
