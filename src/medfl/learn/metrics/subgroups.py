"""Metrics by group of patients, read from what the sites sent of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from medfl.learn.data.grouping import ordered
from medfl.learn.statistic import Statistic
from medfl.spec.evaluation import Grouping

Read: TypeAlias = Callable[[Statistic, str], tuple[dict[str, Any], dict[str, Any]]]


def named(grouping: str, group: str) -> str:
    """Return the name under which a group's sums travel; the user's words cannot be mistaken for its parts."""
    return json.dumps([grouping, group], ensure_ascii=False)


def by_group(
    said: Mapping[str, Mapping[str, Any]], pooled: Statistic, *, subgroups: Mapping[str, Grouping], read: Read
) -> Iterator[dict[str, Any]]:
    """Yield one entry a grouping, as :class:`medfl.events.Evaluated` has it.

    Parameters
    ----------
    said
        For each site and grouping, which groups are ``shown`` and ``suppressed``, or whether it is ``withheld``.
    pooled
        The sum of what they sent.
    subgroups
        What is grouped by.
    read
        Reads ``metrics`` and ``intervals`` from a group's sums; the name is that of the bootstrap's random numbers.
    """
    for grouping, column in subgroups.items():
        told = {site: words[grouping] for site, words in said.items()}
        names = ordered(column, (name for one in told.values() for name in (*one["shown"], *one["suppressed"])))
        found = [
            {
                "group": name,
                **_numbers(pooled.under(named(grouping, name)), read, f"bootstrap of {named(grouping, name)}"),
                "sites": [site for site, one in told.items() if name in one["shown"]],
                "suppressed": [site for site, one in told.items() if name in one["suppressed"]],
            }
            for name in names
        ]
        withheld = [site for site, one in told.items() if one["withheld"]]
        yield {"grouping": grouping, "column": column.column, "withheld": withheld, "groups": found}


def _numbers(statistic: Statistic, read: Read, purpose: str) -> dict[str, Any]:
    """Return rows, metrics and intervals of one group; no number where no site sent any."""
    if not statistic.arrays:
        return {"rows": None, "metrics": {}, "intervals": {}}
    metrics, intervals = read(statistic, purpose)
    return {"rows": int(statistic["patients"].sum()), "metrics": metrics, "intervals": intervals}
