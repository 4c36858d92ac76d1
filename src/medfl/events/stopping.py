"""That somebody stopped a run."""

from __future__ import annotations

from dataclasses import dataclass

from medfl.events.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStopped(Event):
    """Somebody stopped the run with ``medfl stop``; it can be resumed."""
