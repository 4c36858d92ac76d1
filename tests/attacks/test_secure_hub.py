"""A hub that does not keep to the protocol of secure sums, and what it gets of one site's numbers.

Each test tries to reconstruct the vector of site ``s000`` and says what was tried and what came of it (``pytest -rP``
shows it). Each is done a second time with the guard that it tests taken away: then it must succeed, or it would prove
nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from medfl.errors import MedflError, SecureError, TooFewError
from medfl.learn.statistic import Array
from medfl.messages import Json
from medfl.privacy.secure import graph, member, ring, shamir, stream
from medfl.privacy.secure.collector import Collector
from medfl.privacy.secure.identity import Identity, signed_key
from medfl.privacy.secure.member import Member
from medfl.privacy.secure.terms import Terms
from medfl.testing.secure import Cohort, cohort, identity_of

VICTIM = "s000"
WORDS = 400


class Forgetful:
    """The guard taken away: a site that does not remember what it helped to unmask."""

    def keep(self, name: str, text: str) -> str:
        return text


def secrets(people: Cohort) -> dict[str, dict[str, Array]]:
    """Each site's numbers: counts, so that a reconstruction is right or wrong and nothing in between."""
    draw = np.random.default_rng(11)
    return {name: {"n": draw.integers(0, 1000, size=WORDS)} for name in people.names}


def agreement(vector: Array, truth: Array) -> float:
    """Share of entries that a reconstruction has right."""
    return float((vector.astype(np.int64) == truth).mean())


def tell(tried: str, got: float | str) -> None:
    shown = got if isinstance(got, str) else f"{got:.1%} of the entries of {VICTIM} are right"
    print(f"tried: {tried}\ngot:   {shown}")


class Hub:
    """Collects what sites say, and asks what it likes."""

    def __init__(self, people: Cohort) -> None:
        self.people = people
        self.values = secrets(people)
        self.collector = people.collector()
        self.answers = {name: self.ask(name, self.values[name]) for name in people.names}
        self.held: dict[tuple[str, str], dict[int, Array]] = {}

    def ask(self, site: str, values: dict[str, Array], *, asked: bytes = b"asked") -> tuple[Json, Any]:
        return self.people.members[site].masked(self.collector.opening_for(site), values, asked=asked)

    def pry(self, site: str, dropped: Iterable[str], answers: dict[str, tuple[Json, Any]] | None = None) -> None:
        """Ask one site for its shares, with a list of the hub's making; keep what comes, by giver and by whose mask."""
        answers, dropped = answers or self.answers, sorted(dropped)
        names = self.people.names
        survivors = [name for name in names if name not in dropped]
        place = names.index(site)
        content = {
            "terms": self.collector.terms.to_json(),
            "keys": self.collector.opening_for(site)["keys"],
            "survivors": survivors,
            "dropped": dropped,
            "asked": answers[site][0]["asked"],
        }
        bundles = np.stack([answers[giver][1]["bundles"][place] for giver in survivors])
        shares = iter(self.people.members[site].shares(content, {"bundles": bundles})[1]["shares"])
        for giver in survivors:
            mark = hashlib.sha256(answers[giver][1]["bundles"].tobytes()).hexdigest()
            for whose in (f"{giver} {mark}", *(peer for peer in dropped if peer != giver)):
                self.held.setdefault((giver, whose), {})[place] = next(shares)

    def seed(self, giver: str, whose: str, quorum: int) -> stream.Seed | None:
        """Put a seed together, from as many shares as a quorum is; None where there are too few."""
        held = self.held.get((giver, whose), {})
        if len(held) < quorum:
            return None
        places = sorted(held)[:quorum]
        shares: stream.Seed = np.stack([held[place] for place in places])[:, None]
        return np.asarray(shamir.together(shares, shamir.weights(places))[0])

    def bare(self, site: str, quorum: int, answers: dict[str, tuple[Json, Any]] | None = None) -> tuple[Array, int]:
        """Take off a site's vector all masks that can be put together; return it and how many are still on."""
        answers = answers or self.answers
        vector = answers[site][1]["masked"].copy()
        mark = hashlib.sha256(answers[site][1]["bundles"].tobytes()).hexdigest()
        left = 0
        for peer in (site, *(name for name in self.people.names if name != site)):
            seeds = (
                [self.seed(site, f"{site} {mark}", quorum)]
                if peer == site
                else [self.seed(site, peer, quorum), self.seed(peer, site, quorum)]
            )
            seed = next((one for one in seeds if one is not None), None)
            left += seed is None
            if seed is not None:
                stream.add_stream(vector, seed, negative=peer >= site)
        return vector, left


def refused(ask: Callable[[], None]) -> str:
    try:
        ask()
    except MedflError as error:
        return type(error).__name__
    return ""


@pytest.mark.parametrize("guarded", [True, False])
def test_the_hub_says_a_site_was_lost_and_then_that_it_was_not(guarded: bool) -> None:
    """First a list without the victim, for its pair masks; then one with it, for its self mask."""
    hub = Hub(cohort(6) if guarded else cohort(6, unmasked=Forgetful))
    others = [name for name in hub.people.names if name != VICTIM]
    for site in others:
        hub.pry(site, [VICTIM])
    refusals = [refused(lambda site=site: hub.pry(site, [])) for site in others]  # type: ignore[misc]
    vector, left = hub.bare(VICTIM, graph.quorum(6))
    got = agreement(vector, hub.values[VICTIM]["n"])
    tell(f"two lists to every site, {len(list(filter(None, refusals)))} of 5 refused the second", got)
    if guarded:
        assert refusals == ["SecureError"] * 5
        assert left >= 1
        assert got == 0.0
    else:
        assert got == 1.0


def halves(people: Cohort) -> tuple[list[str], list[str]]:
    others = [name for name in people.names if name != VICTIM]
    return others[: len(others) // 2], others[len(others) // 2 :]


@pytest.mark.parametrize("guarded", [True, False])
def test_the_hub_tells_two_halves_two_lists(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One half hears that the victim is in the sum, the other that it is lost: no site sees two lists."""
    quorum = graph.quorum
    if not guarded:
        for module in (graph, __import__("medfl.privacy.secure.terms", fromlist=["terms"])):
            monkeypatch.setattr(module, "quorum", lambda sites: sites // 2)
        monkeypatch.setattr(graph, "FEWEST", 2)
        graph.neighbourhood.cache_clear()
        graph.graph_of.cache_clear()
        quorum = lambda sites: sites // 2  # noqa: E731 - the guard, taken away
    try:
        people = cohort(11)
        monkeypatch.setattr("medfl.testing.secure.quorum", quorum)
        hub = Hub(people)
        first, second = halves(people)
        for site in first:
            hub.pry(site, [])
        for site in second:
            hub.pry(site, [VICTIM])
        vector, left = hub.bare(VICTIM, quorum(11))
    finally:
        graph.neighbourhood.cache_clear()
        graph.graph_of.cache_clear()
    got = agreement(vector, hub.values[VICTIM]["n"])
    tell(f"two lists to two halves of 10 with a quorum of {quorum(11)}: {left} masks stay on", got)
    if guarded:
        assert left == 11
        assert got == 0.0
    else:
        assert left == 0
        assert got == 1.0


@pytest.mark.parametrize("colluding", range(8))
def test_two_lists_with_colluding_sites_that_follow_both(colluding: int) -> None:
    """Sites that are the hub's own give shares for either list. Up to the stated number of them it is no use."""
    people = cohort(10)
    quorum, own = graph.quorum(10), people.names[1 : 1 + colluding]
    for name in own:
        people.members[name]._unmasked = Forgetful()
    hub = Hub(people)
    honest = people.names[1 + colluding :]
    # As many honest sites as are needed hear that the victim is alive, itself among them, the rest that it is lost.
    alive = max(0, quorum - colluding - 1)
    for site in (*own, VICTIM, *honest[:alive]):
        hub.pry(site, [])
    for site in (*own, *honest[alive:]):
        hub.pry(site, [VICTIM])
    vector, left = hub.bare(VICTIM, quorum)
    got = agreement(vector, hub.values[VICTIM]["n"])
    tell(f"{colluding} of 10 sites collude, a quorum is {quorum}: {left} masks stay on", got)
    safe = colluding <= graph.tolerated(10)
    assert graph.tolerated(10) == 3
    assert (left >= 1) == safe
    assert got == (0.0 if safe else 1.0), "the number that is stated is exactly the one from which on it works"


def test_the_hub_says_that_all_neighbours_are_lost() -> None:
    """Then only the victim would be in the sum. It does not play along, and nobody else does."""
    hub = Hub(cohort(6))
    others = [name for name in hub.people.names if name != VICTIM]
    kinds = [refused(lambda: hub.pry(VICTIM, others))]
    kinds += [refused(lambda site=site: hub.pry(site, [name for name in others if name != site])) for site in others]  # type: ignore[misc]
    _, left = hub.bare(VICTIM, graph.quorum(6))
    tell("a sum over one or two sites", f"{kinds.count(TooFewError.__name__)} of 6 refused, {left} of 6 masks stay on")
    assert kinds == [TooFewError.__name__] * 6
    assert left == 6


@pytest.mark.parametrize("sites", [60, 100])
def test_the_hub_says_that_the_neighbours_of_one_of_many_sites_are_lost(sites: int) -> None:
    """Far fewer than a third of all sites are said to be lost: but they are all around the victim."""
    people = cohort(sites)
    collector = people.collector()
    people.send(collector, secrets(people))
    around = graph.Graph(people.names, people.session)
    witness = around.neighbours(VICTIM)[0]
    lost = [name for name in around.neighbours(VICTIM) if name != witness]
    assert sites - len(lost) < graph.quorum(sites) or len(lost) < sites / 2
    kept = [name for name in people.names if name not in lost]
    content, _ = collector.closing_for(witness)
    said = dict(content) | {"survivors": kept, "dropped": sorted(lost)}
    with pytest.raises(TooFewError) as caught:
        people.members[witness].shares(said, {"bundles": np.zeros((1, 1), np.uint8)})
    tell(f"{len(lost)} of {sites} sites lost, all around {VICTIM}", str(caught.value))


@pytest.mark.parametrize("guarded", [True, False])
def test_the_hub_asks_a_round_once_more_with_other_weights(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the masks were the same, the difference of two answers would be the difference of two updates, unmasked."""
    if not guarded:
        real = stream.seed
        monkeypatch.setattr(
            member, "seed", lambda secret, *words: real(secret, words[0], *words[2:] if words[0] == "pair" else ())
        )
    hub = Hub(cohort(5))
    truth = hub.values[VICTIM]["n"]
    other = {"n": np.zeros_like(truth)}
    _, again = hub.ask(VICTIM, other, asked=b"other weights, at which a model learns nothing")
    got = agreement(hub.answers[VICTIM][1]["masked"] - again["masked"], truth)
    tell("one round, two questions, the difference of the answers", got)
    assert got == (0.0 if guarded else 1.0)


@pytest.mark.parametrize("guarded", [True, False])
def test_the_hub_replays_a_round_to_a_site_that_does_not_learn_the_same_twice(
    guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the question differs, so the pair masks are the same; the self mask must not be."""
    if not guarded:
        real = stream.seed

        def forgetful(secret: bytes, *words: str | bytes) -> stream.Seed:
            return real(secret, *(words[:2] if words[0] == "self" else words))

        monkeypatch.setattr(member, "seed", forgetful)
    hub = Hub(cohort(5))
    truth = hub.values[VICTIM]["n"]
    _, again = hub.ask(VICTIM, {"n": np.zeros_like(truth)})
    got = agreement(hub.answers[VICTIM][1]["masked"] - again["masked"], truth)
    tell("one question twice, the difference of the answers", got)
    assert got == (0.0 if guarded else 1.0)


@pytest.mark.parametrize("guarded", [True, False])
def test_the_hub_asks_all_other_sites_for_something_else(guarded: bool) -> None:
    """At weights that teach the others nothing, the sum is the victim's own (Pasquini et al. 2022)."""
    people = cohort(5)
    collector = people.collector()
    values = {name: {"n": np.zeros(WORDS, np.int64)} for name in people.names} | {VICTIM: secrets(people)[VICTIM]}
    heard = hashlib.sha256(b"weights").hexdigest()
    for name in people.names:
        question = b"weights" if name == VICTIM or not guarded else b"weights that teach nothing"
        content, arrays = people.members[name].masked(collector.opening_for(name), values[name], asked=question)
        # Its own check is the least of a lying hub's troubles.
        collector.take(name, dict(content) | {"asked": heard}, arrays)
    answered = 0
    for name in people.names:
        try:
            collector.take_shares(name, *people.members[name].shares(*collector.closing_for(name)))
            answered += 1
        except SecureError:
            continue
    try:
        got = agreement(collector.total()["n"], values[VICTIM]["n"])
    except TooFewError:
        got = 0.0
    tell(f"other weights to the other sites; {answered} of 5 gave shares", got)
    assert got == (0.0 if guarded else 1.0)


def test_even_with_all_self_masks_off_sites_that_were_asked_differently_do_not_cancel() -> None:
    """The pair masks themselves hang on the question: the hub is given everything else."""
    people = cohort(5)
    collector = people.collector()
    total = np.zeros(WORDS, "<u8")
    values = secrets(people)
    for name in people.names:
        keys = people.members[name]._own("run", people.session)
        question = b"one" if name == VICTIM else b"other"
        about = member.context(collector.terms, hashlib.sha256(question).digest())
        _, arrays = people.members[name].masked(collector.opening_for(name), values[name], asked=question)
        plain = ring.encoded(values[name], sites=5, bits=collector.terms.bits)
        stream.add_stream(
            arrays["masked"],
            stream.seed(keys.secret, "self", about, hashlib.sha256(plain.data).digest()),
            negative=True,
        )
        total += arrays["masked"]
    expected = np.sum([values[name]["n"] for name in people.names], axis=0)
    got = agreement(total, expected)
    tell("a sum of answers to two questions, without self masks", f"{got:.1%} of the entries of the sum are right")
    assert got == 0.0


def own_keys(hub: Identity, people: Cohort, victim: str) -> tuple[dict[str, X25519PrivateKey], dict[str, Json]]:
    """Return keys of the hub's own making for all sites but one, each signed by the hub."""
    keys = {name: X25519PrivateKey.generate() for name in people.names if name != victim}
    said = {name: signed_key(hub, key, site=name, run="run", session=people.session) for name, key in keys.items()}
    return keys, said


@pytest.mark.parametrize("guarded", [True, False])
def test_the_hub_brings_its_own_keys_in_the_sites_names(guarded: bool) -> None:
    """A site that believed them would share all masks with the hub, and deal all its shares to it."""
    people = cohort(5)
    hub = identity_of("the hub")
    if not guarded:
        believed = dict.fromkeys(people.names, hub.public)
        people.members[VICTIM] = Member(VICTIM, identity_of(VICTIM), believed, unmasked=Forgetful())
    keys, said = own_keys(hub, people, VICTIM)
    collector, truth = people.collector(), secrets(people)[VICTIM]
    opening = dict(collector.opening_for(VICTIM)) | {"keys": said}
    if guarded:
        with pytest.raises(SecureError) as caught:
            people.members[VICTIM].masked(opening, truth, asked=b"asked")
        tell("keys of the hub's own making", str(caught.value))
        assert "site s001, run run: a peer's key is not signed by that peer" in str(caught.value)
        return
    content, arrays = people.members[VICTIM].masked(opening, truth, asked=b"asked")
    got = agreement(_read_with(keys, people, collector.terms, arrays, content), truth["n"])
    tell("keys of the hub's own making, believed", got)
    assert got == 1.0


def _read_with(keys: dict[str, X25519PrivateKey], people: Cohort, terms: Terms, arrays: Any, content: Json) -> Array:
    """Take off a vector all masks, being everybody else."""
    public = people.members[VICTIM]._own("run", people.session).key.public_key()
    about, names = member.context(terms, bytes.fromhex(content["asked"])), people.names
    vector: Array = arrays["masked"].copy()
    held = {}
    for name, key in keys.items():
        pair = stream.extracted(key.exchange(public))
        stream.add_stream(vector, stream.seed(pair, "pair", about, VICTIM, name), negative=True)
        reader = member._Round(bytes(32), name, about)
        held[names.index(name)] = reader.opened(VICTIM, arrays["bundles"][names.index(name)], {VICTIM: pair})
    places = sorted(held)[: graph.quorum(len(names))]
    own = shamir.together(np.stack([held[place][:1] for place in places]), shamir.weights(places))[0]
    stream.add_stream(vector, own, negative=True)
    return vector


def test_a_thief_of_all_that_the_hub_ever_saw_has_a_sum_and_nothing_else() -> None:
    """After an honest round with a loss: all shares, all bundles, all vectors. What is left on each single one?"""
    people = cohort(6)
    hub = Hub(people)
    for site in people.names[:-1]:
        hub.pry(site, ["s005"])
    lefts = {site: hub.bare(site, graph.quorum(6)) for site in people.names}
    got = {site: agreement(vector, hub.values[site]["n"]) for site, (vector, _) in lefts.items()}
    tell("everything from an honest round", f"masks left on each site's vector: {[left for _, left in lefts.values()]}")
    assert set(got.values()) == {0.0}
    assert [left for _, left in lefts.values()] == [4, 4, 4, 4, 4, 1]
    sent = np.sum([lefts[site][0] for site in people.names[:-1]], axis=0)
    assert agreement(sent, np.sum([hub.values[site]["n"] for site in people.names[:-1]], axis=0)) == 1.0


def test_an_honest_hub_gets_the_sum_with_the_same_tools() -> None:
    people = cohort(6)
    sums, last = people.sum(people.collector(), secrets(people))
    assert isinstance(last, Collector)
    assert np.array_equal(sums["n"], np.sum([each["n"] for each in secrets(people).values()], axis=0))
