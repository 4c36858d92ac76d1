"""A site's judgement of the last model in parts: by groups of patients, and with one feature shuffled at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np

from medfl import seeds
from medfl.learn.data.grouping import Groups
from medfl.learn.importance import shuffled
from medfl.learn.metrics import judge
from medfl.learn.metrics.subgroups import named
from medfl.learn.model import Examples, Floats
from medfl.learn.statistic import Statistic, total
from medfl.privacy.suppression import Counts, Mask, suppressed
from medfl.site.desk import Prepared


@dataclass(frozen=True, slots=True)
class Shown:
    """What of one grouping may leave.

    Parameters
    ----------
    groups, counts
        Who belongs to which group; test rows of each group by class.
    shown, hidden
        Which groups leave, and which are suppressed. Where none is shown, not even names leave.
    """

    groups: Groups
    counts: Counts
    shown: Mask
    hidden: Mask

    @property
    def words(self) -> dict[str, Any]:
        """Which groups leave and which do not, by name."""
        if not self.shown.any():
            return {"withheld": True, "shown": [], "suppressed": []}
        shown, hidden = (list(compress(self.groups.names, which)) for which in (self.shown, self.hidden))
        return {"withheld": False, "shown": shown, "suppressed": hidden}

    def rows(self, name: str) -> tuple[Mask, Counts]:
        """Return the test rows of a group and their counts by class; nobody where it may not leave."""
        place = self.groups.names.index(name) if name in self.groups.names else None
        if place is None or not self.shown[place]:
            return np.zeros(len(self.groups.codes), np.bool_), np.zeros_like(self.counts[0])
        return self.groups.codes == place, self.counts[place]


def shown(prepared: Prepared, groupings: Mapping[str, Groups], *, fewest: int) -> dict[str, Shown]:
    """Return what of each grouping may leave: a group stays if it has fewer rows than that, in all or of a class."""
    found = {}
    for grouping, groups in groupings.items():
        counts = _counts(groups, prepared)
        hidden = suppressed(counts, fewest=fewest)
        found[grouping] = Shown(groups, counts, (counts.sum(axis=1) > 0) & ~hidden, hidden)
    return found


def by_group(
    prepared: Prepared,
    scores: Floats,
    groupings: Mapping[str, Shown],
    *,
    threshold: float | None,
    names: Mapping[str, Sequence[str]] | None = None,
) -> Statistic:
    """Return the sums of those groups that may leave.

    Parameters
    ----------
    prepared, scores
        The test rows, and the model's scores of them on the outcome's own scale.
    groupings
        What may leave, by the grouping's name.
    threshold
        As for :func:`medfl.learn.metrics.judge.measure`.
    names
        The groups to speak of, with zeros for those that do not leave: in a secure sum all sites must send alike.
        Those that leave where None.
    """
    parts: list[Statistic] = []
    outcome, truth = prepared.agreement.outcome, prepared.recipe.restored(prepared.test.outcome)
    for grouping, may in groupings.items():
        for name in names[grouping] if names is not None else may.words["shown"]:
            mine, counts = may.rows(name)
            measured = judge.measure(outcome, scores[mine], truth[mine], threshold=threshold)
            measured += Statistic({"patients": counts})
            parts.append(measured.prefixed(named(grouping, name)))
    return total(parts)


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
