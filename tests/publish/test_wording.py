from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.publish import wording
from medfl.spec.metrics import METRICS
from medfl.store.comparison import Estimate


def test_numbers_have_three_decimals_and_a_real_minus_sign() -> None:
    assert wording.number(0.93251) == "0.933"
    assert wording.number(-0.0209) == "−0.021"
    assert wording.number(-0.0001) == "0.000"
    assert wording.number(None) == "not defined"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (6.847, "6.847"),
        (10.3219, "10.32"),
        (12345.6, "12\u202f346"),
        (0.01234, "0.01234"),
        (-3.5, "−3.500"),
    ],
)
def test_quantities_with_a_unit_have_four_significant_digits(value: float, text: str) -> None:
    assert wording.number(value, metric="rmse") == text


def test_very_small_and_very_large_quantities_keep_an_exponent() -> None:
    assert wording.significant(1.5e-7) == "1.500e−07"
    assert wording.significant(3.21e9) == "3.210e+09"


def test_an_interval_stands_in_parentheses() -> None:
    assert wording.with_interval(Estimate(0.93, 0.901, 0.958, 5, "t over repeats")) == "0.930 (0.901–0.958)"
    assert wording.with_interval(Estimate(0.93, None, None, 1, "single value")) == "0.930"
    assert wording.with_interval(None) == "not defined"


def test_a_minus_sign_is_not_read_as_a_dash() -> None:
    assert wording.interval(-0.031, 0.004) == "−0.031 to 0.004"


def test_an_interval_ends_where_the_metric_does_but_a_difference_does_not() -> None:
    estimate = Estimate(0.99, 0.96, 1.02, 3, "t over repeats")
    assert wording.with_interval(estimate, metric="auc") == "0.990 (0.960–1.000)"
    assert (
        wording.difference(Estimate(-0.02, -0.03, -0.01, 3, "t over repeats"), metric="auc")
        == "−0.020 (−0.030 to −0.010)"
    )


def test_p_values_are_never_zero() -> None:
    assert wording.p_value(0.0312) == "p = 0.031"
    assert wording.p_value(1e-9) == "p < 0.001"
    assert wording.p_value(None) == ""


def test_counts_are_words_up_to_twelve() -> None:
    assert wording.counted(1, "site") == "one site"
    assert wording.counted(4, "site") == "four sites"
    assert wording.counted(1, "pass", "passes") == "one pass"
    assert wording.counted(1200, "site") == "1\u202f200 sites"


def test_long_lists_are_cut_short_and_say_so() -> None:
    assert wording.listed(["a"]) == "a"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.listed(map(str, range(30)), at_most=3) == "0, 1 and 28 more"
    assert wording.listed([]) == ""


def test_percentages_have_one_decimal_where_they_have_one() -> None:
    assert (wording.percent(0.2), wording.percent(0.0852)) == ("20 %", "8.5 %")


def test_spans_and_sizes_are_in_units_one_expects() -> None:
    assert [wording.duration(span) for span in (0.42, 12.3, 185, 7800)] == ["0.4 s", "12 s", "3 min 05 s", "2 h 10 min"]
    assert [wording.duration(span) for span in (0.0, 0.0234, 0.099, 0.0997)] == [
        "less than 1 ms", "23 ms", "99 ms", "0.1 s",
    ]  # fmt: skip
    assert [wording.size(count) for count in (12, 1234, 9_000_000)] == ["12 bytes", "1.2 kB", "9.0 MB"]


def test_equal_repeats_are_called_so() -> None:
    equal = Estimate(0.981, 0.981 - 1e-15, 0.981 + 1e-15, 5, "t over repeats")
    assert wording.with_interval(equal, metric="auc") == "0.981 (the repeats are equal)"
    assert wording.difference(equal) == "0.981 (the repeats are equal)"
    nearly = Estimate(0.981, 0.98099, 0.98101, 5, "t over repeats")
    assert wording.with_interval(nearly, metric="auc") == "0.981 (0.981–0.981)"
    once = Estimate(1.0, 1.0, 1.0, 1, "bootstrap")
    assert wording.with_interval(once, metric="auc") == "1.000 (1.000–1.000)"


def test_moments_are_in_utc() -> None:
    assert wording.moment("2025-01-02T03:04:05+00:00") == "2 January 2025, 03:04 UTC"
    assert wording.moment(None) == "–"


@given(st.text(min_size=1, max_size=80), st.integers(4, 40))
def test_a_shortened_name_fits_and_keeps_its_ends(name: str, length: int) -> None:
    short = wording.shortened(name, length)
    assert len(short) <= length
    assert short[0] == name[0]
    assert short[-1] == name[-1]


def test_every_metric_has_a_name_in_a_sentence() -> None:
    assert wording.in_sentence("auc") == "AUC"
    assert wording.in_sentence("accuracy") == "accuracy"
    assert wording.in_sentence("r2") == "R²"
    assert all(wording.in_sentence(name) for name in METRICS)
    assert wording.label("of-a-later-version") == "of-a-later-version"
