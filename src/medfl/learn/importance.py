"""Permutation importance (Breiman 2001, section 10; Fisher, Rudin & Dominici 2019, section 3.2), from sums.

Each site shuffles one feature at a time within its own test rows and counts as it would otherwise; the hub adds up and
reads the metric. Shuffling inside sites leaves what differs between sites in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from medfl.learn.data.recipe import Recipe
from medfl.learn.metrics import judge
from medfl.learn.model import Floats
from medfl.learn.statistic import Array, Statistic


def shuffled(
    recipe: Recipe,
    features: Floats,
    measure: Callable[[Floats], Statistic],
    *,
    repeats: int,
    draw: Callable[[str, int], np.random.Generator],
) -> Statistic:
    """Return the sums of one site's rows with one feature shuffled, for each feature and repeat.

    Parameters
    ----------
    recipe
        Says which columns belong to one feature: all of them move together.
    features
        The test rows, shape (rows, columns).
    measure
        Counts how the model does on such rows.
    repeats
        How often each feature is shuffled.
    draw
        Gives the generator for a feature and a repeat.
    """
    arrays: dict[str, Array] = {}
    start = 0
    for place, feature in enumerate(recipe.features):
        columns = slice(start, start + len(feature.outputs))
        start = columns.stop
        for repeat in range(repeats):
            moved = features.copy()
            moved[:, columns] = features[draw(feature.name, repeat).permutation(len(features)), columns]
            arrays |= measure(moved).prefixed(_key(place, repeat)).arrays
    return Statistic(arrays)


def read(recipe: Recipe, pooled: Statistic, *, repeats: int) -> Iterator[dict[str, Any]]:
    """Yield for each feature the value of each metric in each repeat, read from the sum over sites."""
    for place, feature in enumerate(recipe.features):
        sums = [pooled.under(_key(place, repeat)) for repeat in range(repeats)]
        each = [judge.metrics(recipe.outcome, one, brief=True) for one in sums]
        yield {"feature": feature.name, "metrics": {name: [found[name] for found in each] for name in each[0]}}


def _key(place: int, repeat: int) -> str:
    return f"{place}/{repeat}"
