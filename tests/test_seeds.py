"""Every stream of random numbers has a name, the same numbers for the same name, and nothing in common with others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from medfl.seeds import generator, integer, numbered, plain

text = st.text(st.characters(exclude_categories=["C"]), max_size=6)
names = st.tuples(st.integers(-5, 2**60), st.integers(0, 100), text, text)


def draws(name: tuple[int, int, str, str]) -> list[int]:
    seed, round, site, purpose = name
    return [*generator(seed, round=round, site=site, purpose=purpose).integers(2**63 - 1, size=4)]


def test_the_numbers_are_those_of_every_version() -> None:
    """Golden numbers: a change here makes every stored run impossible to repeat."""
    stream = generator(7, round=3, site="north", purpose="train")
    assert stream.integers(2**32, size=4).tolist() == [1332697021, 3719165202, 1489881797, 4280256818]
    assert stream.random(2).tolist() == [0.15548574516608493, 0.6619769299377749]
    assert stream.permutation(6).tolist() == [5, 1, 4, 2, 3, 0]
    assert generator(7, purpose="init").integers(2**32, size=2).tolist() == [1881721509, 3276586017]
    assert integer(7, site="north", purpose="split") == 655399398
    assert plain(7).integers(2**32, size=2).tolist() == np.random.default_rng(7).integers(2**32, size=2).tolist()
    assert numbered(42).permutation(6).tolist() == [0, 1, 5, 2, 4, 3]


@settings(max_examples=50, deadline=None)
@given(names)
def test_the_same_name_gives_the_same_numbers(name: tuple[int, int, str, str]) -> None:
    assert draws(name) == draws(name)


@settings(max_examples=50, deadline=None)
@given(names, names)
def test_another_name_gives_other_numbers(first: tuple[int, int, str, str], second: tuple[int, int, str, str]) -> None:
    assume(first != second)
    assert draws(first) != draws(second)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 8},
        {"round": 2},
        {"site": "south"},
        {"site": ""},
        {"purpose": "split"},
        {"seed": 71, "round": 1},
        {"site": "northt", "purpose": "rain"},
    ],
    ids=str,
)
def test_streams_are_independent(other: dict[str, object]) -> None:
    """A change of any part of the name gives numbers that are not even correlated."""
    name: dict[str, object] = {"seed": 7, "round": 1, "site": "north", "purpose": "train"}
    first, second = (
        generator(int(str(n["seed"])), round=int(str(n["round"])), site=str(n["site"]), purpose=str(n["purpose"]))
        .standard_normal(20_000)
        for n in (name, name | other)
    )  # fmt: skip
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03


@settings(max_examples=50, deadline=None)
@given(names)
def test_an_integer_fits_into_32_bits(name: tuple[int, int, str, str]) -> None:
    seed, round, site, purpose = name
    drawn = integer(seed, round=round, site=site, purpose=purpose)
    assert 0 <= drawn < 2**32
    assert drawn == integer(seed, round=round, site=site, purpose=purpose)


def test_drawing_from_one_stream_moves_no_other() -> None:
    first, second = (generator(1, purpose="a") for _ in range(2))
    first.random(1000)
    np.random.default_rng().random(3)
    assert [*second.integers(2**63 - 1, size=4)] == draws((1, 0, "", "a"))
