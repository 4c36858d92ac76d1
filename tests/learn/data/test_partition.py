"""Dealing a table to sites: every row once, in every way, and the same each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from medfl.learn.data.partition import deal
from medfl.spec.data import Simulate

PARTITIONS: list[dict[str, Any]] = [
    {"kind": "iid"},
    {"kind": "dirichlet", "alpha": 0.7, "min_rows": 2},
    {"kind": "quantiles", "column": "age"},
    {"kind": "column", "column": "ward"},
]


def ward(rows: int, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": draw.integers(20, 90, rows).astype(float),
            "ward": draw.choice(["east", "north"], rows),
            "sick": draw.choice(["no", "yes", "NA"], rows),
            "score": draw.normal(size=rows),
        }
    )
    frame.loc[0, "age"] = np.nan
    frame.loc[:1, "ward"] = ["east", "north"]
    return frame


def dealt(frame: pd.DataFrame, partition: dict[str, Any], *, target: str = "sick", **more: Any) -> dict[str, Any]:
    settings = {"partition": partition} | ({} if partition["kind"] == "column" else {"sites": 3}) | more
    return deal(frame, Simulate.model_validate(settings), target=target, seed=11)


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(20, 200), partition=st.sampled_from(PARTITIONS), target=st.sampled_from(["sick", "score"]))
def test_every_row_is_dealt_once_and_the_same_each_time(rows: int, partition: dict[str, Any], target: str) -> None:
    frame = ward(rows, rows)
    first, again = dealt(frame, partition, target=target), dealt(frame, partition, target=target)
    assert sorted(np.concatenate(list(first.values())).tolist()) == list(range(rows))
    assert list(first) == (["east", "north"] if partition["kind"] == "column" else ["site-01", "site-02", "site-03"])
    for site, part in first.items():
        assert part.dtype == np.int64
        assert_array_equal(part, again[site])
        assert_array_equal(part, np.sort(part))


@pytest.mark.parametrize("kind", ["iid", "quantiles"])
def test_shares_are_equal(kind: str) -> None:
    sizes = [
        len(part) for part in dealt(ward(50), {"kind": kind} | ({"column": "age"} if kind != "iid" else {})).values()
    ]
    assert max(sizes) - min(sizes) <= 1


def test_quantiles_are_consecutive_and_missing_values_come_last() -> None:
    frame = ward(60)
    parts = [frame["age"].iloc[part] for part in dealt(frame, {"kind": "quantiles", "column": "age"}).values()]
    assert parts[0].max() <= parts[1].min()
    assert parts[1].max() <= parts[2].min()
    assert np.isnan(parts[2].iloc[0])


def test_ties_keep_the_order_of_the_table() -> None:
    frame = pd.DataFrame({"age": [1.0] * 6})
    parts = dealt(frame, {"kind": "quantiles", "column": "age"}, target="age")
    assert [part.tolist() for part in parts.values()] == [[0, 1], [2, 3], [4, 5]]


def test_one_site_a_value_with_names_of_ones_own() -> None:
    frame = ward(30)
    parts = dealt(frame, {"kind": "column", "column": "ward"}, names=["E", "N"])
    assert set(frame["ward"].iloc[parts["E"]]) == {"east"}
    assert set(frame["ward"].iloc[parts["N"]]) == {"north"}


def test_dirichlet_gives_every_site_its_fewest_rows_and_a_small_alpha_skews_classes() -> None:
    frame = ward(3000)
    even = dealt(frame, {"kind": "dirichlet", "alpha": 1000.0, "min_rows": 100})
    skewed = dealt(frame, {"kind": "dirichlet", "alpha": 0.1, "min_rows": 100})
    assert min(map(len, skewed.values())) >= 100

    def spread(parts: dict[str, Any]) -> float:
        shares = [(frame["sick"].iloc[part] == "yes").mean() for part in parts.values()]
        return float(max(shares) - min(shares))

    assert spread(even) < 0.1 < spread(skewed)


def test_dirichlet_by_deciles_of_a_number() -> None:
    frame = ward(2000)
    parts = dealt(frame, {"kind": "dirichlet", "alpha": 0.2, "min_rows": 50}, target="score")
    means = [frame["score"].iloc[part].mean() for part in parts.values()]
    assert max(means) - min(means) > 0.2


def test_another_seed_deals_otherwise() -> None:
    simulate = Simulate(sites=3)
    one, two = (deal(ward(50), simulate, target="sick", seed=seed)["site-01"].tolist() for seed in (1, 2))
    assert one != two


def test_a_million_rows_to_a_thousand_sites() -> None:
    frame = pd.DataFrame({"sick": np.arange(1_000_000) % 2})
    simulate = Simulate.model_validate({"sites": 1000, "partition": {"kind": "dirichlet", "alpha": 5.0}})
    parts = deal(frame, simulate, target="sick", seed=0)
    assert sum(map(len, parts.values())) == 1_000_000
