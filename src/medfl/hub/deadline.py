"""How long sites may take for one answer: the hub's own setting, a file in its folder, read anew for each exchange."""

from __future__ import annotations

import json
from pathlib import Path

from medfl.enrolment import json_of
from medfl.errors import StoreError, UserError, WireError
from medfl.private import write_private

NAME = "deadline.json"
USUAL = 3600.0
"""Seconds, where nobody has said otherwise."""
SHORTEST, LONGEST = 1.0, 30 * 86400.0
"""Seconds: below the first no site can be heard, above the second nobody waits."""


def deadline_of(folder: Path) -> float:
    """Return the seconds that sites have for one answer.

    Raises
    ------
    StoreError
        If the file was changed into something else.
    """
    path = folder / NAME
    try:
        seconds = float(json_of(path.read_bytes())["seconds"])
    except FileNotFoundError:
        return USUAL
    except (OSError, WireError, KeyError, TypeError, ValueError):
        seconds = 0.0
    if not SHORTEST <= seconds <= LONGEST:
        raise StoreError(
            "the hub's deadline cannot be read", where=str(path), remedy="set it again: medfl hub deadline 1h"
        )
    return seconds


def set_deadline(folder: Path, seconds: float) -> None:
    """Give sites so many seconds for one answer, from the next exchange on.

    Raises
    ------
    UserError
        If no site could keep it, or nobody would wait for it.
    """
    if not SHORTEST <= seconds <= LONGEST:
        raise UserError(
            "a deadline cannot be that long" if seconds > LONGEST else "a deadline cannot be that short",
            where="medfl hub deadline",
            received=f"{seconds:g} s",
            remedy="give at least 1 s and at most 30 days, as in 90s, 30m, 4h or 2d",
        )
    write_private(folder / NAME, (json.dumps({"seconds": seconds}) + "\n").encode())
