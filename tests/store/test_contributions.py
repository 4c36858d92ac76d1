"""Contributions of sites, from values of coalitions that are known: games with published Shapley values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain, combinations, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.events import Evaluated, Role
from medfl.store.contributions import Contributions, contributions, marginals, shapley
from medfl.store.folding import view_execution
from medfl.store.views import ExecutionView, RoundView, RunView

SITES = ("a", "b", "c")
Game = Callable[[frozenset[str]], float]


def subsets(sites: Iterable[str]) -> list[frozenset[str]]:
    every = tuple(sites)
    return [frozenset(one) for one in chain.from_iterable(combinations(every, size) for size in range(len(every) + 1))]


def gloves(members: frozenset[str]) -> float:
    """Left glove at a, right gloves at b and c; a pair is worth 1."""
    return float("a" in members and bool(members & {"b", "c"}))


def test_the_glove_game_has_its_published_value() -> None:
    """Two thirds and a sixth each: Shapley & Shubik 1969; a textbook example."""
    values = {members: gloves(members) for members in subsets(SITES)}
    assert [shapley(site, values, frozenset(SITES)) for site in SITES] == pytest.approx([2 / 3, 1 / 6, 1 / 6])


@given(st.lists(st.floats(0.0, 1.0), min_size=16, max_size=16))
def test_exact_values_are_the_mean_over_all_orders_and_add_up(numbers: list[float]) -> None:
    sites = ("a", "b", "c", "d")
    values = dict(zip(subsets(sites), numbers, strict=True))
    whole = frozenset(sites)
    found = {site: shapley(site, values, whole) for site in sites}
    for site in sites:
        assert found[site] == pytest.approx(np.mean(list(marginals(site, values, list(permutations(sites))))))
    assert sum(found.values()) == pytest.approx(values[whole] - values[frozenset()])


def run(seed: int, value: float, *, members: tuple[str, ...] = (), role: Role = "coalition", **more: Any) -> RunView:
    final = Evaluated(run="r", round=1, pooled={"auc": value}, sites={}, final=True)
    return RunView(
        run=f"{role}-{seed}-{members}", execution="x", study="s", digest="", base="", engine="", role=role, arm="base",
        seed=seed, status="finished", final=final, latest=final, members=members, **more,
    )  # fmt: skip


def played(
    game: Game, kind: str, *, seeds: Iterable[int] = (0,), orders: Any = (), noise: float = 0.0
) -> ExecutionView:
    """Return an execution in which every coalition was trained and reached what the game gives it."""
    spec = {"evaluation": {"split_seed": 1, "contributions": {"kind": kind}}}
    untrained = (RoundView(round=0, metrics={"auc": game(frozenset())}),)
    runs = []
    for seed in seeds:
        whole = game(frozenset(SITES)) + noise * seed
        runs.append(run(seed, whole, role="arm", spec=spec, table=untrained, orders=orders))
        chosen = [one for one in subsets(SITES) if 0 < len(one) < 3 and (kind == "shapley" or len(one) == 2)]
        runs += [run(seed, game(members), members=tuple(sorted(members)), spec=spec) for members in chosen]
    return view_execution([replace(one, place=place) for place, one in enumerate(runs)])


def only(execution: ExecutionView) -> Contributions:
    (found,) = contributions(execution, "auc")
    return found


def values(found: Contributions) -> list[float]:
    return [one.value.mean for one in found.sites]


def test_a_site_left_out_is_worth_what_is_lost() -> None:
    found = only(played(gloves, "leave-one-out"))
    assert [one.site for one in found.sites] == list(SITES)
    assert values(found) == [1.0, 0.0, 0.0]
    assert [one.value.low for one in found.sites] == [None] * 3
    assert (found.coalitions, found.orders, found.n) == (3, 0, 1)


def test_repeats_give_an_interval() -> None:
    found = only(played(gloves, "leave-one-out", seeds=range(4), noise=0.01))
    first = found.sites[0].value
    assert (first.n, first.how) == (4, "t over repeats")
    assert first.low is not None
    assert first.high is not None
    assert first.low < first.mean < first.high


def test_exact_shapley_values_have_no_sampling_error() -> None:
    found = only(played(gloves, "shapley"))
    assert values(found) == pytest.approx([2 / 3, 1 / 6, 1 / 6])
    assert sum(values(found)) == pytest.approx(found.together - (found.nobody or 0.0))
    assert [one.standard_error for one in found.sites] == [None] * 3
    assert (found.coalitions, found.orders) == (6, 0)


def test_sampled_shapley_values_add_up_and_say_their_error() -> None:
    draw = np.random.default_rng(0)
    orders = tuple(tuple(draw.permutation(SITES).tolist()) for _ in range(40))
    found = only(played(lambda members: 0.5 + 0.1 * gloves(members), "shapley", orders=orders))
    assert sum(values(found)) == pytest.approx(found.together - (found.nobody or 0.0))
    assert found.orders == 40
    for one, exact in zip(found.sites, (2 / 30, 1 / 60, 1 / 60), strict=True):
        assert one.standard_error is not None
        assert one.value.low is not None
        assert abs(one.value.mean - exact) < 3 * one.standard_error
        assert one.value.how == "orders of sites"


def test_the_interval_of_sampled_values_holds_the_exact_one() -> None:
    """In about 95 of 100 samples."""
    held = 0
    for seed in range(200):
        draw = np.random.default_rng(seed)
        orders = tuple(tuple(draw.permutation(SITES).tolist()) for _ in range(30))
        value = only(played(gloves, "shapley", orders=orders)).sites[0].value
        held += (value.low or 0.0) <= 2 / 3 <= (value.high or 0.0)
    assert 180 <= held <= 198


def test_a_repeat_with_a_run_that_failed_does_not_count() -> None:
    whole = played(gloves, "shapley", seeds=range(2))
    broken = replace(whole.coalitions[0], final=None)
    assert only(replace(whole, coalitions=(broken, *whole.coalitions[1:]))).n == 1
    alone = played(gloves, "shapley")
    assert contributions(replace(alone, coalitions=(broken, *alone.coalitions[1:])), "auc") == ()


def test_without_coalitions_there_is_nothing_to_tell() -> None:
    assert contributions(replace(played(gloves, "shapley"), coalitions=()), "auc") == ()


def test_an_arm_may_write_the_kind_alone() -> None:
    """A journal has what an arm overrides as it was written."""
    spec = {"evaluation": {"split_seed": 1}, "arm": [{"name": "base", "evaluation": {"contributions": "shapley"}}]}
    whole = played(gloves, "shapley")
    arms = {name: tuple(replace(one, spec=spec) for one in runs) for name, runs in whole.arms.items()}
    short = view_execution([*chain.from_iterable(arms.values()), *whole.coalitions])
    assert only(short) == only(whole)
