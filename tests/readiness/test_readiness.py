"""What does not fit between sites is found, named, and repaired by what is suggested; what fits is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.readiness.check import gaps
from medfl.readiness.gap import Gap
from medfl.readiness.tables import Seen, SeenTable, told
from medfl.readiness.units import QUANTITIES, between, by_range
from medfl.readiness.words import meant_codes, meant_name
from medfl.spec.data import Data
from medfl.spec.harmonising import Translation


def numbers(name: str, low: float, high: float, **more: Any) -> Seen:
    return Seen(name=name, kind="numeric", minimum=low, maximum=high, **{"missing": 0, **more})


def codes(name: str, *categories: str, **more: Any) -> Seen:
    return Seen(name=name, kind="categorical", categories=categories, **{"missing": 0, **more})


def table(*columns: Seen) -> SeenTable:
    return SeenTable(columns={one.name: one for one in columns}, rows=100)


USUAL = (
    numbers("age", 18, 90),
    numbers("glucose", 60, 310),
    codes("sex", "female", "male"),
    codes("sick", "no", "yes"),
)
ASKED = Data(target="sick", features=("age", "glucose", "sex"))


def found(*other: Seen, data: Data = ASKED) -> list[Gap]:
    changed = {one.name: one for one in USUAL} | {one.name: one for one in other}
    return list(gaps(data, {"east": table(*USUAL), "north": table(*USUAL), "west": table(*changed.values())}))


def without(name: str, *more: Seen) -> list[Gap]:
    west = table(*(one for one in USUAL if one.name != name), *more)
    return list(gaps(ASKED, {"east": table(*USUAL), "north": table(*USUAL), "west": west}))


def test_tables_that_fit_have_no_gaps() -> None:
    assert found() == []
    assert found(numbers("age", 0, 104), numbers("glucose", 70, 126)) == []
    assert gaps(ASKED, {}) == ()
    assert gaps(ASKED, {"east": table(*USUAL)}) == ()


def test_one_code_in_several_spellings_is_told_and_becomes_one() -> None:
    many = codes("sick", "No", "YES", "no", "yes ", "yes", counts={"no": 40, "No": 10, "yes": 30})
    (gap,) = found(many)
    assert (gap.site, gap.column, gap.kind, gap.blocks) == ("west", "sick", "categories", False)
    assert gap.repair is not None
    assert gap.repair.codes == {"No": "no", "YES": "yes", "yes ": "yes"}
    again = Data.model_validate(
        {"target": "sick", "features": ["age", "glucose", "sex"],
         "harmonise": {"west": {"columns": {"sick": gap.repair.keys()}}}}
    )  # fmt: skip
    assert found(many, data=again) == []


def test_what_every_site_spells_in_several_ways_becomes_one_at_all() -> None:
    many = codes("sick", "JA", "Ja", "nein")
    site = table(numbers("age", 18, 90), many)
    (first, second) = gaps(Data(target="sick"), {"east": site, "west": site})
    assert first.repair is not None and second.repair is not None
    assert first.repair.codes == second.repair.codes == {"JA": "Ja"}
    assert "which may be the same" in first.says


@pytest.mark.parametrize("there", ["SEX", "gender", "Sex ", "sexe"])
def test_a_column_under_another_name_is_found(there: str) -> None:
    (gap,) = without("sex", codes(there, "female", "male"))
    assert (gap.site, gap.column, gap.kind, gap.blocks) == ("west", "sex", "missing", True)
    assert gap.repair is not None
    assert gap.repair.keys() == {"called": there}
    assert f'sex = {{ called = "{there}" }}' in str(gap.complaint)


def test_two_sites_that_call_columns_differently_are_repaired_once() -> None:
    """At one of them, and not at both, which would swap the names for ever."""
    data = Data(target="sick")
    east = table(*USUAL)
    west = table(
        numbers("age", 18, 90),
        numbers("GLU_mmol", 3.3, 17.2),
        codes("gender", "female", "male"),
        codes("sick", "no", "yes"),
    )
    asked = [gap for gap in gaps(data, {"east": east, "west": west}) if gap.repair is not None]
    assert [(gap.site, gap.column) for gap in asked] == [("west", "glucose"), ("west", "sex")]
    read = {gap.column: Translation.model_validate(gap.repair.keys()) for gap in asked if gap.repair is not None}
    repaired = west.read_as(read)
    assert gaps(data, {"east": east, "west": repaired}) == ()


def test_another_column_is_converted_from_the_start() -> None:
    (gap,) = without("glucose", numbers("GLU_mmol", 3.3, 17.2))
    assert gap.repair is not None
    assert gap.repair.keys(Translation(called="other", factor=18.016))["factor"] == 18.016


def test_what_else_a_renamed_column_needs_comes_with_its_name() -> None:
    (gap,) = without("glucose", numbers("GLU_mmol", 3.3, 17.2))
    assert gap.repair is not None
    assert gap.repair.keys() == {"called": "GLU_mmol", "factor": 18.016, "unit": "mmol/L"}
    (gap,) = without("sex", codes("gender", "F", "M"))
    assert gap.repair is not None
    assert gap.repair.keys() == {"called": "gender", "codes": {"F": "female", "M": "male"}}


def test_a_column_that_nothing_comes_near_is_missing_without_a_repair() -> None:
    (gap,) = without("sex", codes("ward", "a", "b"))
    assert gap.repair is None
    assert "its columns are 'age', 'glucose', 'sick' and 'ward'" in gap.remedy


def test_a_slip_of_the_study_is_no_difference_between_sites() -> None:
    slipped = Data(target="sick", features=("age", "glucos", "sex"))
    every = gaps(slipped, {"east": table(*USUAL), "west": table(*USUAL)})
    assert [(gap.site, gap.repair, gap.remedy) for gap in every] == [
        ("east", None, "did you mean 'glucose'?"),
        ("west", None, "did you mean 'glucose'?"),
    ]


def test_another_range_is_told_with_the_factor_that_explains_it() -> None:
    (gap,) = found(numbers("glucose", 3.1, 17.9))
    assert (gap.kind, gap.blocks, gap.found, gap.expected) == ("range", False, "3.1\u201317.9", "60\u2013310")
    assert "as mmol/L is to mg/dL" in gap.says
    assert gap.repair is not None
    assert gap.repair.keys() == {"factor": 18.016, "unit": "mmol/L"}


def test_a_range_that_no_factor_explains_is_told_where_it_is_far_off() -> None:
    (gap,) = found(numbers("age", 18000, 90000))
    assert gap.kind == "range"
    assert found(numbers("age", 40, 300)) == [], "an outlier is no other unit"


def test_what_may_be_negative_has_no_unit_to_guess() -> None:
    signed = (*USUAL, numbers("change", -3, 3.2))
    data = ASKED.model_copy(update={"features": ("age", "change")})
    assert gaps(data, {"east": table(*signed), "west": table(*USUAL, numbers("change", -3, 4))}) == ()


def test_another_unit_is_told_even_where_ranges_are_not() -> None:
    there = Seen(name="glucose", kind="numeric", unit="mmol/l", missing=0)
    data = ASKED.model_copy(update={"units": {"glucose": "mg/dL"}})
    (gap,) = found(there, data=data)
    assert (gap.kind, gap.blocks, gap.expected, gap.found) == ("unit", True, "mg/dL", "mmol/l")
    assert gap.repair is not None
    assert gap.repair.keys()["factor"] == 18.016
    (gap,) = found(Seen(name="glucose", kind="numeric", unit="furlongs"), data=data)
    assert gap.repair is None
    assert "by which factor" in gap.remedy


def test_other_codes_are_told_with_what_they_stand_for() -> None:
    (gap,) = found(codes("sex", "F", "M"))
    assert (gap.kind, gap.blocks) == ("categories", False)
    assert gap.repair is not None
    assert gap.repair.codes == {"F": "female", "M": "male"}
    (gap,) = found(numbers("sick", 0, 1, categories=("0", "1")))
    assert (gap.kind, gap.blocks) == ("type", True)
    assert gap.repair is not None
    assert gap.repair.codes == {"0": "no", "1": "yes"}
    (gap,) = found(numbers("sex", 1, 2, categories=("1", "2")))
    assert gap.repair is not None
    assert gap.repair.codes == {"1": "male", "2": "female"}


def test_which_sex_is_nought_is_never_guessed() -> None:
    (gap,) = found(numbers("sex", 0, 1, categories=("0", "1")))
    assert (gap.kind, gap.repair) == ("type", None)


def test_a_data_dictionary_is_believed_before_any_guess() -> None:
    (gap,) = found(numbers("sex", 1, 2, categories=("1", "2"), meanings={"1": "female", "2": "male"}))
    assert gap.repair is not None
    assert gap.repair.codes == {"1": "female", "2": "male"}


def test_one_code_among_the_others_is_told_too() -> None:
    (gap,) = found(codes("sex", "F", "male"))
    assert gap.repair is not None
    assert gap.repair.codes == {"F": "female"}


def test_a_rare_category_more_is_nothing_to_repair() -> None:
    assert found(codes("sex", "female", "male", "other")) == []


def test_missing_values_are_told_where_they_are_many() -> None:
    (gap,) = found(numbers("age", 18, 90, missing=60))
    assert (gap.kind, gap.found, gap.blocks) == ("missingness", "60%", False)
    assert [gap.kind for gap in found(numbers("age", 18, 90, missing=25))] == ["missingness"]
    assert found(numbers("age", 18, 90, missing=10)) == []


def test_a_column_of_few_sites_hinders_a_study_of_all_columns() -> None:
    every = Data(target="sick")
    (gap,) = found(numbers("ward", 1, 9), data=every)
    assert (gap.kind, gap.column, gap.blocks) == ("extra", "ward", True)
    assert found(numbers("ward", 1, 9)) == [], "a study that names its columns does not mind"


def test_a_column_that_cannot_be_used_says_why() -> None:
    (gap,) = found(Seen(name="age", wrong="90 different texts in 100 values"))
    assert (gap.kind, gap.blocks) == ("unusable", True)
    assert "90 different texts" in gap.says


@pytest.mark.parametrize(
    "west",
    [
        (numbers("AGE", 18, 90), numbers("GLU", 3.3, 17), codes("gender", "M", "F"), codes("sick", "no", "yes")),
        (numbers("age", 216, 1080), numbers("glucose", 60, 310), codes("sex", "f", "m"), codes("sick", "N", "Y")),
        (
            numbers("age_years", 18, 90),
            numbers("glucose", 0.6, 3.1),
            codes("sexe", "F", "H"),
            codes("sick", "non", "oui"),
        ),
    ],
)
def test_what_is_suggested_repairs(west: tuple[Seen, ...]) -> None:
    """Writing all repairs down leaves nothing to repair: the check and the translation mean the same."""
    tables = {"east": table(*USUAL), "north": table(*USUAL), "west": table(*west)}
    data, rounds = ASKED, 0
    while every := [gap.repair for gap in gaps(data, tables) if gap.repair is not None]:
        rounds += 1
        assert rounds < 4, "it comes to an end"
        before = data.translations("west")
        columns = {one.column: one.keys(before.get(one.column)) for one in every}
        kept = {name: one.model_dump(exclude_none=True) for name, one in before.items()}
        harmonise = {"west": {"columns": {**kept, **columns}}}
        data = Data.model_validate({"target": "sick", "features": data.features, "harmonise": harmonise})
    assert rounds
    assert gaps(data, tables) == ()


@given(st.sampled_from(QUANTITIES), st.data())
def test_conversions_go_there_and_back(quantity: Any, data: st.DataObject) -> None:
    name = quantity.words[0] if quantity.words else "x"
    one, other = data.draw(st.permutations(list(quantity.units)))[:2]
    forth, back = between(name, one, other), between(name, other, one)
    assert forth is not None
    assert back is not None
    value = data.draw(st.floats(0.1, 1000))
    again = (value * forth.factor + forth.offset) * back.factor + back.offset
    assert again == pytest.approx(value, rel=1e-4, abs=1e-2)


def test_units_that_are_known_by_their_names() -> None:
    assert between("blood_glucose", "mmol/L", "mg/dl") is not None
    assert between("glucose", "mmol/L", "mg/dL") != between("cholesterol", "mmol/L", "mg/dL")
    assert between("unheard", "mmol/L", "mg/dL") is None, "a factor between these depends on the substance"
    assert between("unheard", "lb", "kg") is not None


@given(st.floats(1, 1e3), st.floats(1, 1e3))
def test_the_same_range_is_never_told_apart(low: float, width: float) -> None:
    ends = (low, low + width)
    for name in ("glucose", "age", "unheard"):
        assert by_range(name, ends, ends) == (False, None)


def test_names_and_codes_that_mean_nothing_are_left() -> None:
    assert meant_name("sex", ["ward", "bed"]) == ""
    assert meant_codes("ward", ["a", "b"], ["surgery", "geriatrics"], {}) == {}
    assert meant_codes("sex", ["x"], ["female", "male"], {}) == {}
    assert meant_name("größe", ["Größe"]) == "Größe"


def test_what_a_site_tells_is_read_as_its_own_table_is() -> None:
    entry = {
        "target": "sick",
        "rows": 90,
        "columns": [
            {"name": "age", "kind": "numeric", "unit": "years", "minimum": 20, "maximum": 80},
            {"name": "sex", "kind": "numeric", "minimum": 1, "maximum": 2, "integral": True, "codes": {"1": "male"}},
        ],
        "other_columns": ["ward"],
    }
    seen = told(entry)
    assert seen is not None
    assert seen.every == ("age", "sex", "ward", "sick")
    assert seen.columns["sex"].categories == ("1",)
    assert told({"withheld": "no policy"}) is None
    again = seen.read_as({"gender": Translation(called="sex", codes={"1": "male", "2": "female"})})
    assert again.columns["gender"].kind == "categorical"
    assert "sex" not in again.every


# -- classes of the outcome


def sick(counts: Mapping[str, int | None], **more: Any) -> Seen:
    known = {label: rows for label, rows in counts.items() if rows is not None}
    return codes("sick", *counts, counts=known, **more)


def shares(parts: dict[str, int], of: int = 10) -> SeenTable:
    named = [{"name": one.name, "kind": one.kind, "categories": list(one.categories)} for one in USUAL]
    balance = {"parts": parts, "of": of}
    seen = told({"target": "sick", "rows": 400, "columns": named, "other_columns": [], "balance": balance})
    assert seen is not None
    return seen


def test_a_class_that_a_site_lacks_is_said_and_a_single_one_hinders_unless_it_may_be() -> None:
    (gap,) = found(sick({"no": 100}))
    assert (gap.site, gap.kind, gap.blocks) == ("west", "classes", True)
    assert gap.says == "west has no row with sick = 'yes', which there is at east and north"
    assert 'data.one_class = "keep"' in gap.remedy
    (gap,) = found(sick({"no": 100}), data=ASKED.model_copy(update={"one_class": "keep"}))
    assert not gap.blocks
    three = {"no": 30, "yes": 30, "perhaps": 30}
    kinds = {gap.site: (gap.kind, gap.blocks) for gap in found(sick(three))}
    assert kinds == {"east": ("classes", False), "north": ("classes", False)}


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (None, "west has fewer than 5 rows with sick = 'yes'"),
        (19, "west has only 19 rows with sick = 'yes'"),
        (20, ""),
    ],
)
def test_few_rows_of_a_class_are_a_doubt(rows: int | None, says: str) -> None:
    told_of = found(sick({"no": 80, "yes": rows}))
    assert [gap.says for gap in told_of] == [says] * bool(says)
    assert not any(gap.blocks for gap in told_of)


def test_of_a_comparison_nothing_is_said_and_of_a_positive_value_what_is_known_of_it() -> None:
    few = sick({"no": 7, "yes": 80, "perhaps": 9})
    assert found(few, data=ASKED.model_copy(update={"positive": "> 0"})) == []
    assert found(few, data=ASKED.model_copy(update={"positive": "yes"})) == []
    assert [gap.kind for gap in found(few, data=ASKED.model_copy(update={"positive": "no"}))] == ["few"]


def test_a_class_that_is_told_to_be_rarer_than_elsewhere_is_a_doubt() -> None:
    usual, rare = shares({"no": 7, "yes": 3}), shares({"no": 10, "yes": 0})
    (gap,) = gaps(ASKED, {"east": usual, "north": usual, "west": rare})
    assert (gap.site, gap.kind, gap.blocks) == ("west", "few", False)
    assert gap.says.startswith("west has under 10% of the rows with sick = 'yes'")
    assert gaps(ASKED, {"east": rare, "west": rare}) == (), "what is rare everywhere is how it is"
    assert gaps(ASKED, {"east": shares({"no": 9, "yes": 1}), "west": rare}) == ()


def test_shares_are_read_under_the_studys_codes() -> None:
    there = shares({"no": 10, "yes": 0})
    assert [(one.label, one.how, one.figure) for one in there.balance] == [("no", "over", 0.9), ("yes", "under", 0.1)]
    named = Translation(called="sick", codes={"no": "0", "yes": "1"})
    read = there.read_as({"ill": named})
    assert [one.label for one in read.shares("ill")] == ["0", "1"]
    assert there.read_as({"ill": named.model_copy(update={"codes": {"no": "1", "yes": "1"}})}).shares("ill") == ()
    assert there.shares("sex") == ()


def test_rows_that_are_counted_are_shares_too() -> None:
    here = SeenTable(columns={"sick": sick({"no": 60, "yes": None}, missing=36)}, rows=100)
    assert [(one.label, one.how, round(one.figure, 3)) for one in here.shares("sick")] == [
        ("no", "exact", 0.938),
        ("yes", "under", 0.078),
    ]
