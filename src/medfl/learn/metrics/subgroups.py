"""Metrics by group of patients, read from what the sites sent of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from medfl import seeds
from medfl.learn.data.grouping import ordered
from medfl.learn.metrics import judge
from medfl.learn.model import Outcome
from medfl.learn.statistic import Statistic
from medfl.spec.evaluation import Evaluation

Stream: TypeAlias = tuple[int, str]
Judged: TypeAlias = dict[str, Any]


def named(grouping: str, group: str) -> str:
    """Return the name under which a group's sums travel; the user's words cannot be mistaken for its parts."""
    return json.dumps([grouping, group], ensure_ascii=False)


def by_group(
    outcome: Outcome,
    said: Mapping[str, Mapping[str, Any]],
    pooled: Statistic,
    *,
    how: Evaluation,
    threshold: float | None,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Yield one entry a grouping, as :class:`medfl.events.Evaluated` has it.

    Parameters
    ----------
    outcome
        What is predicted.
    said
        For each site and grouping, which groups are ``shown`` and ``suppressed``, or whether it is ``withheld``.
    pooled
        The sum of what they sent.
    how, threshold, seed
        What is grouped by, the operating point, and the seed of the bootstrap.
    """
    for grouping, column in (how.subgroups or {}).items():
        told = {site: words[grouping] for site, words in said.items()}
        names = ordered(column, (name for one in told.values() for name in (*one["shown"], *one["suppressed"])))
        found = [
            {
                "group": name,
                **_judged(
                    outcome,
                    pooled.under(named(grouping, name)),
                    threshold=threshold,
                    samples=how.bootstrap,
                    stream=(seed, f"bootstrap of {named(grouping, name)}"),
                ),
                "sites": [site for site, one in told.items() if name in one["shown"]],
                "suppressed": [site for site, one in told.items() if name in one["suppressed"]],
            }
            for name in names
        ]
        withheld = [site for site, one in told.items() if one["withheld"]]
        yield {"grouping": grouping, "column": column.column, "withheld": withheld, "groups": found}


def _judged(outcome: Outcome, statistic: Statistic, *, threshold: float | None, samples: int, stream: Stream) -> Judged:
    """Return rows, metrics and intervals of one group; no number where no site sent any."""
    if not statistic.arrays:
        return {"rows": None, "metrics": {}, "intervals": {}}
    return {
        "rows": int(statistic["patients"].sum()),
        "metrics": judge.metrics(outcome, statistic, threshold=threshold),
        "intervals": judge.intervals(
            outcome,
            statistic,
            samples=samples,
            generator=seeds.generator(stream[0], purpose=stream[1]),
            threshold=threshold,
        ),
    }
