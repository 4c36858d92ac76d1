"""How the hub writes down whom it refused: in a line that stays one, and not more often than anybody would read."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

MOST = 60
"""Lines a minute about refusals of one address; a disk is not filled by knocking."""
MINUTE = 60.0
KEPT = 10_000
"""Addresses of which it is remembered how often they were refused in this minute."""


class Printable(logging.Formatter):
    """Writes what cannot be printed as its code: what somebody sends does not steer the terminal of who reads it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = super().format(record)
        return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


class Sparing(logging.Filter):
    """Lets so many refusals of an address through in a minute, and says once that there are more.

    A refusal is a message that begins with "refused", with the address as its first argument.

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
        who = str(record.args[0])
        count = self._counts[who] = self._counts.get(who, 0) + 1
        if count == MOST:
            record.msg, record.args = "refused %s again and again; nothing more of that for a minute", (who,)
        return count <= MOST
