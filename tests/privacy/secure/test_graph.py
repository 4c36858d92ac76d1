"""Who shares masks with whom: symmetric, in nobody's choice, and joined closely enough."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medfl.privacy.secure.graph import COMPLETE, Graph, neighbourhood, quorum, tolerated

ERROR = 2.0**-40


def names(sites: int) -> list[str]:
    return [f"s{number:04}" for number in range(sites)]


@pytest.mark.parametrize("sites", range(3, 200))
def test_a_quorum_is_more_than_two_thirds_and_at_least_three(sites: int) -> None:
    assert 3 * quorum(sites) > 2 * sites
    assert quorum(sites) == 3 or 3 * (quorum(sites) - 1) <= 2 * sites
    # Two quorums of honest sites with c colluders each: disjoint only if n - c is at least 2 (t - c).
    few = tolerated(sites)
    assert sites - few < 2 * (quorum(sites) - few)
    assert sites - (few + 1) >= 2 * (quorum(sites) - (few + 1))


@given(st.integers(3, 300), st.text(max_size=8))
@settings(deadline=None)
def test_neighbours_are_mutual_and_each_holder_has_a_place(sites: int, session: str) -> None:
    graph = Graph(names(sites), session)
    for site in names(sites)[:: max(1, sites // 7)]:
        holders = graph.holders(site)
        assert len(set(holders)) == len(holders) == graph.kind.holders
        assert site in holders
        assert graph.neighbours(site) == tuple(holder for holder in holders if holder != site)
        assert [graph.place(holder, of=site) for holder in holders] == list(range(len(holders)))
        assert all(site in graph.neighbours(peer) for peer in graph.neighbours(site))


@pytest.mark.parametrize("sites", range(3, COMPLETE + 1))
def test_up_to_thirty_sites_all_are_neighbours(sites: int) -> None:
    kind = neighbourhood(sites)
    assert (kind.degree, kind.quorum, kind.unsafe, kind.undone) == (sites - 1, quorum(sites), 0, 0)


@pytest.mark.parametrize(("sites", "most"), [(60, 59), (100, 50), (200, 60), (500, 80), (1000, 80)])
def test_beyond_few_are_and_the_error_is_as_stated(sites: int, most: int) -> None:
    kind = neighbourhood(sites)
    assert kind.degree <= most
    assert kind.degree % 2 == 0
    assert kind.unsafe <= ERROR
    assert kind.undone <= ERROR
    bad = max(ceil(sites / 20), 10)
    # The tails once more, with whole numbers.
    split = _tail(sites, kind.degree, bad, tolerated(kind.holders) + 1)
    short = _tail(sites, kind.degree, bad, kind.holders - kind.quorum)
    assert float(sites * split) <= kind.unsafe * (1 + 1e-9)
    assert float(sites * short) == pytest.approx(kind.undone, rel=1e-6)


def _tail(sites: int, degree: int, bad: int, least: int) -> Fraction:
    ways = sum(comb(bad, k) * comb(sites - 1 - bad, degree - k) for k in range(least, min(bad, degree) + 1))
    return Fraction(ways, comb(sites - 1, degree))


def test_one_degree_less_would_not_do() -> None:
    kind = neighbourhood(1000)
    smaller = Fraction(1000) * _tail(1000, kind.degree - 2, 50, tolerated(kind.degree - 1) + 1)
    fewer = Fraction(1000) * _tail(1000, kind.degree - 2, 50, kind.degree - 1 - quorum(kind.degree - 1))
    assert max(smaller, fewer) > ERROR


def test_the_more_are_assumed_bad_the_more_neighbours() -> None:
    degrees = [neighbourhood(1000, colluding=bad, dropping=bad).degree for bad in (0.02, 0.05, 0.1)]
    assert degrees == sorted(set(degrees))


def test_another_session_another_order() -> None:
    one, two = (Graph(names(200), session) for session in ("a", "b"))
    assert one.holders("s0007") == Graph(names(200), "a").holders("s0007")
    shared = set(one.neighbours("s0007")) & set(two.neighbours("s0007"))
    assert len(shared) < one.kind.degree / 2


def test_who_is_whose_neighbour_is_even() -> None:
    """Over many sessions each pair is joined about as often as any other."""
    cohort = names(100)
    met = np.zeros(100)
    for session in range(400):
        for peer in Graph(cohort, str(session)).neighbours("s0000"):
            met[int(peer[1:])] += 1
    expected = 400 * neighbourhood(100).degree / 99
    assert met[0] == 0
    spread = np.sqrt(expected * (1 - neighbourhood(100).degree / 99))
    assert np.abs(met[1:] - expected).max() < 5 * spread
