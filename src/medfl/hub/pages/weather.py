"""What stands in the way of a study and is not in its journal: a process that is gone, a disk that is full."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from medfl.publish.wording import size
from medfl.store.home import Home
from medfl.store.views import ExecutionView, RunView

LITTLE = 100_000_000
"""Bytes of room below which a disk is called nearly full."""
TAIL = 2**14
"""Bytes of a log that are read from its end."""
LINES = 3
"""Last lines of a process that are told where it has ended."""
MOST = 40
"""Last lines of a process that can be read."""
_TRACE = "Traceback (most recent call last):"
_KIND = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*\.)*([A-Za-z_][A-Za-z0-9_]*)(?::|$)")


def log_of(home: Home, execution: str) -> Path:
    """Return where the process that works on an execution writes what it has to say."""
    return home.folder / "logs" / f"{execution}.log"


def weather(home: Home, view: ExecutionView, *, busy: bool) -> Iterator[str]:
    """Yield in plain sentences what stands in the way of an execution and its journal does not say."""
    words = last_words(log_of(home, view.execution)) if not busy and _is_untold(view) else ()
    if not busy and any(map(_is_lost, view.every)):
        yield (
            "The process that worked on it ended without telling the journal: it was killed, made a mistake, or the "
            "machine went down. Every finished round is stored, and it can go on."
        )
    elif words:
        yield "The process that was to work on it ended before it began. It can be started again: go on."
    if words:
        yield f"Its last words: {' / '.join(words[-LINES:])}"
    room = _room(home.folder)
    if room < LITTLE:
        yield (
            f"The disk is {'full' if room == 0 else 'nearly full'}: {size(room)} of room are left at {home.folder}. "
            "Free some space, then go on; what is stored stays."
        )


def last_words(log: Path) -> tuple[str, ...]:
    """Return the last lines that a process has written; of a trace only the kind of its error.

    An error that nobody foresaw may quote a value of a row, so its text stays in the file.
    """
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(_without_traces(lines, log))[-MOST:]


def _without_traces(lines: Sequence[str], log: Path) -> Iterator[str]:
    within = False
    for line in lines:
        text = "".join(each for each in line if each.isprintable()).rstrip()
        if text.startswith(_TRACE):
            within = True
        elif not within and text.strip():
            yield text.strip()[:300]
        elif within and text and not text[0].isspace():
            within = False
            kind = _KIND.match(text)
            yield f"a mistake in MEDfl ({kind[1] if kind else 'unknown'}); the trace is in {log}"


def _is_lost(run: RunView) -> bool:
    """Say whether nobody works on a run that has begun, and nobody has said why."""
    return run.status == "interrupted" and run.ended is None


def _is_untold(view: ExecutionView) -> bool:
    """Say whether something is left to do, and the journal does not say why nobody does it."""
    told = any(run.status in ("failed", "stopped") or (run.ended and run.status == "interrupted") for run in view.every)
    return not told and any(run.status != "finished" for run in view.every)


def _room(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return LITTLE
