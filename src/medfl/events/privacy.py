"""What was released under differential privacy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medfl.events.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacySpent(Event):
    """Sites released something under differential privacy, each after it had written it down.

    Parameters
    ----------
    round
        From 1; 0 before the first.
    stage
        What they were asked to do.
    unit
        Whom the guarantee is about: record, patient or site.
    sites
        For each site, or for all under an empty name where the unit is a site: ``delta``, ``side`` (which units it is
        about, train or test), ``released`` (noise multiplier, sample rate and count of each mechanism), ``lines`` and
        ``head`` (how far its ledger has come); before the first round ``planned`` (noise, rate, steps and ε of the
        whole run); with the last model ``epsilon`` (what the run has spent, by its accountant).
    """

    round: int
    stage: str
    unit: str
    sites: Mapping[str, Mapping[str, Any]]
