"""Permutation importance from sums: exact where it can be known, and the same pooled as over sites."""

from __future__ import annotations

import numpy as np
import pytest

from medfl import seeds
from medfl.learn.data.recipe import Feature, Recipe
from medfl.learn.importance import read, shuffled
from medfl.learn.metrics import judge
from medfl.learn.model import Floats
from medfl.learn.statistic import Statistic
from medfl.testing.federation import BINARY

RECIPE = Recipe(
    features=(
        Feature("used", "numeric"),
        Feature("ward", "one-hot", categories=("a", "b", "c")),
        Feature("unused", "numeric"),
    ),
    offset=(0.0,) * 5,
    factor=(1.0,) * 5,
    outcome=BINARY,
    centre=0.0,
    spread=1.0,
    class_counts=(1, 1),
    rows=2,
    impute="none",
    scale="none",
    bins=10,
)
WEIGHTS = np.array([2.0, 1.0, -1.0, 0.5, 0.0], np.float32)


def rows(seed: int, count: int = 300) -> tuple[Floats, Floats]:
    draw = np.random.default_rng(seed)
    wards = np.eye(3, dtype=np.float32)[draw.integers(3, size=count)]
    features = np.column_stack([draw.normal(size=count), wards, draw.normal(size=count)]).astype(np.float32)
    return features, (features @ WEIGHTS + draw.normal(size=count) > 0).astype(np.float32)


def sums(seed: int, site: str, repeats: int = 4) -> Statistic:
    features, truth = rows(seed)

    def measured(moved: Floats) -> Statistic:
        assert (moved[:, 1:4].sum(axis=1) == 1).all(), "the columns of a category move together"
        assert np.array_equal(np.sort(moved, axis=0), np.sort(features, axis=0)), "within one site"
        return judge.measure(BINARY, moved @ WEIGHTS, truth, brief=True)

    def draw(feature: str, repeat: int) -> np.random.Generator:
        return seeds.generator(7, round=repeat, site=site, purpose=feature)

    return shuffled(RECIPE, features, measured, repeats=repeats, draw=draw)


def test_only_what_the_model_uses_costs_anything() -> None:
    pooled = sums(0, "east") + sums(1, "west")
    whole = Statistic()
    for seed in (0, 1):
        features, truth = rows(seed)
        whole = whole + judge.measure(BINARY, features @ WEIGHTS, truth, brief=True)
    auc = judge.metrics(BINARY, whole, brief=True)["auc"]
    found = {entry["feature"]: entry["metrics"]["auc"] for entry in read(RECIPE, pooled, repeats=4)}
    assert auc is not None
    assert list(found) == ["used", "ward", "unused"]
    assert found["unused"] == [auc] * 4
    assert auc - np.mean(found["used"]) > 0.2
    assert 0.02 < auc - np.mean(found["ward"]) < 0.2
    assert len(set(found["used"])) == 4, "each shuffling is another"


def test_sites_and_repeats_shuffle_by_themselves_and_always_alike() -> None:
    east, again, west = sums(0, "east"), sums(0, "east"), sums(0, "west")
    assert all(np.array_equal(east[name], again[name]) for name in east.arrays)
    assert any(not np.array_equal(east[name], west[name]) for name in east.arrays)
    assert len(east.arrays) == 3 * 4 * 2


@pytest.mark.parametrize("repeats", [1, 3])
def test_more_repeats_only_add(repeats: int) -> None:
    few, many = sums(0, "east", repeats), sums(0, "east", 4)
    assert all(np.array_equal(few[name], many[name]) for name in few.arrays)
