"""An audit log: every line carries the hash of the one before it, and is on the disk before anything follows from it.

Each line is JSON and carries the SHA-256 of the line before it. How many lines there are, and the hash of the last, are
kept aside in a second file, so that a log whose end was cut off is noticed. Whoever can write both files can rewrite
the end of the log: a hash that somebody wrote down elsewhere convicts them (see :meth:`Chain.verify`).

A crash leaves the log in one of three states, and the next line finds its place in each: a line that was cut off, which
is written over, since no answer left for it; whole lines that the second file does not know of yet, which count; or
nothing of either.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from medfl.errors import StoreError
from medfl.private import write_private

NOTHING = "0" * 64
"""The hash before the first line."""
FILE = "audit.jsonl"
HEAD = "head.json"
_BLOCK = 2**16


@dataclass(frozen=True, slots=True)
class Head:
    """How far a log has come.

    Parameters
    ----------
    lines
        Number of its lines.
    hash
        Of the last one.
    begin, end
        Where the last one begins and ends, in bytes.
    """

    lines: int = 0
    hash: str = NOTHING
    begin: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Verified:
    """What looking through the whole log has found.

    Parameters
    ----------
    lines
        How many lines follow each other as they should.
    hash
        Of the last of these.
    trouble
        What is wrong after them, as a sentence; empty where nothing is.
    note
        What a crash has left, where it has; it is no sign of tampering.
    """

    lines: int
    hash: str
    trouble: str = ""
    note: str = ""


class Chain:
    """The log in one folder.

    Parameters
    ----------
    folder
        Where it is kept; made when first needed, readable by its owner only.
    without
        What does not happen while it cannot be written, as in "nothing is answered".
    look
        The command that looks through it.
    """

    def __init__(self, folder: Path, *, without: str, look: str) -> None:
        self._folder, self._without, self._look = folder, without, look
        self._path = folder / FILE
        self._aside = folder / HEAD

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write a line, on the disk before this returns; number, moment and hash are added.

        Raises
        ------
        StoreError
            If it cannot be written, or does not follow what is there: then nothing may leave.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(self._folder / ".lock", mode=0o600):
                self._write(entry)
        except OSError as error:
            raise StoreError(
                f"the audit log cannot be written, and without it {self._without}",
                where=str(self._path),
                received=error.strerror or type(error).__name__,
                remedy="free some space, or mend the permissions of the folder",
            ) from error

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the lines as far as they can be read, each with its own hash.

        Raises
        ------
        StoreError
            If a line is none.
        """
        for number, raw in enumerate(self._whole_lines(), start=1):
            line = _parsed(raw)
            if line is None:
                raise self._broken(self._path, f"line {number} cannot be read")
            yield {**line, "hash": _hash(raw)}

    def backwards(self) -> Iterator[dict[str, Any]]:
        """Yield the lines from the last to the first, reading the file block by block from its end.

        Raises
        ------
        StoreError
            If a line is none.
        """
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            place, rest = file.seek(0, os.SEEK_END), b""
            while place > 0:
                size = min(_BLOCK, place)
                place -= size
                file.seek(place)
                first, *whole = (file.read(size) + rest).split(b"\n")
                # What comes after the last line's end was cut off by a crash.
                yield from (self._told(raw) for raw in reversed(whole[:-1]))
                rest = first + b"\n" if whole else first
            if rest.endswith(b"\n"):
                yield self._told(rest[:-1])

    def verify(self, remembered: str | None = None) -> Verified:
        """Look through the whole log.

        Parameters
        ----------
        remembered
            A hash that was written down elsewhere; some line must have it. The first sixteen digits do.
        """
        if not self._folder.is_dir():
            return self._held_against(Verified(0, NOTHING), Head(), remembered, set())
        with FileLock(self._folder / ".lock", mode=0o600):
            return self._looked_through(remembered)

    def _told(self, raw: bytes) -> dict[str, Any]:
        line = _parsed(raw)
        if line is None:
            raise self._broken(self._path, "a line cannot be read")
        return {**line, "hash": _hash(raw)}

    def _looked_through(self, remembered: str | None) -> Verified:
        before, number, seen = NOTHING, 0, set[str]()
        for number, raw in enumerate(self._whole_lines(), start=1):
            line = _parsed(raw)
            if line is None:
                return Verified(number - 1, before, f"line {number} cannot be read")
            if line.get("before") != before or line.get("line") != number:
                where = f"lines {number - 1} and {number}" if number > 1 else "the beginning and line 1"
                return Verified(
                    number - 1, before, f"the chain breaks between {where}: one was changed, taken out or put in"
                )
            before = _hash(raw)
            seen.add(before)
        try:
            head = self._head()
        except StoreError as error:
            return Verified(number, before, f"{error.complaints[0].what}: {self._aside}")
        return self._held_against(Verified(number, before), head, remembered, seen)

    def _held_against(self, found: Verified, head: Head, remembered: str | None, seen: set[str]) -> Verified:
        """Hold the lines against what was kept aside, and against what somebody remembers."""
        size = self._path.stat().st_size if self._path.exists() else 0
        trouble, note = "", ""
        if found.lines < head.lines or size < head.end:
            trouble = f"the end was cut off: {head.lines} lines were written, {found.lines} are here"
        elif head.hash != NOTHING and head.hash not in seen:
            trouble = f"the last lines were changed: line {head.lines} is not the one that was written"
        elif head == Head() and found.lines > 1:
            trouble = f"{HEAD} was taken away: nobody knows how many lines were written"
        elif remembered is not None and not any(one.startswith(remembered) for one in seen):
            trouble = f"no line has the hash {remembered}: the log was cut off or rewritten since it was written down"
        elif found.lines > head.lines:
            more = found.lines - head.lines
            note = (
                f"a crash came after the last line{'s' * (more > 1)} ({more}); what they are about has perhaps not left"
            )
        elif size > head.end:
            note = "a line at the end was cut off by a crash; nothing has followed from it"
        return Verified(found.lines, found.hash, trouble, note)

    def _whole_lines(self) -> Iterator[bytes]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            yield from (raw[:-1] for raw in file if raw.endswith(b"\n"))

    def _write(self, entry: Mapping[str, Any]) -> None:
        is_new = not self._path.exists()
        with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            head = self._followed(file)
            line = {"line": head.lines + 1, "at": _now(), **entry, "before": head.hash}
            raw = json.dumps(line, separators=(",", ":")).encode()
            file.seek(head.end)
            file.truncate()
            file.write(raw + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync(self._folder)
        self._keep(Head(head.lines + 1, _hash(raw), head.end, head.end + len(raw) + 1))

    def _followed(self, file: BinaryIO) -> Head:
        """Return where the next line goes: after what was kept aside, and the lines that a crash kept from it.

        Raises
        ------
        StoreError
            If the log is not the one that was kept aside.
        """
        head = self._head()
        file.seek(head.begin)
        last = file.read(head.end - head.begin)
        if head.lines and (len(last) < head.end - head.begin or last[-1:] != b"\n" or _hash(last[:-1]) != head.hash):
            raise self._broken(self._path, "its end was cut off or changed")
        more = [raw[:-1] for raw in file if raw.endswith(b"\n")]
        if head == Head() and len(more) > 1:
            raise self._broken(self._path, f"{HEAD} was taken away")
        for raw in more:
            line = _parsed(raw)
            if line is None or line.get("before") != head.hash:
                raise self._broken(self._path, "there are lines in it that were not written here")
            head = Head(head.lines + 1, _hash(raw), head.end, head.end + len(raw) + 1)
        return head

    def _head(self) -> Head:
        if not self._aside.exists():
            return Head()
        try:
            words = json.loads(self._aside.read_text(encoding="utf-8"))
            return Head(int(words["lines"]), str(words["hash"]), int(words["begin"]), int(words["end"]))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise self._broken(self._aside, "what is kept aside of it cannot be read") from error

    def _keep(self, head: Head) -> None:
        words = {"lines": head.lines, "hash": head.hash, "begin": head.begin, "end": head.end}
        write_private(self._aside, json.dumps(words).encode())

    def _broken(self, path: Path, what: str) -> StoreError:
        return StoreError(
            f"the audit log is damaged: {what}",
            where=str(path),
            remedy=f"see where: {self._look}; to go on, move the folder aside: a new log is begun",
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _hash(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


def _sync(folder: Path) -> None:
    """Let the name of a new file outlive a power cut, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
