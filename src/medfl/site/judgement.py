"""What a site says of how a model does on its test rows, read from sums; and such sums made safe to tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from medfl import seeds
from medfl.learn.metrics import judge, ranking
from medfl.learn.model import Outcome
from medfl.learn.statistic import Array, Statistic
from medfl.privacy import cells
from medfl.privacy.suppression import Counts


def told(outcome: Outcome, statistic: Statistic, *, how: Mapping[str, Any], seed: int, site: str) -> dict[str, Any]:
    """Return a site's metrics and their intervals.

    Parameters
    ----------
    outcome, statistic
        What is predicted, and what was counted of it.
    how
        What the hub asked for: ``samples``, ``threshold``, ``brief``.
    seed, site
        They name the bootstrap's random numbers.
    """
    samples, threshold = how["samples"], how["threshold"]
    found = judge.metrics(outcome, statistic, threshold=threshold, brief=how["brief"])
    if not samples:
        return {"metrics": found, "intervals": {}}
    generator = seeds.generator(seed, site=site, purpose="bootstrap")
    limits = judge.intervals(outcome, statistic, found, samples=samples, generator=generator)
    return {"metrics": found, "intervals": limits}


RATES = frozenset({"accuracy", "sensitivity", "specificity", "ppv", "npv", "f1"})
"""Metrics that are counts of right and wrong decisions over others: of few patients, they are a count of one."""


def enough(outcome: Outcome, statistic: Statistic, *, fewest: int, test_rows: int) -> bool:
    """Say whether there are enough test rows, and none or enough of each class, to tell how a model does."""
    classes = _classes(outcome, statistic)
    return int(classes.sum()) >= test_rows and cells.tellable(classes, fewest=fewest)


def secret_rates(outcome: Outcome, statistic: Statistic, metrics: Mapping[str, Any], *, fewest: int) -> frozenset[str]:
    """Return the rates that give away a small count of right or wrong decisions: all of them, or none.

    Of two, a third could be computed. What depends on all scores at once, such as an AUC, gives no count away.

    Parameters
    ----------
    outcome, statistic
        What is predicted, and what was counted of it.
    metrics
        What was read from it; says at which threshold.
    fewest
        The smallest count that may be told.
    """
    rates = RATES & metrics.keys()
    if not rates:
        return frozenset()
    if outcome.kind == "multiclass":
        counts = statistic["confusion"]
    else:
        at = metrics["threshold"]
        edge = ranking.edge_near(at) if at is not None else 1
        counts = statistic.arrays.get(f"confusion@{at!r}", ranking.split_at(statistic["scores"], edge))
    return frozenset() if cells.tellable(counts, fewest=fewest) else rates


def coarse(outcome: Outcome, statistic: Statistic, *, fewest: int, test_rows: int) -> Statistic:
    """Return the sums with histogram bins merged so that no small count of patients is in them, nor follows from them.

    Parameters
    ----------
    outcome
        What is predicted.
    statistic
        As :func:`medfl.learn.metrics.judge.measure` counts it.
    fewest
        The smallest count that may be told.
    test_rows
        Rows without which, and classes below `fewest` with which, all is zero: nothing is told.
    """
    if not enough(outcome, statistic, fewest=fewest, test_rows=test_rows):
        return Statistic({name: np.zeros_like(array) for name, array in statistic.arrays.items()})
    arrays: dict[str, Array] = dict(statistic.arrays)
    match outcome.kind:
        case "binary":
            arrays["scores"] = _merged(arrays["scores"], fewest)
            if "reliability" in arrays:
                places = cells.merged(arrays["reliability"], fewest=fewest)
                arrays |= {name: cells.moved(arrays[name], places) for name in ("reliability", "predicted")}
            for name in [name for name in arrays if name.startswith("confusion@")]:
                if not cells.tellable(arrays[name], fewest=fewest):
                    # Without it the operating point is read from the histogram's edges.
                    arrays[name] = np.zeros_like(arrays[name])
        case "multiclass":
            arrays["scores"] = np.stack([_merged(one, fewest) for one in arrays["scores"]])
            hidden = cells.hidden_in_table(arrays["confusion"], fewest=fewest)
            arrays["confusion"] = np.where(hidden, 0, arrays["confusion"])
        case "regression":
            if "rows" in arrays:
                places = cells.merged(arrays["rows"][np.newaxis], fewest=fewest)
                arrays |= {name: cells.moved(arrays[name], places) for name in ("rows", "numbers")}
    return Statistic(arrays)


def _classes(outcome: Outcome, statistic: Statistic) -> Counts:
    """Return the test rows of each class; of a numeric outcome, all."""
    match outcome.kind:
        case "binary":
            rows = statistic["scores"].sum(axis=1)
        case "multiclass":
            rows = statistic["scores"][:, 1].sum(axis=1)
        case "regression":
            rows = statistic["moments"][0, :1]
    return np.asarray(np.rint(rows), np.int64)


def _merged(histogram: Counts, fewest: int) -> Array:
    return cells.moved(histogram, cells.merged(histogram, fewest=fewest))
