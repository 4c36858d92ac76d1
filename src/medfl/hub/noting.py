"""How the hub writes down whom it refused: in a line that stays one, and not more often than anybody would read."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

MOST, ALIKE = 600, 60
"""Lines a minute about refusals of one address, and about those for one reason: a disk is not filled by knocking."""
MINUTE = 60.0
KEPT = 10_000
"""Addresses and reasons of which it is remembered how often they came in this minute."""


class Printable(logging.Formatter):
    """Writes what cannot be printed as its code: what somebody sends does not steer the terminal of who reads it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = super().format(record)
        return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


class Sparing(logging.Filter):
    """Lets so many refusals of an address through in a minute, and says that there are more.

    A refusal is a message that begins with "refused", has the address as its first argument and the reason as its last.

    Parameters
    ----------
    clock
        Tells seconds, from anywhere on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock, self._began = clock, float("-inf")
        self._counts: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a line is written."""
        if not str(record.msg).startswith("refused") or not isinstance(record.args, tuple) or not record.args:
            return True
        if self._clock() - self._began > MINUTE or len(self._counts) > KEPT:
            self._began, self._counts = self._clock(), {}
        # As it was meant: the log of another hub in this process may have added to it.
        meant = record.__dict__.setdefault("meant", record.msg)
        who, why = str(record.args[0]), f"{meant}{str(record.args[-1])[:40]}"
        alike, all_of_them = self._counted(f"{who} {why}"), self._counted(who)
        if alike == ALIKE or all_of_them == MOST:
            record.msg = f"{meant} (again and again; no more of that for a minute)"
        return alike <= ALIKE and all_of_them <= MOST

    def _counted(self, what: str) -> int:
        count = self._counts[what] = self._counts.get(what, 0) + 1
        return count
