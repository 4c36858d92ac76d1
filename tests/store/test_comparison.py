from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from medfl.events import Evaluated, Role, SiteDropped
from medfl.store.comparison import (
    Comparison,
    across,
    average_across,
    average_of_sites,
    comparisons,
    estimate,
    holm,
    paired_test,
)
from medfl.store.folding import view_execution
from medfl.store.views import ExecutionView, RunView, SiteView

FIXED: Mapping[str, Any] = {"evaluation": {"split_seed": 3, "test_fraction": 0.2}}
DRAWN: Mapping[str, Any] = {"evaluation": {"test_fraction": 0.2}}


def run(
    seed: int, pooled: float | None, *sites: float | None, arm: str = "a", role: Role = "arm", spec: Any = DRAWN
) -> RunView:
    names = [f"site-{number}" for number in range(1, len(sites) + 1)]
    final = Evaluated(
        run="r", round=1, pooled={} if role == "local-only" else {"auc": pooled},
        sites={name: {"auc": value} for name, value in zip(names, sites, strict=True)}, final=True,
        pooled_intervals={"auc": (0.1, 0.9)}, site_intervals={"site-1": {"auc": (0.2, 0.8)}},
    )  # fmt: skip
    return RunView(
        run=f"{arm}-{seed}", execution="x", study="s", digest="", spec=spec, base="", engine="", role=role, arm=arm,
        seed=seed, status="finished", final=final, latest=final,
    )  # fmt: skip


def runs(values: Sequence[float], arm: str = "a", spec: Any = DRAWN) -> list[RunView]:
    return [run(seed, value, arm=arm, spec=spec) for seed, value in enumerate(values)]


def test_an_estimate_is_the_t_interval_over_repeats() -> None:
    values = [0.81, 0.83, 0.80, 0.86, 0.84]
    found = across(runs(values), "auc")
    assert found is not None
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    assert (found.n, found.how) == (5, "t over repeats")


def test_one_repeat_takes_its_bootstrap_interval() -> None:
    alone = [run(0, 0.5, 0.6, 0.7)]
    pooled, first, second = across(alone, "auc"), *(across(alone, "auc", site=f"site-{n}") for n in (1, 2))
    assert pooled is not None
    assert (pooled.mean, pooled.low, pooled.high, pooled.n, pooled.how) == (0.5, 0.1, 0.9, 1, "bootstrap")
    assert first is not None
    assert (first.mean, first.low, first.high, first.how) == (0.6, 0.2, 0.8, "bootstrap")
    assert second is not None
    assert (second.mean, second.low, second.high, second.how) == (0.7, None, None, "single value")


def test_what_no_run_has_is_none() -> None:
    unjudged = replace(run(0, 0.5), final=None)
    assert across([], "auc") is None
    assert across([unjudged, run(1, None)], "auc") is None
    assert across([run(0, 0.5)], "rmse") is None
    assert across([run(0, 0.5)], "auc", site="elsewhere") is None
    assert average_of_sites(unjudged, "auc") is None
    assert average_across([unjudged], "auc") is None


def test_the_average_of_sites_leaves_out_where_it_is_not_defined() -> None:
    assert average_of_sites(run(0, 0.5, 0.6, None, 0.9), "auc") == pytest.approx(0.75)
    assert average_of_sites(run(0, 0.5, None), "auc") is None
    found = average_across([run(0, 0.5, 0.6, 0.8), run(1, 0.5, 0.7, 0.7)], "auc")
    assert found is not None
    assert found.mean == pytest.approx(0.7)
    assert found.low == pytest.approx(0.7)


def test_with_one_split_it_is_the_paired_t_test() -> None:
    a, b = [0.81, 0.83, 0.80, 0.86, 0.84], [0.80, 0.80, 0.81, 0.82, 0.80]
    found = paired_test(runs(a, spec=FIXED), runs(b, "b", FIXED), metric="auc")
    reference = stats.ttest_rel(a, b)
    interval = reference.confidence_interval(0.95)
    assert (found.test, found.n, found.reason) == ("paired t-test", 5, "")
    assert found.p == pytest.approx(reference.pvalue)
    assert found.difference is not None
    assert (found.difference.low, found.difference.high) == pytest.approx((interval.low, interval.high))
    assert (found.first_mean, found.second_mean) == pytest.approx((np.mean(a), np.mean(b)))
    assert (found.first, found.second, found.scope) == ("a", "b", "pooled")


def test_with_a_split_for_each_repeat_the_variance_is_corrected() -> None:
    a, b = [0.81, 0.83, 0.80, 0.86, 0.84], [0.80, 0.80, 0.81, 0.82, 0.80]
    found = paired_test(runs(a), runs(b, "b"), metric="auc")
    d = np.subtract(a, b)
    error = np.sqrt((1 / 5 + 0.2 / 0.8) * d.var(ddof=1))
    assert found.test == "corrected resampled t-test"
    assert found.p == pytest.approx(2 * stats.t.sf(abs(d.mean()) / error, 4))
    assert found.difference is not None
    half = stats.t.ppf(0.975, 4) * error
    assert (found.difference.low, found.difference.high) == pytest.approx((d.mean() - half, d.mean() + half))


def test_the_overlap_is_counted_where_rows_were_counted() -> None:
    a, b = [0.81, 0.83, 0.80], [0.80, 0.80, 0.81]
    sites = {"one": SiteView(name="one", train_rows=10, test_rows=10), "two": SiteView(name="two", train_rows=30)}
    found = paired_test([replace(r, sites=sites) for r in runs(a)], runs(b, "b"), metric="auc")
    d = np.subtract(a, b)
    error = np.sqrt((1 / 3 + 10 / 40) * d.var(ddof=1))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(d.mean()) / error, 2))


@pytest.mark.parametrize("key", ["split_seed", "test_ids"])
def test_a_split_by_seed_or_by_ids_is_one_split(key: str) -> None:
    spec = {"evaluation": {key: {"north": "ids.txt"} if key == "test_ids" else 0}}
    assert paired_test(runs([0.1, 0.2], spec=spec), runs([0.1, 0.3], "b", spec), metric="auc").test == "paired t-test"


def test_repeats_are_paired_by_seed() -> None:
    a, b = runs([0.1, 0.2, 0.3, 0.4]), list(reversed(runs([0.1, 0.1, 0.1], "b")))
    found = paired_test(a, b, metric="auc")
    assert found.n == 3
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(0.1)


def test_what_was_judged_without_a_site_is_not_compared_with_what_was_judged_with_it() -> None:
    gone = {"b": SiteDropped(run="r", round=3, site="b", by="ada", why="ill")}
    ours, theirs = runs([0.7, 0.8, 0.9]), runs([0.6, 0.7, 0.8], "b")
    found = paired_test(ours, [theirs[0], theirs[1], replace(theirs[2], dropped=gone)], metric="auc")
    assert found.n == 2
    found = paired_test(ours, [replace(one, dropped=gone) for one in theirs], metric="auc")
    assert (found.n, found.first_mean) == (0, None)
    assert "not judged on the same patients" in found.reason
    alike = [replace(one, dropped=gone) for one in (*ours, *theirs)]
    assert paired_test(alike[:3], alike[3:], metric="auc").n == 3


def test_one_repeat_has_a_difference_and_no_p() -> None:
    found = paired_test(runs([0.7]), runs([0.6], "b"), metric="auc")
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(0.1)
    assert found.difference.low is None
    assert (found.p, found.n) == (None, 1)
    assert "repeats" in found.reason


def test_no_shared_repeat_has_neither() -> None:
    found = paired_test([run(1, 0.7)], [run(2, 0.6, arm="b")], metric="auc")
    assert (found.difference, found.p, found.n) == (None, None, 0)
    assert "seed" in found.reason


@pytest.mark.parametrize(
    ("a", "b"), [([0.5, 0.75], [0.25, 0.5]), ([0.81, 0.83], [0.8, 0.82]), ([0.5, 0.6], [0.5, 0.6])]
)
def test_a_difference_that_never_varies_but_by_rounding_has_no_p(a: list[float], b: list[float]) -> None:
    found = paired_test(runs(a), runs(b, "b"), metric="auc")
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(a[0] - b[0])
    assert found.p is None
    assert "same in every repeat" in found.reason


def with_p(p: float | None) -> Comparison:
    return Comparison(first="a", second="b", metric="auc", scope="pooled", p=p)


def test_holm_by_hand() -> None:
    found = [result.p_holm for result in holm(map(with_p, [0.01, 0.04, None, 0.03, 0.005]))]
    assert found == [pytest.approx(0.03), pytest.approx(0.06), None, pytest.approx(0.06), pytest.approx(0.02)]


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8))
def test_holm_never_helps_nor_turns_the_order(ps: list[float]) -> None:
    found = holm(map(with_p, ps))
    corrected = [result.p_holm or 0.0 for result in found]
    assert all(p <= q <= min(1.0, p * len(ps)) for p, q in zip(ps, corrected, strict=True))
    ordered = [corrected[i] for i in sorted(range(len(ps)), key=ps.__getitem__)]
    assert ordered == sorted(ordered)


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6))
def test_an_interval_holds_its_mean(values: list[float]) -> None:
    found = estimate(values)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.mean <= found.high


def execution() -> ExecutionView:
    rng = np.random.Generator(np.random.PCG64(1))

    def three(arm: str, role: Role, level: float) -> list[RunView]:
        noise = rng.normal(0.0, 0.01, (3, 3))
        return [
            run(seed, level + noise[seed, 0], level + noise[seed, 1], level + noise[seed, 2], arm=arm, role=role)
            for seed in range(3)
        ]

    every = [*three("a", "arm", 0.8), *three("b", "arm", 0.82)]
    every += [*three("centralised", "centralised", 0.83), *three("local-only", "local-only", 0.7)]
    return view_execution([replace(one, place=place) for place, one in enumerate(every)])


def test_arms_are_compared_with_each_other_and_with_the_baselines() -> None:
    found = comparisons(execution(), "auc")
    assert [(result.first, result.second, result.scope) for result in found] == [
        ("a", "b", "pooled"),
        ("a", "centralised", "pooled"),
        ("b", "centralised", "pooled"),
        ("a", "local-only", "average of sites"),
        ("b", "local-only", "average of sites"),
    ]
    assert all(result.p is not None and (result.p_holm or 0.0) >= result.p for result in found)
    assert found[3].difference is not None
    assert found[3].difference.mean == pytest.approx(0.1, abs=0.02)


def test_without_baselines_there_is_nothing_to_compare_one_arm_with() -> None:
    one = [run for run in execution().runs if run.arm == "a"]
    assert comparisons(view_execution(one), "auc") == ()
