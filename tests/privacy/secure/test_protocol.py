"""Whoever is lost, and when: the sum over the others is exact, or there is none."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medfl.errors import SecureError, TooFewError
from medfl.learn.statistic import Array
from medfl.messages import Arrays, Json, Reply, from_bytes, to_bytes
from medfl.privacy.secure import ring
from medfl.privacy.secure.graph import Graph, quorum
from medfl.privacy.secure.member import Member
from medfl.privacy.secure.unmasked import UnmaskedHere
from medfl.testing.secure import Cohort, Lost, cohort, identity_of, values_of

Values = dict[str, dict[str, Array]]


def require_sum_of(sums: dict[str, Array], values: Values, sites: tuple[str, ...]) -> None:
    """Counts bit for bit, short arrays to rounding, long ones to a millionth of the largest."""
    assert sums.keys() == values[sites[0]].keys()
    for name, total in sums.items():
        parts = [values[site][name].reshape(-1) for site in sites]
        if total.dtype == np.int64:
            assert np.array_equal(total.reshape(-1), np.sum(parts, axis=0))
            continue
        expected = np.array([math.fsum(column) for column in np.stack(parts).T])
        allowed = ring.PRECISION if total.size > ring.SHORT else 1e-14
        assert np.abs(total.reshape(-1) - expected).max() <= allowed * np.abs(expected).max()


@st.composite
def schedules(draw: st.DrawFn, sizes: st.SearchStrategy[int]) -> tuple[int, Lost]:
    sites = draw(sizes)
    names = [f"s{number:03}" for number in range(sites)]
    stage = st.lists(st.sampled_from(names), max_size=max(1, sites // 2), unique=True)
    return sites, Lost(draw(stage), draw(stage), draw(stage))


def carried_out(sites: int, lost: Lost, size: int = 5) -> None:
    """Carry out a round with these losses: the right sum, or too few, and always which of them."""
    people = cohort(sites)
    values = values_of(people.names, size)
    there = [name for name in people.names if name not in lost.keys]
    in_sum = tuple(name for name in there if name not in lost.masked)
    giving = [name for name in in_sum if name not in lost.closing]
    if len(there) < 3:
        with pytest.raises(SecureError, match="too few sites for a sum that hides each of them"):
            people.collector(lost=lost)
        return
    collector = people.collector(lost=lost)
    graph = Graph(there, people.session)
    held = all(sum(holder in giving for holder in graph.holders(site)) >= graph.kind.quorum for site in in_sum)
    if len(in_sum) >= quorum(len(there)) and held:
        sums, last = people.sum(collector, values, lost)
        assert last.survivors == in_sum
        require_sum_of(sums, values, in_sum)
    else:
        with pytest.raises(TooFewError) as caught:
            people.sum(collector, values, lost)
        assert "run run, round 1, train" in str(caught.value)
        assert caught.value.complaints[0].remedy


@settings(deadline=None, max_examples=150)
@given(schedules(st.integers(3, 12)))
def test_any_losses_among_a_few_sites(case: tuple[int, Lost]) -> None:
    carried_out(*case)


@settings(deadline=None, max_examples=6)
@given(schedules(st.integers(60, 110)))
def test_any_losses_among_many_sites_with_neighbours(case: tuple[int, Lost]) -> None:
    carried_out(*case)


@settings(deadline=None, max_examples=6)
@given(st.integers(60, 110), st.data())
def test_some_losses_among_many_sites_leave_an_exact_sum(sites: int, data: st.DataObject) -> None:
    names = [f"s{number:03}" for number in range(sites)]
    some = st.lists(st.sampled_from(names), max_size=sites // 15, unique=True)
    carried_out(sites, Lost(data.draw(some), data.draw(some), data.draw(some)))


@pytest.mark.parametrize("stage", ["keys", "masked", "closing"])
def test_a_site_may_be_lost_at_any_stage(stage: str) -> None:
    carried_out(6, Lost(**{stage: ["s002"]}), size=ring.SHORT + 1)


def test_every_number_of_sites_that_is_few() -> None:
    for sites in range(3, 13):
        carried_out(sites, Lost(masked=[f"s{n:03}" for n in range(sites - quorum(sites))]))


def test_the_sum_is_the_same_whatever_the_order_of_arrival() -> None:
    people = cohort(5)
    values = values_of(people.names, ring.SHORT + 1)
    first, _ = people.sum(people.collector(), values)
    turned = people.collector()
    for name in reversed(people.names):
        turned.take(name, *people.members[name].masked(turned.opening_for(name), values[name], asked=b"asked"))
    for name in reversed(people.names):
        turned.take_shares(name, *people.members[name].shares(*turned.closing_for(name)))
    second = turned.total()
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_without_masks_it_would_be_the_same_sum_bit_for_bit() -> None:
    people = cohort(7)
    values = values_of(people.names, ring.SHORT + 1)
    sums, last = people.sum(people.collector(), values)
    plain = sum(ring.encoded(values[name], sites=7, bits=last.terms.bits) for name in people.names)
    layout = ring.layout_of(values["s000"])
    bare = ring.decoded(np.asarray(plain), layout, sites=7, bits=last.terms.bits)
    assert all(sums[name].tobytes() == bare[name].tobytes() for name in sums)


def test_what_is_asked_twice_is_answered_twice_the_same_also_by_another_process() -> None:
    people = cohort(4)
    values = values_of(people.names)
    collector = people.collector()
    sent = people.send(collector, values)
    notes = UnmaskedHere()
    directory = {name: identity_of(name).public for name in people.names}
    restarted = Member("s001", identity_of("s001"), directory, unmasked=notes)
    content, arrays = restarted.masked(collector.opening_for("s001"), values["s001"], asked=b"asked")
    assert _same(arrays, sent["s001"])
    closing = collector.closing_for("s001")
    given_up = [people.members["s001"].shares(*closing), restarted.shares(*closing)]
    again = Member("s001", identity_of("s001"), directory, unmasked=notes).shares(*closing)
    assert _same(given_up[0][1], given_up[1][1])
    assert _same(given_up[0][1], again[1])
    assert content["layout"]


def _same(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_a_resumed_round_gives_the_same_sum() -> None:
    """The hub is gone between the exchanges; a new one asks all over again, and the sites go along."""
    people = cohort(5)
    values = values_of(people.names)
    lost = Lost(masked=["s003"])
    first, _ = people.sum(people.collector(), values, lost)
    second, _ = people.sum(people.collector(), values, lost)
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_shares_that_come_late_still_finish_the_round() -> None:
    people = cohort(6)
    values = values_of(people.names)
    collector = people.collector()
    people.send(collector, values)
    people.close(collector, away=["s000", "s001"])
    with pytest.raises(TooFewError, match="too few sites gave their shares to unmask the sum"):
        collector.total()
    collector.take_shares("s000", *people.members["s000"].shares(*collector.closing_for("s000")))
    require_sum_of(collector.total(), values, people.names)
    assert collector.total()["counts"].tolist() == collector.total()["counts"].tolist()


def long_values(people: Cohort, scale: dict[str, float]) -> Values:
    draw = np.random.default_rng(3)
    return {name: {"w": draw.normal(size=ring.SHORT + 1) * scale.get(name, 1.0)} for name in people.names}


@pytest.mark.parametrize(
    ("scale", "attempts"),
    [({}, 0), ({"s001": 1e12}, 1), (dict.fromkeys(("s000", "s001", "s002", "s003"), 1e-30), 2)],
    ids=["as bounded", "one above the bound", "all far below it"],
)
def test_bits_that_do_not_fit_are_found_by_asking_again(scale: dict[str, float], attempts: int) -> None:
    people = cohort(4)
    values = long_values(people, scale)
    sums, last = people.sum(people.collector(), values)
    assert last.terms.attempt == attempts
    require_sum_of(sums, values, people.names)


def test_sums_that_cancel_are_as_right_as_float32_could_be() -> None:
    people = cohort(3)
    values = long_values(people, {})
    values["s001"] = {"w": -values["s000"]["w"]}
    values["s002"] = {"w": values["s002"]["w"] * 1e-25}
    sums, last = people.sum(people.collector(), values)
    assert last.terms.attempt <= 3
    assert np.abs(sums["w"] - values["s002"]["w"]).max() <= 2.0**-40


def test_a_site_lost_between_two_attempts_is_left_out_as_long_as_nothing_was_unmasked() -> None:
    people = cohort(4)
    values = long_values(people, {"s001": 1e12})
    first = people.collector()
    people.send(first, values, away=["s003"])
    later = first.again()
    assert later is not None
    assert later.terms.cohort == ("s000", "s001", "s002")
    sums, _ = people.sum(later, values)
    require_sum_of(sums, values, ("s000", "s001", "s002"))


def test_a_site_lost_after_a_sum_was_unmasked_ends_the_round() -> None:
    """The second sum would be over other sites, and the sites say no; so the hub does not even ask."""
    people = cohort(4)
    values = long_values(people, dict.fromkeys(people.names, 1e-3 * 2.0**-20))
    collector = people.collector()
    people.send(collector, values)
    people.close(collector)
    collector.total()
    later = collector.again()
    assert later is not None
    people.send(later, values, away=["s002"])
    with pytest.raises(TooFewError, match="without s002"):
        later.closing_for("s000")


def test_the_needs_of_a_site_tell_an_exponent_only() -> None:
    people = cohort(3)
    content, arrays = people.members["s001"].masked(
        people.collector().opening_for("s001"), {"w": np.full(ring.SHORT + 1, 3.0e7)}, asked=b"asked"
    )
    assert arrays == {}
    assert content.keys() == {"asked", "needs"}
    assert content["needs"] == {"w": 25}


def test_a_masked_vector_looks_like_chance() -> None:
    """Of a constant vector: bytes even, neighbours unrelated, and no two rounds, runs or attempts alike."""
    people = cohort(3)
    values = {name: {"n": np.full(50_000, 7)} for name in people.names}
    sent = [
        people.send(people.collector(run=run, round=round), values)["s000"]["masked"]
        for run, round in (("run", 1), ("run", 2), ("other", 1))
    ]
    for vector in sent:
        cells = np.bincount(vector.view(np.uint8), minlength=256)
        expected = vector.nbytes / 256
        assert ((cells - expected) ** 2 / expected).sum() < 256 + 6 * math.sqrt(512), "chi-squared of 256 cells"
        real = vector.astype(float) / 2.0**64 - 0.5
        assert abs(np.corrcoef(real[1:], real[:-1])[0, 1]) < 6 / math.sqrt(real.size)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not (sent[one] == sent[other]).any()
        difference = (sent[one] - sent[other]).view(np.uint8)
        cells = np.bincount(difference, minlength=256)
        assert ((cells - difference.size / 256) ** 2 / (difference.size / 256)).sum() < 256 + 6 * math.sqrt(512)


def test_everything_that_travels_is_a_message_like_any_other() -> None:
    people = cohort(4)
    values = values_of(people.names)
    collector = people.collector()

    def over_the_wire(content: Json, arrays: Arrays) -> tuple[Json, Arrays]:
        message = from_bytes(to_bytes(Reply(request="r", site="s", content=content, arrays=arrays)))
        assert isinstance(message, Reply)
        return message.content, message.arrays

    for name in people.names[:-1]:
        opening, _ = over_the_wire(collector.opening_for(name), {})
        answer = people.members[name].masked(opening, values[name], asked=b"asked")
        collector.take(name, *over_the_wire(*answer))
    for name in collector.survivors:
        closing = over_the_wire(*collector.closing_for(name))
        collector.take_shares(name, *over_the_wire(*people.members[name].shares(*closing)))
    require_sum_of(collector.total(), values, people.names[:-1])


def test_upload_of_a_large_model() -> None:
    people = cohort(10)
    size = 200_000
    collector = people.collector()
    _, arrays = people.members["s000"].masked(collector.opening_for("s000"), {"w": np.zeros(size)}, asked=b"asked")
    assert sum(array.nbytes for array in arrays.values()) <= 2.1 * 4 * size


def test_nothing_that_is_said_in_clear_depends_on_the_numbers() -> None:
    people = cohort(3)
    opening = people.collector().opening_for("s000")
    one, two = (
        people.members["s000"].masked(opening, {"x": np.full(4, value), "n": np.array([3])}, asked=b"asked")
        for value in (1.0, -5e7)
    )
    assert one[0] == two[0]
    assert {name: (array.dtype, array.shape) for name, array in one[1].items()} == {
        name: (array.dtype, array.shape) for name, array in two[1].items()
    }


def test_no_key_and_nonce_seal_two_texts() -> None:
    """Other numbers under the same terms have other shares, and these are sealed with another nonce to every holder."""
    people = cohort(4)
    opening = people.collector().opening_for("s000")
    nonces = set()
    for value in range(3):
        _, arrays = people.members["s000"].masked(opening, {"n": np.array([value])}, asked=b"asked")
        nonces |= {bundle[:12].tobytes() for bundle in arrays["bundles"]}
    assert len(nonces) == 3 * 4


def test_other_versions_would_send_the_same_bits() -> None:
    """What two sites with different versions must agree on; if this changes, name the protocol anew."""
    people = cohort(4)
    values = {"n": np.arange(5), "x": np.arange(3.0) / 7, "w": np.arange(ring.SHORT + 1) / 3}
    _, arrays = people.members["s001"].masked(people.collector().opening_for("s001"), values, asked=b"asked")
    digests = {name: hashlib.sha256(array.tobytes()).hexdigest()[:16] for name, array in arrays.items()}
    assert digests == {
        "masked": "c4462ac689c4528f",
        "bundles": "767e94d130fa70f7",
        "commitments": "7ab0932befe91c58",
    }
