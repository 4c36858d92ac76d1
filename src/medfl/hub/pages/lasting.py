"""Where the time of a run goes: phase by phase, as the journal says."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from medfl.publish.wording import duration
from medfl.store.views import RunView

SHOWN = 60
"""Rounds whose phases are shown."""
ONCE = (
    ("describe", "Sites describe their tables"),
    ("prepare", "Preprocessing is fitted"),
    ("judge", "The last model is judged"),
)
"""Phases that a run goes through once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """How long the phases of a run took.

    Parameters
    ----------
    rounds, train, sum
        The last rounds: their numbers, the seconds until the last site had answered, and those until the next model was
        stored.
    once
        Each phase that there is once: what it is, and how long it took, in words.
    pace
        How long a round usually takes, in words; empty before that is known.
    """

    rounds: tuple[int, ...]
    train: tuple[float, ...]
    sum: tuple[float, ...]
    once: tuple[tuple[str, str], ...]
    pace: str


def lasting(run: RunView) -> Lasting | None:
    """Return how long the phases of a run took; None where an old journal does not say."""
    lines = [line for line in run.table if line.phases][-SHOWN:]
    once = tuple((words, duration(run.seconds_of[phase])) for phase, words in ONCE if phase in run.seconds_of)
    if not lines and not once:
        return None
    train = tuple(round(line.phases.get("train", 0.0), 4) for line in lines)
    summed = tuple(round(line.phases.get("sum", 0.0), 4) for line in lines)
    whole = [first + second for first, second in zip(train, summed, strict=True)]
    return Lasting(
        rounds=tuple(line.round for line in lines),
        train=train,
        sum=summed,
        once=once,
        pace=duration(median(whole)) if whole else "",
    )
