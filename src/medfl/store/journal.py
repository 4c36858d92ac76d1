"""The seam of the journal: events are appended, and read back in order; nothing is ever changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from medfl.events import Event


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as the journal keeps it.

    Parameters
    ----------
    seq
        Position in the journal: grows with each event, may have gaps.
    at
        When it was appended, UTC in ISO 8601.
    event
        What happened.
    """

    seq: int
    at: str
    event: Event


class Journal(Protocol):
    """The list of everything that happened; ``medfl.testing.journal_contract`` says what each one must hold to."""

    def append(self, events: Iterable[Event]) -> None:
        """Write all `events` or none; when this returns they survive a crash of the process and of the machine."""

    def read(self, start: int = 0, run: str | None = None, *, kinds: Collection[str] = ()) -> Iterator[Recorded]:
        """Yield in order what has position `start` or later; of one run or all, of some kinds of event or all.

        Reading again from the last position plus one yields exactly what was appended since. Kinds that this version
        does not know are passed over.
        """

    def runs(self) -> Sequence[str]:
        """Return the ids of all runs, the one planned last first."""
