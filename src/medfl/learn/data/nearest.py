"""Did you mean: the known name that is spelled most like the one that was not found."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"did you mean 'age'?"``, or nothing where no known name comes near."""
    spelled = {candidate.casefold(): candidate for candidate in known}
    close = get_close_matches(name.casefold(), spelled, n=1, cutoff=0.6)
    return f"did you mean {spelled[close[0]]!r}?" if close else ""


def listed(names: Iterable[str], most: int = 5) -> str:
    """Return ``"a, b and c"``, or the first few names and how many more there are."""
    shown = list(names)
    if len(shown) > most:
        return f"{', '.join(shown[:most])} and {len(shown) - most} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else "none"
