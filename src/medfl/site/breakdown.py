"""A site's judgement of the last model in parts: by groups of patients, and with one feature shuffled at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from medfl import seeds
from medfl.learn.data.grouping import Groups
from medfl.learn.importance import shuffled
from medfl.learn.metrics import judge
from medfl.learn.metrics.subgroups import named
from medfl.learn.model import Examples, Floats
from medfl.learn.statistic import Statistic, total
from medfl.privacy.suppression import Counts, suppressed
from medfl.site.desk import Prepared


def by_group(
    prepared: Prepared, scores: Floats, groupings: Mapping[str, Groups], *, threshold: float | None, fewest: int
) -> tuple[dict[str, Any], Statistic]:
    """Return which groups leave and which do not, and the sums of those that do.

    Parameters
    ----------
    prepared, scores
        The test rows, and the model's scores of them on the outcome's own scale.
    groupings
        Who belongs to which group, by the grouping's name.
    threshold
        As for :func:`medfl.learn.metrics.judge.measure`.
    fewest
        Rows, in all and of each class, below which a group stays.
    """
    words: dict[str, Any] = {}
    parts: list[Statistic] = []
    outcome, truth = prepared.agreement.outcome, prepared.recipe.restored(prepared.test.outcome)
    for grouping, groups in groupings.items():
        counts = _counts(groups, prepared)
        hidden = suppressed(counts, fewest=fewest)
        shown = (counts.sum(axis=1) > 0) & ~hidden
        if not shown.any():
            words[grouping] = {"withheld": True, "shown": [], "suppressed": []}
            continue
        names = {"shown": list(_picked(groups, shown)), "suppressed": list(_picked(groups, hidden))}
        words[grouping] = {"withheld": False, **names}
        for place in np.flatnonzero(shown):
            mine = groups.codes == place
            measured = judge.measure(outcome, scores[mine], truth[mine], threshold=threshold)
            measured += Statistic({"patients": counts[place]})
            parts.append(measured.prefixed(named(grouping, groups.names[place])))
    return words, total(parts)


def by_feature(prepared: Prepared, weights: Floats, *, repeats: int, seed: int, site: str) -> Statistic:
    """Return the sums with each feature shuffled, as :func:`medfl.learn.importance.shuffled` does.

    The order that rows are shuffled into is drawn from the run's seed and from the rows themselves. The hub knows the
    seed; if it knew the orders too, each sum would be an equation for the values of single patients.
    """
    outcome, recipe = prepared.agreement.outcome, prepared.recipe
    truth, secret = recipe.restored(prepared.test.outcome), _digest(prepared.test)

    def measured(features: Floats) -> Statistic:
        scores = recipe.restored(prepared.model.scores(weights, features))
        return judge.measure(outcome, scores, truth, brief=True)

    def draw(feature: str, repeat: int) -> np.random.Generator:
        return seeds.generator(seed, round=repeat, site=site, purpose=f"shuffle of {feature} in {secret}")

    return shuffled(recipe, prepared.test.features, measured, repeats=repeats, draw=draw)


def _digest(rows: Examples) -> str:
    """Return what is the same whenever these rows are read, and known to nobody who has not got them."""
    found = hashlib.sha256(np.ascontiguousarray(rows.features).tobytes())
    found.update(np.ascontiguousarray(rows.outcome).tobytes())
    return found.hexdigest()


def _counts(groups: Groups, prepared: Prepared) -> Counts:
    """Return the rows of each group by class, shape (groups, classes)."""
    outcome = prepared.agreement.outcome
    classes = max(len(outcome.classes), 1)
    labels = prepared.test.outcome.astype(np.int64) if outcome.classes else np.zeros(len(prepared.test), np.int64)
    table = np.bincount(groups.codes * classes + labels, minlength=len(groups.names) * classes)
    return table.reshape(len(groups.names), classes)


def _picked(groups: Groups, which: Any) -> Iterator[str]:
    yield from (name for name, is_one in zip(groups.names, which, strict=True) if is_one)
