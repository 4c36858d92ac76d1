"""What a site remembers of the rows that it has told something about, so that two answers cannot be subtracted.

Whoever asks the same of two sets of rows that differ by one patient learns what that patient is like (*differencing*).
So a set is refused that differs from an earlier one by a few rows. A row is known by a number made of its cells: it
stays the same row when the table is sorted, or others come and go.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medfl.errors import StoreError
from medfl.learn.data.prints import Prints

FILE = "told.db"
_Bits = NDArray[np.uint8]
_TABLES = """
CREATE TABLE IF NOT EXISTS rows (place INTEGER PRIMARY KEY, print BLOB UNIQUE NOT NULL);
CREATE TABLE IF NOT EXISTS sets (
    kind TEXT NOT NULL, digest TEXT NOT NULL, bits BLOB NOT NULL, PRIMARY KEY (kind, digest)
);
CREATE TABLE IF NOT EXISTS words (
    kind TEXT NOT NULL, digest TEXT NOT NULL, heading TEXT NOT NULL, bits BLOB NOT NULL, said TEXT NOT NULL,
    PRIMARY KEY (kind, digest, heading)
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What something is told about.

    Parameters
    ----------
    kind
        What it is compared with: whatever is of the same kind.
    heading
        Under which it is told: data set, policy and whatever else the words follow from, besides the rows.
    who
        Whom it is about; shape (people,) or (rows,).
    what
        What it follows from: whenever these are the same, it may be told anew; shape (rows,).
    """

    kind: str
    heading: str
    who: Prints
    what: Prints


class Remembered:
    """The sets of rows that something was told about, in one file for its owner only.

    Parameters
    ----------
    folder
        Where the file is; made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[str] = set()
        self._answered: set[str] = set()

    def has_answered(self, question: str) -> bool:
        """Say whether this very question, about the table as it was read, has passed before in this process."""
        return question in self._answered

    def answered(self, question: str) -> None:
        """Note that a question has passed."""
        self._answered.add(question)

    def too_near(self, sets: Mapping[str, Prints], *, fewest: int) -> str | None:
        """Return the kind of a set that differs from an earlier one by too few rows; else keep all, durably.

        Parameters
        ----------
        sets
            Rows by ``rows/part``, ``class/part/name``, ``group/part/name``, and ``missing/column``.
            Classes and groups are compared within the same part, missing values within the same column; sets of fewer
            than `fewest` rows not at all, as nothing is told of them alone.
        fewest
            How many rows two sets of one kind must differ by, if they differ.

        Raises
        ------
        StoreError
            If the memory cannot be read or written; then nothing may leave.
        """
        large = [(_kind(name, sets), prints) for name, prints in sets.items() if len(prints) >= fewest]
        new = {(kind, _digest(prints)): prints for kind, prints in large}
        new = {key: prints for key, prints in new.items() if "/".join(key) not in self._known}
        if not new:
            return None
        with self._opened() as file:
            near = _taken_up(file, new, fewest)
        if near is None:
            self._known |= {"/".join(key) for key in new}
        return near.partition(" ")[0] if near is not None else None

    def once(self, about: About, tell: Callable[[], str], *, fewest: int) -> str | None:
        """Return what is told: what was told about nearly the same people, word by word, or else what `tell` says.

        Which of the two it is follows from who they are, and not from what they are like; also a no is repeated.

        Parameters
        ----------
        about
            Whom, and of what.
        tell
            Says what there is to tell. What it raises is nothing that was told.
        fewest
            By how many two sets of people have to differ, for both to be told about.

        Returns
        -------
        str or None
            None where something was told about nearly the same people, but under other headings only.

        Raises
        ------
        StoreError
            If the memory cannot be read or written; then nothing may leave.
        """
        digest = _digest(about.what)
        with self._opened() as file:
            bits = _bits(_places(file, about.who))
            found = file.execute(
                "SELECT digest, heading, bits, said FROM words WHERE kind = ? ORDER BY rowid DESC", (about.kind,)
            ).fetchall()
            if all(known != digest for known, *_ in found):
                near = [one for one in found if _difference(bits, np.frombuffer(one[2], np.uint8)) < fewest]
                if near:
                    return next((said for _, heading, _, said in near if heading == about.heading), None)
            said = tell()
            file.execute(
                "INSERT OR REPLACE INTO words VALUES (?, ?, ?, ?, ?)",
                (about.kind, digest, about.heading, bits.tobytes(), said),
            )
        return said

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one change at a time, durable when done and undone when not.

        Raises
        ------
        StoreError
            If that fails.
        """
        try:
            with self._locked() as file:
                yield file
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                "the site's memory of what it has told cannot be used",
                where=str(self._folder / FILE),
                received=type(error).__name__,
                remedy="mend the file or its permissions; without it nothing leaves",
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / FILE
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as file:
            file.execute("PRAGMA synchronous = FULL")
            file.executescript(_TABLES)
            file.execute("BEGIN IMMEDIATE")
            done = False
            try:
                yield file
                done = True
            finally:
                file.execute("COMMIT" if done else "ROLLBACK")


def _kind(name: str, sets: Mapping[str, Prints]) -> str:
    """Return what a set is compared with: parts with parts, classes and groups with those of the same part."""
    kind, part = name.split("/")[:2]
    if kind == "missing":
        return name.replace("/", " in ", 1)
    whole = sets.get(f"rows/{part}")
    return kind if kind == "rows" or whole is None else f"{kind} of {_digest(whole)}"


def _taken_up(file: sqlite3.Connection, new: Mapping[tuple[str, str], Prints], fewest: int) -> str | None:
    """Return the kind of a set that is too near to another, of those kept or of the new; else keep the new ones."""
    stored = file.execute("SELECT kind, digest, bits FROM sets")
    known = {(kind, digest): np.frombuffer(bits, np.uint8) for kind, digest, bits in stored}
    taken: list[tuple[str, str, bytes]] = []
    for (kind, digest), prints in new.items():
        if (kind, digest) in known:
            continue
        bits = _bits(_places(file, prints))
        if any(of == kind and 0 < _difference(bits, other) < fewest for (of, _), other in known.items()):
            return kind
        known[kind, digest] = bits
        taken.append((kind, digest, bits.tobytes()))
    file.executemany("INSERT INTO sets VALUES (?, ?, ?)", taken)
    return None


def _places(file: sqlite3.Connection, prints: Prints) -> NDArray[np.int64]:
    """Return each row's place in the memory; a new row gets one."""
    known = {bytes(seen): place for place, seen in file.execute("SELECT place, print FROM rows")}
    fresh = [seen for seen in map(bytes, prints[:, np.newaxis].view(np.uint8)) if seen not in known]
    fresh_places = {seen: place for place, seen in enumerate(dict.fromkeys(fresh), start=len(known))}
    file.executemany("INSERT INTO rows VALUES (?, ?)", [(place, seen) for seen, place in fresh_places.items()])
    known |= fresh_places
    return np.array([known[bytes(seen)] for seen in prints[:, np.newaxis].view(np.uint8)], np.int64)


def _bits(places: NDArray[np.int64]) -> _Bits:
    marks = np.zeros(int(places.max(initial=-1)) + 1, np.bool_)
    marks[places] = True
    return np.packbits(marks)


def _difference(one: _Bits, other: _Bits) -> int:
    """Return how many rows are in one set and not in the other."""
    length = max(len(one), len(other))
    padded = [np.pad(bits, (0, length - len(bits))) for bits in (one, other)]
    return int(np.bitwise_count(padded[0] ^ padded[1]).sum())


def _digest(prints: Prints) -> str:
    return hashlib.sha256(np.sort(prints).tobytes()).hexdigest()
