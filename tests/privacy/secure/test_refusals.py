"""What a site refuses, and what a hub does not add up: each by name, with nothing sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medfl.errors import DivergedError, MedflError, SecureError, TooFewError
from medfl.messages import Arrays
from medfl.privacy.secure.collector import Collector
from medfl.privacy.secure.member import Member
from medfl.privacy.secure.stream import PRIME
from medfl.privacy.secure.terms import Terms
from medfl.privacy.secure.unmasked import MOST, FolderUnmasked, Unmasked, UnmaskedHere
from medfl.testing.secure import Cohort, cohort, identity_of, values_of

Said = dict[str, Any]


def copied(said: object) -> Said:
    """Return what is said as it comes off a wire: changing it changes nobody else's."""
    return dict(json.loads(json.dumps(said)))


def opened(sites: int = 5) -> tuple[Cohort, Collector, Said]:
    people = cohort(sites)
    collector = people.collector()
    return people, collector, copied(collector.opening_for("s001"))


def closed(sites: int = 5, away: tuple[str, ...] = ("s004",)) -> tuple[Cohort, Collector, Said, dict[str, Any]]:
    people = cohort(sites)
    collector = people.collector()
    people.send(collector, values_of(people.names), away)
    content, arrays = collector.closing_for("s001")
    return people, collector, copied(content), {name: array.copy() for name, array in arrays.items()}


def terms(said: Said, **changed: object) -> Said:
    return said | {"terms": said["terms"] | changed}


def without(said: Said, word: str) -> Said:
    return {name: value for name, value in said.items() if name != word}


OPENINGS: dict[str, tuple[Callable[[Said], Said], str]] = {
    "no terms": (lambda said: without(said, "terms"), "terms are not what they must be"),
    "a word too few": (
        lambda said: said | {"terms": without(said["terms"], "round")},
        "a word is missing or unknown",
    ),
    "a word too many": (lambda said: terms(said, more=1), "a word is missing or unknown"),
    "a number for a word": (lambda said: terms(said, run=7), "run is of another type"),
    "true for a number": (lambda said: terms(said, attempt=True), "attempt is of another type"),
    "a round below zero": (lambda said: terms(said, round=-1), "a number is out of its range"),
    "bits for no array": (lambda said: terms(said, bits={}), "a number is out of its range"),
    "bits beyond float32": (lambda said: terms(said, bits={"*": 128}), "a number is out of its range"),
    "a site twice": (
        lambda said: terms(said, cohort=["s000", "s001", "s001", "s002", "s003"]),
        "no sorted list of different names",
    ),
    "not sorted": (
        lambda said: terms(said, cohort=["s001", "s000", "s002", "s003", "s004"]),
        "no sorted list of different names",
    ),
    "a number for a site": (lambda said: terms(said, cohort=["s000", "s001", 3]), "no sorted list"),
    "two sites": (
        lambda said: terms(said, cohort=["s000", "s001"], threshold=2),
        r"too few sites .* \(found: 2 sites\)",
    ),
    "a low threshold": (lambda said: terms(said, threshold=3), r"finish a round with too few sites \(found: 3 of 5\)"),
    "a threshold above all": (lambda said: terms(said, threshold=6), r"found: 6 of 5"),
    "without this site": (
        lambda said: terms(said, cohort=["s000", "s002", "s003", "s004"], threshold=3),
        "a sum that it is not part of",
    ),
    "no keys": (lambda said: without(said, "keys"), "the hub brings no keys"),
    "a key too few": (lambda said: said | {"keys": without(said["keys"], "s003")}, "no key of a peer .*none of s003"),
    "an unsigned key": (
        lambda said: said | {"keys": said["keys"] | {"s003": {"site": "s003", "key": said["keys"]["s003"]["key"]}}},
        "site s003, run run: a peer's key is not signed",
    ),
    "keys of another run": (lambda said: terms(said, run="other"), "run other: a peer's key is not signed"),
    "keys of another session": (lambda said: terms(said, session="other"), "a peer's key is not signed"),
    "a peer nobody knows": (
        lambda said: terms(
            said | {"keys": said["keys"] | {"s005": said["keys"]["s004"]}},
            cohort=[f"s00{n}" for n in range(6)],
            threshold=5,
        ),
        "site s005: a peer is not known here",
    ),
}


@pytest.mark.parametrize(("change", "why"), OPENINGS.values(), ids=OPENINGS.keys())
def test_an_opening_that_is_not_right_is_refused(change: Callable[[Said], Said], why: str) -> None:
    people, _, opening = opened()
    values = values_of(people.names)["s001"]
    assert people.members["s001"].masked(opening, values, asked=b"asked")[1]
    with pytest.raises(SecureError, match=why) as caught:
        people.members["s001"].masked(change(opening), values, asked=b"asked")
    assert caught.value.complaints[0].remedy


def test_a_peer_that_signs_a_second_key_in_one_run_is_refused() -> None:
    people, _, opening = opened()
    values = values_of(people.names)["s001"]
    people.members["s001"].masked(opening, values, asked=b"asked")
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from medfl.privacy.secure.identity import signed_key

    other = signed_key(identity_of("s003"), X25519PrivateKey.generate(), site="s003", run="run", session=people.session)
    with pytest.raises(SecureError, match=r"a peer's key has changed within one run .*another key of s003"):
        people.members["s001"].masked(opening | {"keys": opening["keys"] | {"s003": other}}, values, asked=b"asked")


def test_a_degenerate_key_is_refused_though_it_is_signed() -> None:
    from medfl.privacy.secure.stream import worded

    people, _, opening = opened()
    body = worded("medfl secure key", "run", people.session, "s003", bytes(32))
    zero = {"site": "s003", "key": bytes(32).hex(), "signature": identity_of("s003").sign(body).hex()}
    with pytest.raises(SecureError, match="a degenerate key of s003"):
        people.members["s001"].masked(
            opening | {"keys": opening["keys"] | {"s003": zero}}, values_of(people.names)["s001"], asked=b"asked"
        )


def test_numbers_that_are_not_finite_are_not_sent() -> None:
    people, _, opening = opened()
    with pytest.raises(DivergedError, match="update"):
        people.members["s001"].masked(opening, {"update": np.array([np.nan])}, asked=b"asked")


CLOSINGS: dict[str, tuple[Callable[[Said], Said], type[MedflError], str]] = {
    "alive and dead": (
        lambda said: said | {"dropped": ["s002", "s004"]},
        SecureError,
        r"both in the sum and lost \(found: site s002\)",
    ),
    "neither": (lambda said: said | {"dropped": []}, SecureError, "not the sites that were asked"),
    "somebody else": (lambda said: said | {"dropped": ["s009"]}, SecureError, "not the sites that were asked"),
    "alive twice": (
        lambda said: said | {"survivors": ["s000", *said["survivors"]]},
        SecureError,
        "not the sites that were asked",
    ),
    "no list": (lambda said: without(said, "dropped"), SecureError, "says not who is in the sum"),
    "numbers": (lambda said: said | {"dropped": [4]}, SecureError, "says not who is in the sum"),
    "this site lost": (
        lambda said: said | {"survivors": ["s000", "s002", "s003", "s004"], "dropped": ["s001"]},
        SecureError,
        "says that this site is lost",
    ),
    "below the threshold": (
        lambda said: said | {"survivors": ["s000", "s001", "s002"], "dropped": ["s003", "s004"]},
        TooFewError,
        r"found: 3 of 5, where 4 must be",
    ),
    "threshold lowered": (
        lambda said: terms(said, threshold=3) | {"survivors": ["s000", "s001", "s002"], "dropped": ["s003", "s004"]},
        SecureError,
        r"finish a round with too few sites \(found: 3 of 5\)",
    ),
    "asked for something else": (lambda said: said | {"asked": "00" * 32}, SecureError, "site s000: a peer's shares"),
    "no word of what was asked": (
        lambda said: without(said, "asked"),
        SecureError,
        "says not what the sites were asked",
    ),
    "another attempt": (lambda said: terms(said, attempt=1), SecureError, "site s000: a peer's shares are not what"),
    "another round": (lambda said: terms(said, round=2), SecureError, "site s000: a peer's shares are not what"),
    "other keys": (
        lambda said: said | {"keys": said["keys"] | {"s002": said["keys"]["s003"]}},
        SecureError,
        "site s002, run run: a peer's key is not signed",
    ),
}


@pytest.mark.parametrize(("change", "kind", "why"), CLOSINGS.values(), ids=CLOSINGS.keys())
def test_a_closing_that_is_not_right_is_refused(
    change: Callable[[Said], Said], kind: type[MedflError], why: str
) -> None:
    people, _, content, arrays = closed()
    with pytest.raises(kind, match=why) as caught:
        people.members["s001"].shares(change(content), arrays)
    assert caught.value.complaints[0].remedy
    # Nothing was noted: the right closing is still answered.
    assert people.members["s001"].shares(content, arrays)[1]["shares"].size


def test_a_site_may_want_more_company_than_the_hub_asks_for() -> None:
    people, _, content, arrays = closed()
    directory = {name: identity_of(name).public for name in people.names}
    shy = Member("s001", identity_of("s001"), directory, unmasked=UnmaskedHere(), fewest=5)
    with pytest.raises(TooFewError, match=r"found: 4 of 5, where 5 must be"):
        shy.shares(content, arrays)


BUNDLES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "none": (lambda _: None, "found: none"),
    "one too few": (lambda bundles: bundles[:-1], r"found: uint8\[3, 188\]"),
    "one twice": (lambda bundles: bundles[[0, 1, 1, 2, 3]], r"found: uint8\[5, 188\]"),
    "cut": (lambda bundles: bundles[:, :-1], r"found: uint8\[4, 187\]"),
    "too long": (lambda bundles: np.pad(bundles, ((0, 0), (0, 9))), r"found: uint8\[4, 197\]"),
    "of another type": (lambda bundles: bundles.astype(np.int64), r"found: int64\[4, 188\]"),
    "swapped": (lambda bundles: bundles[[0, 1, 3, 2]], "site s002: a peer's shares"),
    "own one by another": (lambda bundles: bundles[[0, 0, 2, 3]], "site s001: a peer's shares"),
    "one bit off": (lambda bundles: bundles ^ np.eye(4, 188, 99, dtype=np.uint8), "site s000: a peer's shares"),
    "nonce off": (lambda bundles: bundles ^ np.eye(4, 188, dtype=np.uint8), "site s000: a peer's shares"),
}


@pytest.mark.parametrize(("change", "why"), BUNDLES.values(), ids=BUNDLES.keys())
def test_bundles_that_are_not_the_peers_are_refused(change: Callable[[Any], Any], why: str) -> None:
    people, _, content, arrays = closed()
    changed = change(arrays["bundles"])
    with pytest.raises(SecureError, match=why):
        people.members["s001"].shares(content, {} if changed is None else {"bundles": changed})


def test_bundles_for_another_site_or_of_another_round_are_refused() -> None:
    people, collector, content, _ = closed()
    _, others = collector.closing_for("s002")
    with pytest.raises(SecureError, match="site s000: a peer's shares are not what that peer sent"):
        people.members["s001"].shares(content, others)
    later = people.collector(round=2)
    people.send(later, values_of(people.names), ["s004"])
    with pytest.raises(SecureError, match="site s000: a peer's shares are not what that peer sent"):
        people.members["s001"].shares(content, later.closing_for("s001")[1])


@pytest.fixture(params=["memory", "folder"])
def notes(request: pytest.FixtureRequest, tmp_path: Path) -> Unmasked:
    return UnmaskedHere() if request.param == "memory" else FolderUnmasked(tmp_path / "unmasked")


def noting(people: Cohort, notes: Unmasked) -> Member:
    directory = {name: identity_of(name).public for name in people.names}
    return Member("s001", identity_of("s001"), directory, unmasked=notes)


def test_one_list_a_round_whatever_the_attempt(notes: Unmasked) -> None:
    people, collector, content, arrays = closed(7, away=("s006",))
    first = noting(people, notes).shares(content, arrays)
    assert noting(people, notes).shares(content, arrays)[1]["shares"].tobytes() == first[1]["shares"].tobytes()
    fewer = copied(content) | {"survivors": ["s000", "s001", "s002", "s003", "s004"], "dropped": ["s005", "s006"]}
    with pytest.raises(SecureError, match="a second sum of one round, over other sites"):
        noting(people, notes).shares(fewer, {"bundles": arrays["bundles"][:-1]})
    retried = Collector(
        collector.terms.again(("s000", "s001", "s002", "s003", "s004"), {}, threshold=4),
        {name: people.members[name].hello("run", people.session) for name in people.names},
    )
    people.send(retried, values_of(people.names))
    with pytest.raises(SecureError, match="run run, round 1, train: the hub wants to unmask a second sum"):
        noting(people, notes).shares(*retried.closing_for("s001"))


def test_the_same_list_in_another_attempt_is_fine_a_few_times(notes: Unmasked) -> None:
    people = cohort(4)
    values = values_of(people.names)
    collector = people.collector()
    keys = {name: people.members[name].hello("run", people.session) for name in people.names}
    for _ in range(MOST):
        people.send(collector, values)
        noting(people, notes).shares(*collector.closing_for("s001"))
        collector = Collector(collector.terms.again(people.names, {}, threshold=4), keys)
    people.send(collector, values)
    with pytest.raises(SecureError, match=f"too often .*more than {MOST} attempts"):
        noting(people, notes).shares(*collector.closing_for("s001"))


def test_answers_to_another_question_are_another_sum(notes: Unmasked) -> None:
    people, collector, content, arrays = closed(5, away=())
    noting(people, notes).shares(content, arrays)
    retried = Collector(
        collector.terms.again(people.names, {}, threshold=5),
        {name: people.members[name].hello("run", people.session) for name in people.names},
    )
    for name, values in values_of(people.names).items():
        retried.take(name, *people.members[name].masked(retried.opening_for(name), values, asked=b"other"))
    with pytest.raises(SecureError, match="over other sites or other answers"):
        noting(people, notes).shares(*retried.closing_for("s001"))


def test_other_vectors_under_the_same_terms_are_not_unmasked_too(notes: Unmasked) -> None:
    """As if a site's training were not the same twice: two sums of one list would show the difference."""
    people, _, content, arrays = closed(5, away=())
    noting(people, notes).shares(content, arrays)
    second = people.collector()
    values = values_of(people.names)
    values["s003"]["counts"] = values["s003"]["counts"] + 1
    people.send(second, values)
    with pytest.raises(SecureError, match="unmask one sum twice, with other shares"):
        noting(people, notes).shares(*second.closing_for("s001"))


def test_other_rounds_tasks_and_runs_are_other_sums(notes: Unmasked) -> None:
    people = cohort(4)
    for run, round in (("run", 1), ("run", 2), ("other", 1)):
        collector = people.collector(run=run, round=round)
        people.send(collector, values_of(people.names), ["s003"] if round == 2 else [])
        assert noting(people, notes).shares(*collector.closing_for("s001"))[1]["shares"].size


def test_notes_are_for_the_owner_and_cannot_be_led_astray(tmp_path: Path) -> None:
    notes = FolderUnmasked(tmp_path / "unmasked")
    assert notes.keep("../../etc/passwd", "one") == "one"
    assert notes.keep("../../etc/passwd", "two") == "one"
    assert notes.keep("other", "two") == "two"
    files = list(tmp_path.rglob("*"))
    assert sorted(each.parent.name for each in files if each.is_file()) == ["unmasked", "unmasked"]
    assert {each.stat().st_mode & 0o777 for each in files if each.is_file()} == {0o600}


def changed(arrays: Arrays, **new: Any) -> dict[str, Any]:
    return {name: array for name, array in (dict(arrays) | new).items() if array is not None}


ANSWERS: dict[str, tuple[Callable[[Said, dict[str, Any]], tuple[Said, Arrays]], str]] = {
    "no word of what was asked": (
        lambda said, arrays: (without(said, "asked"), arrays),
        "no word of what it was asked",
    ),
    "asked something else": (
        lambda said, arrays: (said | {"asked": "00"}, arrays),
        "not asked the same .*different requests to s000 and s001",
    ),
    "no layout": (lambda said, arrays: (without(said, "layout"), arrays), "a layout that is none"),
    "another layout": (
        lambda said, arrays: (said | {"layout": [["x", "int64", [1]]]}, arrays),
        "s000: int64.* and s001: nothing",
    ),
    "no vector": (lambda said, arrays: (said, changed(arrays, masked=None)), "masked: none"),
    "a short vector": (
        lambda said, arrays: (said, changed(arrays, masked=arrays["masked"][1:])),
        r"masked: uint64\[\d+\]",
    ),
    "real numbers": (lambda said, arrays: (said, changed(arrays, masked=arrays["masked"] * 1.0)), "masked: float64"),
    "no bundles": (lambda said, arrays: (said, changed(arrays, bundles=None)), "bundles: none"),
    "oversized bundles": (
        lambda said, arrays: (said, changed(arrays, bundles=np.zeros((5, 9999), np.uint8))),
        r"bundles: uint8\[5, 9999\], where uint8\[5, 188\] must be",
    ),
    "no commitments": (lambda said, arrays: (said, changed(arrays, commitments=None)), "commitments: none"),
    "bits that are none": (lambda said, arrays: (said | {"needs": {"x": "many"}}, {}), "bits that are no numbers"),
    "bits beyond float32": (lambda said, arrays: (said | {"needs": {"x": 999}}, {}), "bits that are no numbers"),
    "bits that it has": (lambda said, arrays: (said | {"needs": {"x": 20}}, {}), "bits that it has already"),
}


@pytest.mark.parametrize(("change", "why"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_that_is_not_right_is_not_added_and_the_round_goes_on(
    change: Callable[[Said, dict[str, Any]], tuple[Said, Arrays]], why: str
) -> None:
    people, collector, _ = opened()
    values = values_of(people.names)
    answers = {
        name: people.members[name].masked(collector.opening_for(name), values[name], asked=b"asked")
        for name in people.names
    }
    collector.take("s000", *answers["s000"])
    content, arrays = answers["s001"]
    with pytest.raises(SecureError, match=why):
        collector.take("s001", *change(copied(content), dict(arrays)))
    for name in ("s002", "s003", "s004"):
        collector.take(name, *answers[name])
    people.close(collector)
    expected = sum(values[name]["counts"] for name in people.names if name != "s001")
    assert np.array_equal(collector.total()["counts"], np.asarray(expected))


def test_an_answer_twice_too_late_or_of_a_stranger_is_not_added() -> None:
    people, collector, content, _ = closed()
    answer = people.members["s001"].masked(
        copied(collector.opening_for("s001")), values_of(people.names)["s001"], asked=b"asked"
    )
    for site, why in (("s001", "twice or too late"), ("s004", "twice or too late"), ("s009", "it was not asked")):
        with pytest.raises(SecureError, match=f"site {site}: an answer is not awaited .*{why}"):
            collector.take(site, *answer)
    assert content["survivors"] == ["s000", "s001", "s002", "s003"]


SHARES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "none": (lambda _: None, "shares of another size: none"),
    "one too few": (lambda shares: shares[:-1], r"shares of another size: uint16\[7, 16\]"),
    "oversized": (lambda shares: np.zeros((999, 16), np.uint16), r"another size: uint16\[999, 16\]"),
    "of another type": (lambda shares: shares.astype(np.int64), r"another size: int64\[8, 16\]"),
    "out of the field": (lambda shares: np.full_like(shares, PRIME), "no numbers of the field"),
}


@pytest.mark.parametrize(("change", "why"), SHARES.values(), ids=SHARES.keys())
def test_shares_that_are_not_right_are_not_taken(change: Callable[[Any], Any], why: str) -> None:
    people, collector, content, arrays = closed()
    shares = people.members["s001"].shares(content, arrays)[1]["shares"]
    bad = change(shares)
    with pytest.raises(SecureError, match=f"site s001: .*{why}"):
        collector.take_shares("s001", {}, {} if bad is None else {"shares": bad})
    collector.take_shares("s001", {}, {"shares": shares})
    with pytest.raises(SecureError, match=r"site s001: an answer is not awaited .*twice"):
        collector.take_shares("s001", {}, {"shares": shares})
    with pytest.raises(SecureError, match="site s004: shares of a site that was not asked"):
        collector.take_shares("s004", {}, {"shares": shares})


def test_a_wrong_share_is_noticed_and_no_sum_computed() -> None:
    people, collector, content, arrays = closed()
    shares = people.members["s001"].shares(content, arrays)[1]["shares"].copy()
    shares[3, 3] = (int(shares[3, 3]) + 1) % PRIME
    collector.take_shares("s001", {}, {"shares": shares})
    people.close(collector, away=["s001"])
    with pytest.raises(SecureError, match="site s001: shares do not give the mask that a site committed to"):
        collector.total()


def test_a_hub_cannot_start_without_keys_or_company() -> None:
    people, collector, _ = opened()
    some = {name: people.members[name].hello("run", people.session) for name in ("s000", "s001")}
    with pytest.raises(SecureError, match=r"without a key .*s002, s003 and s004"):
        Collector(collector.terms, some)
    alone = Terms(run="r", session="s", round=1, task="train", cohort=("a", "b"), threshold=2, bits={"*": 1})
    with pytest.raises(SecureError, match="too few sites for a sum"):
        Collector(alone, {})


def test_a_hub_does_not_close_a_sum_that_must_be_asked_again() -> None:
    people, collector, _ = opened()
    collector.take("s000", {"asked": "00", "needs": {"x": 30}}, {})
    with pytest.raises(SecureError, match=r"a sum is asked for again .*other bits for x"):
        collector.closing_for("s000")
    with pytest.raises(TooFewError, match=r"1 of 5, where 4 must be; without s001, s002, s003 and s004"):
        collector.again()
    assert people.names


def test_a_site_that_always_needs_more_does_not_keep_the_hub_busy() -> None:
    people = cohort(3)
    collector = people.collector()
    keys = {name: people.members[name].hello("run", people.session) for name in people.names}
    for attempt in range(MOST - 1):
        collector = Collector(collector.terms.again(people.names, {"x": attempt}, threshold=3), keys)
    for name in people.names:
        collector.take(name, {"asked": "00", "needs": {"x": 100}}, {})
    with pytest.raises(SecureError, match=f"no bits fit the numbers of all sites .*{MOST} attempts"):
        collector.again()


def test_only_sites_in_the_sum_are_asked_to_unmask_it() -> None:
    _, collector, _, _ = closed()
    with pytest.raises(SecureError, match=r"only sites in the sum can unmask it \(found: site s004\)"):
        collector.closing_for("s004")
