"""What was found at one hop of the way between a site and its hub."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from medfl.foreign import printable

State = Literal["clear", "caution", "blocked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One hop, and how it stands.

    Parameters
    ----------
    hop
        Which: a word or two.
    state
        ``blocked`` where nothing gets past; ``caution`` where it works, but worse than it could or not for long.
    said
        What was seen, as a sentence without its final full stop.
    remedy
        What to do; empty where it is clear.
    """

    hop: str
    state: State
    said: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as an object of JSON."""
        return {"hop": self.hop, "state": self.state, "said": self.said, "remedy": self.remedy}


def clear(hop: str, said: str) -> Finding:
    """Return that a hop is clear."""
    return Finding(hop, "clear", printable(said))


def caution(hop: str, said: str, remedy: str) -> Finding:
    """Return that a hop works, but not as it should."""
    return Finding(hop, "caution", printable(said), remedy)


def blocked(hop: str, said: str, remedy: str) -> Finding:
    """Return that nothing gets past a hop."""
    return Finding(hop, "blocked", printable(said), remedy)


def first_blocked(findings: Iterable[Finding]) -> Finding | None:
    """Return the first hop that is blocked; None where the way is clear."""
    return next((one for one in findings if one.state == "blocked"), None)
