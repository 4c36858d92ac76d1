"""Sums in the ring are the sums of the numbers, to a millionth of the largest, or they are asked for again."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medfl.errors import DataError, DivergedError, SecureError
from medfl.learn.statistic import Array
from medfl.privacy.secure import ring

Values = dict[str, Array]
LONG = ring.SHORT + 1
SITES = st.integers(2, 1000)


def added(values: list[Values], *, sites: int, bits: dict[str, int]) -> Values:
    """Return the sum over the sites, through the ring."""
    total = np.zeros(ring.words_of(ring.layout_of(values[0])), "<u8")
    for each in values:
        total += ring.encoded(each, sites=sites, bits=bits)
    return ring.decoded(total, ring.layout_of(values[0]), sites=sites, bits=bits)


def agreed(values: list[Values], *, sites: int, bits: dict[str, int]) -> tuple[Values, int, set[str]]:
    """Return the sum after as many attempts as a hub would make, how many, and whose bits were needed."""
    tight: set[str] = set()
    for attempt in range(8):
        needs: dict[str, int] = {}
        for each in values:
            for name, more in ring.needed_bits(each, bits=bits).items():
                needs[name] = max(more, needs.get(name, more))
        if needs:
            tight |= needs.keys()
            bits = bits | needs
            continue
        sums = added(values, sites=sites, bits=bits)
        finer = ring.finer_bits(sums, ring.layout_of(values[0]), sites=sites, bits=bits, tight=tight)
        if not finer:
            return sums, attempt, tight
        bits = bits | finer
    raise AssertionError("the bits never fitted")


def exactly(values: list[Values], name: str) -> Array:
    columns = np.stack([each[name].reshape(-1) for each in values]).T
    return np.array([math.fsum(column) for column in columns])


@st.composite
def long_arrays(draw: st.DrawFn) -> tuple[list[Values], int, int]:
    """A few sites' long arrays, as many sites as may be asked for, and the bits of the first attempt."""
    seed, few = draw(st.integers(0, 2**32)), draw(st.integers(1, 5))
    sites = max(few, draw(SITES))
    generator = np.random.default_rng(seed)
    powers = draw(st.lists(st.integers(-126, 120), min_size=few, max_size=few))
    values = [{"w": generator.normal(size=LONG) * 2.0**power} for power in powers]
    if few > 1 and draw(st.booleans()):
        values[1] = {"w": -values[0]["w"]}
    return values, sites, draw(st.integers(-30, 60))


@settings(deadline=None, max_examples=60)
@given(long_arrays())
def test_a_long_sum_is_right_to_a_millionth_or_to_what_float32_is_wrong_by(case: tuple[list[Values], int, int]) -> None:
    values, sites, bits = case
    sums, attempts, tight = agreed(values, sites=sites, bits={"*": bits})
    expected = exactly(values, "w")
    wrong = np.abs(sums["w"] - expected).max()
    largest = np.abs(expected).max()
    sent = max(np.abs(each["w"]).max() for each in values)
    assert wrong <= ring.PRECISION * largest or ("w" in tight and wrong <= 2.0**-40 * sent)
    assert attempts <= 3


WIDE = st.floats(-(2.0**126), 2.0**126, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-38)


@given(st.lists(st.lists(WIDE, min_size=4, max_size=4), min_size=1, max_size=8), SITES)
def test_a_short_sum_is_exact_to_a_millionth_of_each_entry_that_was_added(rows: list[list[float]], sites: int) -> None:
    values = [{"x": np.array(row)} for row in rows]
    sums = added(values, sites=max(sites, len(rows)), bits={"*": 0})["x"]
    for place in range(4):
        true = sum((Fraction(row[place]) for row in rows), Fraction(0))
        smallest = min((abs(row[place]) for row in rows if row[place]), default=0.0)
        # A rounding of the result to double precision, and of each summand to the lowest limb.
        assert abs(Fraction(sums[place]) - true) <= abs(true) * Fraction(2) ** -50 + Fraction(smallest) / 10**6


@given(st.lists(st.lists(st.integers(-(10**9), 10**9), min_size=3, max_size=3), min_size=1, max_size=9), SITES)
def test_counts_are_exact(rows: list[list[int]], sites: int) -> None:
    sums = added([{"n": np.array(row)} for row in rows], sites=max(sites, len(rows)), bits={"*": 0})["n"]
    assert sums.dtype == np.int64
    assert sums.tolist() == [sum(column) for column in zip(*rows, strict=True)]


@given(st.integers(2, 1000), st.integers(0, 2**32))
@settings(deadline=None, max_examples=20)
def test_weights_times_a_million_rows_of_a_thousand_sites(sites: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows = draw.integers(1, 10**6, size=sites)
    one = draw.normal(size=LONG)
    bits = math.ceil(math.log2(rows.max())) + 16
    total = np.zeros(LONG, "<u8")
    for count in rows:
        total += ring.encoded({"w": one * float(count)}, sites=sites, bits={"*": bits})
    layout = ring.layout_of({"w": one})
    sums = ring.decoded(total, layout, sites=sites, bits={"*": bits})
    expected = one * float(rows.sum())
    assert np.abs(sums["w"] - expected).max() <= ring.PRECISION * np.abs(expected).max()
    assert not ring.finer_bits(sums, layout, sites=sites, bits={"*": bits})


def test_the_largest_entries_of_all_sites_stay_in_the_ring() -> None:
    for sites in (2, 3, 30, 1000):
        values = [{"w": np.full(LONG, 2.0**20)}] * sites
        assert (added(values, sites=sites, bits={"*": 20})["w"] == sites * 2.0**20).all()


def test_shapes_names_and_types_come_back() -> None:
    values: Values = {
        "b": np.arange(6.0).reshape(2, 3),
        "a": np.asarray(7),
        "none": np.zeros(0),
        "long": np.ones((LONG, 1)),
    }
    sums = added([values, values], sites=2, bits={"*": 3})
    assert sums.keys() == values.keys()
    for name, array in values.items():
        assert sums[name].dtype == array.dtype
        assert np.array_equal(sums[name], 2 * array)


def test_a_layout_survives_json() -> None:
    layout = ring.layout_of({"x": np.zeros((2, 3)), "n": np.zeros(4, np.int64)})
    assert ring.layout_from_json(ring.layout_to_json(layout)) == layout


@pytest.mark.parametrize(
    "said", [None, "x", [["x", "float32", [1]]], [["x", "float64", [-1]]], [["x", "int64", [True]]], [[1, "int64", []]]]
)
def test_a_layout_that_is_none_is_not_read(said: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        ring.layout_from_json(said)


@pytest.mark.parametrize("size", [3, LONG])
@pytest.mark.parametrize(("bad", "why"), [(np.nan, "NaN"), (np.inf, "NaN"), (-np.inf, "NaN"), (1e39, r"2\^127")])
def test_what_is_not_finite_or_too_large_is_refused(size: int, bad: float, why: str) -> None:
    values = np.zeros(size)
    values[1] = bad
    with pytest.raises(DivergedError, match=why) as caught:
        ring.needed_bits({"update/weights": values}, bits={"*": 127})
    assert "update/weights" in str(caught.value)
    assert "learning rate" in caught.value.complaints[0].remedy


def test_a_count_too_large_for_the_sum_is_refused() -> None:
    with pytest.raises(DataError, match="n: a count is too large"):
        ring.encoded({"n": np.array([2**62 // 10 + 1])}, sites=10, bits={"*": 0})
    with pytest.raises(DataError):
        ring.encoded({"n": np.array([-(2**63)])}, sites=10, bits={"*": 0})


def test_other_types_are_refused() -> None:
    with pytest.raises(SecureError, match=r"mask: an array cannot be summed securely \(found: bool\)"):
        ring.layout_of({"mask": np.zeros(2, bool)})


def test_bits_that_are_needed_tell_an_exponent_and_nothing_else() -> None:
    values = np.zeros(LONG)
    for value, bits in ((8.0, 3), (8.1, 4), (-15.9, 4), (0.3, -1)):
        values[7] = value
        assert ring.needed_bits({"w": values}, bits={"*": bits - 1}) == {"w": bits}
        assert ring.needed_bits({"w": values}, bits={"*": -140, "w": bits}) == {}


def test_a_sum_of_zeros_stands_at_last() -> None:
    sums, attempts, _ = agreed([{"w": np.zeros(LONG)}] * 3, sites=3, bits={"*": 20})
    assert not sums["w"].any()
    assert attempts == 1


def test_sites_that_send_other_things_are_named() -> None:
    first = ring.layout_of({"x": np.zeros(2), "y": np.zeros(1)})
    other = ring.layout_of({"x": np.zeros(3), "y": np.zeros(1)})
    fewer = ring.layout_of({"x": np.zeros(2)})
    with pytest.raises(SecureError, match=r"'x' do not add up \(found: a: float64\[2\] and b: float64\[3\]\)"):
        ring.require_alike(("a", first), ("b", other))
    with pytest.raises(SecureError, match=r"'y' do not add up \(found: a: float64\[1\] and c: nothing\)"):
        ring.require_alike(("a", first), ("c", fewer))
    ring.require_alike(("a", first), ("d", first))
