"""How the classes of a data set's outcome are balanced, as far as a site's policy lets its hub know that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medfl.learn.data.prints import Prints
from medfl.privacy.balance import shares
from medfl.site.policy import Facts
from medfl.site.remembered import Remembered
from medfl.site.rules import Rules

RULE = "releases.label_balance"


def balance(
    rules: Rules, facts: Facts, memory: Remembered, *, target: str, classes: Sequence[str]
) -> tuple[dict[str, Any] | None, str]:
    """Return how many parts of the whole each class has, or None; and why nothing is told, in words.

    Parameters
    ----------
    rules
        The site's policy.
    facts
        What it may look at of the table.
    memory
        What was told before.
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
    told = shares(np.array([found[name] for name in classes], np.int64), fewest=_fewest(rules))
    if told is None:
        return None, _stayed("too few rows, or too few of a class", "counts.minimum")
    near = rules.counts.minimum_difference
    present = _present(facts, target)
    # A set that is smaller than the difference is not remembered: of it nothing is told.
    if near > 1 and (len(present) < near or memory.too_near({f"balance/{target}": present}, fewest=near) is not None):
        why = f"about nearly the same patients as before: all but {near - 1} of them or fewer"
        return None, _stayed(why, "counts.minimum_difference")
    parts, whole = told
    return {"parts": dict(zip(classes, parts, strict=True)), "of": whole}, ""


def _fewest(rules: Rules) -> int:
    """Return the smallest count that may show; where counts are rounded, what they are rounded to."""
    counts = rules.counts
    return max(counts.minimum, counts.base) if counts.treatment == "round" else counts.minimum


def _present(facts: Facts, target: str) -> Prints:
    """Return the rows that have an outcome.

    Whoever comes without one changes no share. So it is not all rows that are compared: among five new ones there
    might be a single one with an outcome.
    """
    prints = facts.prints()
    missing = facts.used().get(f"missing/{target}", prints[:0])
    return prints[~np.isin(prints, missing)]


def _stayed(why: str, rule: str) -> str:
    return f"the balance of the outcome's classes stayed: {why} ({rule} in the site's policy)"
