"""How the classes of a data set's outcome are balanced, as far as a site's policy lets its hub know that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medfl.channel import CLASSES, NAME, plain
from medfl.privacy.balance import shares
from medfl.site.policy import Facts
from medfl.site.rules import Rules

RULE = "releases.label_balance"


def balance(rules: Rules, facts: Facts, *, target: str, classes: Sequence[str]) -> tuple[dict[str, Any] | None, str]:
    """Return how many parts of the whole each class has, or None; and why nothing is told, in words.

    Both follow from the outcomes, the reason too. So neither may be told of nearly the same patients twice, which is
    for the catalogue to keep.

    Parameters
    ----------
    rules
        The site's policy.
    facts
        What it may look at of the table.
    target
        The outcome.
    classes
        Its classes, as they may be told.
    """
    if not rules.releases.label_balance:
        return None, ""
    found = dict(facts.counted(target))
    if len(classes) < 2 or {*classes} != {*found}:
        return None, _stayed("the outcome has no two classes that are told", RULE)
    # Names are cut on their way: where two become one, their parts would be told of one class, or of none.
    if len({plain(name, NAME) for name in classes}) < len(classes) or len(classes) > CLASSES:
        why = f"its classes are more than {CLASSES}, or their names alike in the first {NAME} letters"
        return None, _stayed(why, RULE)
    near = rules.counts.minimum_difference
    if sum(found.values()) < near:
        return None, _stayed(f"fewer than {near} rows have an outcome", "counts.minimum_difference")
    told = shares(np.array([found[name] for name in classes], np.int64), fewest=_fewest(rules))
    if told is None:
        return None, _stayed("too few rows, or too few of a class", "counts.minimum")
    parts, whole = told
    return {"parts": dict(zip(classes, parts, strict=True)), "of": whole}, ""


def _fewest(rules: Rules) -> int:
    """Return the smallest count that may show; where counts are rounded, what they are rounded to."""
    counts = rules.counts
    return max(counts.minimum, counts.base) if counts.treatment == "round" else counts.minimum


def _stayed(why: str, rule: str) -> str:
    return f"the balance of the outcome's classes stayed: {why} ({rule} in the site's policy)"
