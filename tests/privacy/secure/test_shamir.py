"""A quorum puts seeds together, whoever is in it; fewer know nothing."""

from __future__ import annotations

import hashlib
from itertools import combinations

import numpy as np
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from medfl.privacy.secure import shamir, stream


def seeds(count: int, name: str = "a") -> stream.Seed:
    return np.stack([stream.seed(bytes(32), name, str(place)) for place in range(count)])


@given(st.data())
def test_any_quorum_gives_all_seeds(data: st.DataObject) -> None:
    holders = data.draw(st.integers(3, 80))
    quorum = data.draw(st.integers(2, holders))
    secret = data.draw(st.binary(min_size=32, max_size=32))
    places = data.draw(st.permutations(range(holders)))[:quorum]
    hidden = seeds(data.draw(st.integers(1, 4)))
    shares = shamir.dealt(hidden, secret, holders=holders, quorum=quorum)
    assert shares.shape == (holders, *hidden.shape)
    assert shares.max() < stream.PRIME
    assert np.array_equal(shamir.together(shares[places], shamir.weights(places)), hidden)


def test_fewer_than_a_quorum_fit_every_seed_alike() -> None:
    """With one share short, each other seed has exactly one share that completes it: nothing is excluded."""
    shares = shamir.dealt(seeds(1), bytes(32), holders=5, quorum=3)
    factors = shamir.weights([0, 1, 2])
    known = factors[:2] @ shares[:2].reshape(2, -1).astype(float)
    last = np.arange(stream.PRIME, dtype=float)
    possible = (known[0] + factors[2] * last) % stream.PRIME
    assert np.array_equal(np.sort(possible), last)


def test_other_secrets_other_shares_of_the_same_seed() -> None:
    one, two = (shamir.dealt(seeds(1), bytes([value]) * 32, holders=4, quorum=3) for value in (1, 2))
    assert (one != two).mean() > 0.99


def test_a_wrong_share_gives_another_seed() -> None:
    hidden = seeds(1)
    shares = shamir.dealt(hidden, bytes(32), holders=4, quorum=3)
    for places in combinations(range(4), 3):
        given_up = shares[list(places)].copy()
        given_up[1, 0, 5] = (given_up[1, 0, 5] + 1) % stream.PRIME
        assert not np.array_equal(shamir.together(given_up, shamir.weights(places)), hidden)


def test_uniform_numbers_fill_the_field_evenly() -> None:
    drawn = stream.uniform(bytes(32), 400_000)
    assert drawn.size == 400_000
    assert drawn.max() < stream.PRIME
    counts = np.bincount(drawn // 4096, minlength=16)[:15]
    expected = 400_000 * 4096 / stream.PRIME
    assert ((counts - expected) ** 2 / expected).sum() < 45, "chi-squared of 15 cells"


def test_what_two_keys_agree_on_is_extracted_and_expanded_as_hkdf_says() -> None:
    shared = hashlib.sha256(b"x").digest()
    whole = HKDF(SHA256(), 32, b"medfl secure pair", stream.worded("a", "bc")).derive(shared)
    assert stream.derived(stream.extracted(shared), "a", "bc") == whole


@pytest.mark.parametrize(("one", "other"), [(("a", "bc"), ("ab", "c")), (("a",), ("a", "")), (("a", "b"), ("b", "a"))])
def test_names_are_not_mixed_up(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert stream.derived(bytes(32), *one) != stream.derived(bytes(32), *other)


@pytest.mark.parametrize("size", [1, 7, 8192, 8193, 20_000])
def test_a_stream_is_added_and_taken_away(size: int) -> None:
    seed = seeds(1)[0]
    total = np.arange(size, dtype="<u8")
    stream.add_stream(total, seed)
    assert (total != np.arange(size, dtype="<u8")).all()
    longer = np.zeros(size + 5, "<u8")
    stream.add_stream(longer, seed)
    assert np.array_equal(total - np.arange(size, dtype="<u8"), longer[:size])
    stream.add_stream(total, seed, negative=True)
    assert np.array_equal(total, np.arange(size, dtype="<u8"))
