"""What each data set has spent, written down at its site before anything is answered.

A ledger is a file of lines. Each line carries the hash of the one before it, is synced to the disk before the answer
leaves, and is written under a lock, so that a process that is killed loses nothing and two that run at once cannot both
spend the last of a budget. A line is never changed or taken back. Why a file and no database: see
``docs/decisions/0021-privacy-ledger.md``.

*What restoring an older file does.* The number of lines and the last hash are kept in a second place (the *anchor*)
and are echoed in each reply, so that the hub's journal has them too and sends them back. A ledger that is behind its
anchor, or does not contain the line that the hub remembers, is refused. Whoever restores both files, and works with a
hub that has forgotten, is not caught.

*Which data set it is.* The name that the site gave it, or the names of its columns: lines count where either is the
same. A renamed copy, or a copy with a column more, is the same data set; one that differs in both is a new one, and it
is for the site's owner to see to that.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from medfl.errors import RefusedError, StoreError
from medfl.privacy.accountant import Accountant, Mechanism, gathered
from medfl.privacy.budget import Side
from medfl.privacy.composition import Released, cost
from medfl.privacy.durable import write_durably

NOTHING = "0" * 64
"""The hash before the first line."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """What a budget belongs to.

    Parameters
    ----------
    name
        The name that the site gave it.
    columns
        Digest of the names of all its columns.
    """

    name: str
    columns: str

    def same(self, line: Mapping[str, Any]) -> bool:
        """Say whether a line is about it."""
        return bool(line["dataset"] == self.name or line["columns"] == self.columns)


@dataclass(frozen=True, slots=True)
class Pin:
    """How far a ledger has come: the number of its lines and the hash of the last."""

    lines: int
    head: str


@dataclass(frozen=True, slots=True)
class Limit:
    """What may be spent on one data set in all, by the site's own word."""

    epsilon: float
    delta: float
    accountant: Accountant = "pld"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """All that one run may release, set aside before its first answer.

    Parameters
    ----------
    key
        Names the run: its id, study and seed.
    run, study
        The run's id, and the study's digest.
    dataset
        What it is about.
    split
        Names the division into training and test units; two that are equal divide alike.
    slots
        How often each task may be answered.
    released
        Mechanisms of the whole run, by the units that they are about.
    """

    key: str
    run: str
    study: str
    dataset: DataSet
    split: str
    slots: Mapping[str, int]
    released: Mapping[Side, tuple[Mechanism, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """One answer that is about to be given.

    Parameters
    ----------
    task, place
        What is asked, and which time it is (the round).
    digest
        Of all that the answer follows from: asked again for the same, it is the same answer and costs nothing.
    side, released
        Which units it is about, and with what noise; none where nothing is released.
    """

    task: str
    place: int
    digest: str
    side: Side
    released: tuple[Mechanism, ...]


class Ledger:
    """The ledger of one site.

    Parameters
    ----------
    folder
        Where it is kept; made when first needed, readable by its owner only.
    anchor
        A file in a second place that remembers how far it has come.
    """

    def __init__(self, folder: Path, anchor: Path) -> None:
        self._folder, self._anchor = folder, anchor
        self._lines: list[dict[str, Any]] = []
        self._hashes: list[str] = [NOTHING]
        self._read_bytes = 0

    def spend(
        self, reservation: Reservation, *spends: Spend, limit: Limit | None = None, pinned: Pin | None = None
    ) -> Pin:
        """Write down what is about to be answered, and return how far the ledger has come.

        The first spend of a run sets the whole run aside. What was written before is not written again.

        Raises
        ------
        RefusedError
            If the budget does not suffice for the run, the same was asked with other content, or the ledger was rolled
            back.
        StoreError
            If the file cannot be read.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._anchor.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(self._folder / "lock"):
            self._refresh()
            self._require_present(pinned)
            if not any(line["is"] == "run" and line["key"] == reservation.key for line in self._lines):
                if limit is not None:
                    self._require_left(reservation, limit)
                self._append(_reserved(reservation))
            for spend in spends:
                self._settle(reservation, spend)
            return self._pin()

    def pin(self) -> Pin:
        """Return how far it has come."""
        with self._known():
            return self._pin()

    def spent(self, key: str) -> dict[Side, tuple[Mechanism, ...]]:
        """Return what a run has released so far."""
        with self._known():
            lines = [line for line in self._lines if line["is"] == "answer" and line["key"] == key]
            return {
                side: gathered(one for line in lines if line["side"] == side for one in _mechanisms(line["released"]))
                for side in ("train", "test")
            }

    def datasets(self) -> tuple[DataSet, ...]:
        """Return the data sets of which anything was set aside, in the order in which they came."""
        with self._known():
            return tuple(dict.fromkeys(DataSet(line["dataset"], line["columns"]) for line in self._runs()))

    def total(self, dataset: DataSet, delta: float, *, accountant: Accountant = "pld") -> float:
        """Return the ε of all that was set aside on a data set, over all studies."""
        with self._known():
            return cost(self._released(dataset), delta, accountant=accountant)

    def runs(self, dataset: DataSet) -> tuple[str, ...]:
        """Return the runs that set something aside on a data set."""
        with self._known():
            return tuple(line["run"] for line in self._runs() if dataset.same(line))

    @contextmanager
    def _known(self) -> Iterator[None]:
        """Hold the lock with everything read."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(self._folder / "lock"):
            self._refresh()
            self._require_present(None)
            yield

    def _runs(self) -> Iterator[dict[str, Any]]:
        yield from (line for line in self._lines if line["is"] == "run")

    def _released(self, dataset: DataSet) -> list[Released]:
        return [
            Released(line["split"], {side: _mechanisms(listed) for side, listed in line["released"].items()})
            for line in self._runs()
            if dataset.same(line)
        ]

    def _require_left(self, new: Reservation, limit: Limit) -> None:
        before = self._released(new.dataset)
        own = Released(new.split, new.released)
        after = cost([*before, own], limit.delta, accountant=limit.accountant)
        if after <= limit.epsilon:
            return
        spent = cost(before, limit.delta, accountant=limit.accountant)
        alone = cost([own], limit.delta, accountant=limit.accountant)
        raise RefusedError(
            "the privacy budget of this data set does not suffice for the run",
            where=f"data set {new.dataset.name}",
            received=f"ε {spent:.3g} of {limit.epsilon:.3g} spent at δ {limit.delta:.3g}, {limit.epsilon - spent:.3g} "
            f"left; the run needs {alone:.3g} by itself and would bring it to {after:.3g}",
            remedy="lower epsilon in [privacy.dp], or ask the site for a larger budget",
        )

    def _settle(self, reservation: Reservation, spend: Spend) -> None:
        answers = [
            line
            for line in self._lines
            if line["is"] == "answer" and line["key"] == reservation.key and line["task"] == spend.task
        ]
        if any(line["place"] == spend.place and line["digest"] == spend.digest for line in answers):
            return
        if any(line["place"] == spend.place for line in answers) or len(answers) >= reservation.slots[spend.task]:
            raise RefusedError(
                "this was answered before, to other content or from other rows: answering again would cost once more",
                where=f"{spend.task}, run {reservation.run}, round {spend.place}",
                remedy="start a new run; it is answered if the budget suffices",
            )
        self._append(_answer(reservation, spend))

    def _require_present(self, pinned: Pin | None) -> None:
        """Refuse where somebody remembers more than the file has."""
        anchored = self._anchored()
        for known, who in ((anchored, "its anchor"), (pinned, "the hub's journal")):
            if known is None:
                continue
            if known.lines >= len(self._hashes) or self._hashes[known.lines] != known.head:
                raise RefusedError(
                    "the privacy ledger was rolled back or replaced",
                    where=f"according to {who}",
                    received=f"{len(self._lines)} lines; {known.lines} are remembered",
                    remedy="put the newest ledger back; if it is lost, nobody knows what was spent, and the data set's "
                    "budget has to be taken as gone",
                )

    def _anchored(self) -> Pin | None:
        if not self._anchor.exists():
            return None
        try:
            words = json.loads(self._anchor.read_text(encoding="utf-8"))
            return Pin(int(words["lines"]), str(words["head"]))
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise _broken(self._anchor, "the anchor cannot be read") from error

    def _refresh(self) -> None:
        """Read what was appended since; from the start where the file is not the one that was read."""
        path = self._folder / "ledger.jsonl"
        size = path.stat().st_size if path.exists() else 0
        if size < self._read_bytes:
            self._lines, self._hashes, self._read_bytes = [], [NOTHING], 0
        if size == self._read_bytes:
            return
        with path.open("rb") as file:
            file.seek(self._read_bytes)
            body = file.read()
        # A line that a crash cut off was never answered: the next one is written over it.
        whole = body[: body.rfind(b"\n") + 1]
        for raw in whole.splitlines():
            self._take(raw, path)
        self._read_bytes += len(whole)

    def _take(self, raw: bytes, path: Path) -> None:
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise _broken(path, f"line {len(self._lines) + 1} cannot be read") from error
        if not isinstance(line, dict) or line.get("before") != self._hashes[-1]:
            raise _broken(path, f"line {len(self._lines) + 1} does not follow the one before it")
        self._lines.append(line)
        self._hashes.append(hashlib.sha256(raw).hexdigest())

    def _append(self, line: dict[str, Any]) -> None:
        """Write a line and the anchor, each on the disk before going on."""
        raw = json.dumps({**line, "before": self._hashes[-1]}, sort_keys=True, separators=(",", ":")).encode()
        path = self._folder / "ledger.jsonl"
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            file.truncate(self._read_bytes)
            file.seek(self._read_bytes)
            file.write(raw + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._lines.append(json.loads(raw))
        self._hashes.append(hashlib.sha256(raw).hexdigest())
        self._read_bytes += len(raw) + 1
        write_durably(self._anchor, json.dumps({"lines": len(self._lines), "head": self._hashes[-1]}))

    def _pin(self) -> Pin:
        return Pin(len(self._lines), self._hashes[-1])


def _reserved(one: Reservation) -> dict[str, Any]:
    return {
        "is": "run",
        "key": one.key,
        "run": one.run,
        "study": one.study,
        "dataset": one.dataset.name,
        "columns": one.dataset.columns,
        "split": one.split,
        "released": {side: [each.to_json() for each in released] for side, released in one.released.items()},
    }


def _answer(reservation: Reservation, spend: Spend) -> dict[str, Any]:
    return {
        "is": "answer",
        "key": reservation.key,
        "task": spend.task,
        "place": spend.place,
        "digest": spend.digest,
        "side": spend.side,
        "released": [each.to_json() for each in spend.released],
    }


def _mechanisms(listed: list[dict[str, Any]]) -> tuple[Mechanism, ...]:
    return tuple(Mechanism.from_json(one) for one in listed)


def _broken(path: Path, what: str) -> StoreError:
    return StoreError(f"the privacy ledger is damaged: {what}", where=str(path), remedy="put a sound copy back")
