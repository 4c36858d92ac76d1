"""From which round on a run was without the sites that were left out of it by hand, so that it can be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from medfl.store.views import ExecutionView, RunView

LeftOut: TypeAlias = Mapping[tuple[str, int], Mapping[str, int]]
"""By arm (or baseline) and seed: the first round without each site that is left out, 0 from the beginning."""


def left_out_of(execution: ExecutionView) -> dict[tuple[str, int], dict[str, int]]:
    """Return which sites were left out by hand of each arm and baseline, and from which round on."""
    runs = [*execution.runs, *execution.baselines]
    return {(run.arm, run.seed): without(run) for run in runs if run.dropped}


def without(run: RunView) -> dict[str, int]:
    """Return the first round without each site that was left out of a run.

    Where a site failed in every round before it was left out, that is the first of those: nothing of it is in the model
    from there on.
    """
    return {site: _first(run, site, event.round) for site, event in run.dropped.items()}


def _first(run: RunView, site: str, round: int) -> int:
    first = round
    for line in sorted((line for line in run.table if 0 < line.round < round), key=lambda one: -one.round):
        if site in line.participants:
            break
        if site in line.failed:
            first = line.round
    return first
