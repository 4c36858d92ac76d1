"""What a site tells its hub over the WebSocket: how it is, what it did, what its data sets are like.

All of it is for people to look at: no result depends on it, and nothing of it is in any answer. Whoever reads it takes
what has the right form and length, and no more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

from medfl.errors import WireError

LARGEST = 2**16
"""Bytes of the largest message."""
LINES, LONGEST = 200, 500
"""Lines of a site's that are kept, and letters of each."""
DATASETS = 64
"""Data sets of a site's of which is kept what they are like."""
NAME = 120
"""Letters of the longest name."""
CLASSES = 64
"""Most classes of an outcome of which the shares are told."""
DECISIONS, REASON = 200, 500
"""What was decided on how many studies is kept of a site, and letters of the longest reason."""
Verdict = Literal["waiting", "approved", "refused"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
Doing = Literal["idle", "training", "busy", "paused"]
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DOING: tuple[Doing, ...] = get_args(Doing)
_COLUMN = {"name": str, "kind": str, "unit": str, "description": str, "missing": int, "integral": bool}


@dataclass(frozen=True, slots=True)
class State:
    """What a site does at the moment.

    Parameters
    ----------
    doing
        Whether it trains, is busy with something else for a study, waits for work, or is paused by its people.
    run, task
        For which run, and at which stage.
    round, rounds
        Which round, and of how many.
    since
        Since when, in seconds since 1970, UTC.
    """

    doing: Doing
    run: str = ""
    task: str = ""
    round: int = 0
    rounds: int = 0
    since: float = 0.0

    @classmethod
    def read(cls, said: object) -> Self:
        """Read what a site said.

        Raises
        ------
        WireError
            If it is no state.
        """
        if not isinstance(said, Mapping) or said.get("doing") not in _DOING:
            raise unreadable("a state")
        return cls(
            said["doing"],
            plain(said.get("run"), NAME),
            plain(said.get("task"), NAME),
            _count(said.get("round")),
            rounds=_count(said.get("rounds")),
            since=moment(said.get("since")),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as it travels and is kept."""
        return asdict(self)

    def __str__(self) -> str:
        if not self.run:
            return self.doing
        how_far = f", round {self.round} of {self.rounds}" if self.rounds and self.round else ""
        stage = "" if self.doing == "training" else f" ({self.task})"
        return f"{self.doing}{stage}{how_far} of {self.run[:12]}"


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the machine of a site is like, in coarse words.

    Parameters
    ----------
    cores
        Processors that the site may use; 0 where not known.
    memory
        About how much there is, in GB: a power of two; 0 where not known.
    gpu
        Whether there is a GPU.
    """

    cores: int
    memory: int
    gpu: bool

    @classmethod
    def read(cls, said: object) -> Self | None:
        """Read what a site said; None where that is nothing.

        Raises
        ------
        WireError
            If it is something else.
        """
        if said is None:
            return None
        if not isinstance(said, Mapping) or type(said.get("gpu")) is not bool:
            raise unreadable("hardware")
        return cls(_count(said.get("cores")), _count(said.get("memory")), said["gpu"])

    def to_json(self) -> dict[str, Any]:
        """Return it as it travels and is kept."""
        return asdict(self)

    def __str__(self) -> str:
        cores = f"{self.cores} core{'s' * (self.cores != 1)}" if self.cores else ""
        memory = f"about {self.memory} GB of memory" if self.memory else ""
        return ", ".join(filter(None, [cores, memory, "a GPU" if self.gpu else "no GPU"]))


def lines(said: object) -> list[dict[str, Any]]:
    """Read lines of a site's: when, and what.

    Raises
    ------
    WireError
        If they are none.
    """
    if not isinstance(said, list) or not all(isinstance(line, Mapping) for line in said):
        raise unreadable("lines")
    return [{"at": moment(line.get("at")), "text": plain(line.get("text"), LONGEST)} for line in said[-LINES:]]


def entry(said: object) -> dict[str, Any]:
    """Read what a site tells of a data set: what it is like, or why nothing is told.

    Raises
    ------
    WireError
        If it is neither.
    """
    if not isinstance(said, Mapping):
        raise unreadable("a data set")
    if "withheld" in said:
        return {"withheld": plain(said["withheld"], LONGEST)}
    columns, others = said.get("columns"), said.get("other_columns", [])
    if not isinstance(columns, list) or not isinstance(others, list) or type(said.get("target")) is not str:
        raise unreadable("a data set")
    told: dict[str, Any] = {"target": plain(said["target"], NAME), "columns": [_column(one) for one in columns]}
    told["other_columns"] = [plain(name, NAME) for name in others]
    told["policy"] = [plain(text, LONGEST) for text in _listed(said.get("policy"))]
    if "balance" in said:
        told["balance"] = _balance(said["balance"])
    return told | {name: _count(said[name]) for name in ("rows", "left_out") if name in said}


@dataclass(frozen=True, slots=True)
class Decision:
    """What a site's people, or its policy for them, have decided on a study.

    Parameters
    ----------
    verdict
        What.
    reason
        Why it was refused, in their words.
    heard
        When the hub heard it, in seconds since 1970, UTC.
    """

    verdict: Verdict
    reason: str = ""
    heard: float = 0.0

    @classmethod
    def read(cls, said: object, *, heard: float | None = None) -> Self:
        """Read what a site said, now; or what was kept of it.

        Raises
        ------
        WireError
            If it is no decision.
        """
        if not isinstance(said, Mapping) or said.get("verdict") not in VERDICTS:
            raise unreadable("a decision")
        return cls(
            said["verdict"], plain(said.get("reason"), REASON), moment(said.get("heard")) if heard is None else heard
        )


def decisions(said: object, *, heard: float | None = None) -> dict[str, Decision]:
    """Read decisions on studies, by the studies' digests.

    Raises
    ------
    WireError
        If they are none.
    """
    if not isinstance(said, Mapping) or not all(type(one) is str and _DIGEST.fullmatch(one) for one in said):
        raise unreadable("decisions")
    return {digest: Decision.read(one, heard=heard) for digest, one in said.items()}


def plain(said: object, longest: int) -> str:
    """Return a text without what does not print, and no longer than that.

    Raises
    ------
    WireError
        If it is none.
    """
    if said is None:
        return ""
    if not isinstance(said, str):
        raise unreadable("a text")
    return "".join(letter if letter.isprintable() else " " for letter in said[:longest])


def moment(said: object) -> float:
    """Return seconds since 1970.

    Raises
    ------
    WireError
        If they are none, or further than any clock goes wrong.
    """
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said < 1e11:
        raise unreadable("a moment")
    return float(said)


def unreadable(wanted: str) -> WireError:
    """Return the complaint about words of a site that are none."""
    return WireError(
        "what a site tells cannot be read",
        received=f"something other than {wanted}",
        remedy="check that hub and site run the same version of MEDfl",
    )


def _column(said: object) -> dict[str, Any]:
    if not isinstance(said, Mapping) or said.get("kind") not in ("numeric", "categorical"):
        raise unreadable("a column")
    told: dict[str, Any] = {}
    for name, kind in _COLUMN.items():
        if type(said.get(name)) is kind:
            told[name] = plain(said[name], LONGEST) if kind is str else said[name]
    for name in ("minimum", "maximum"):
        if type(said.get(name)) in (int, float) and abs(said[name]) < 1e300:
            told[name] = float(said[name])
    if "name" not in told:
        raise unreadable("a column")
    told["categories"] = [plain(one, NAME) for one in _listed(said.get("categories"))]
    codes = said.get("codes")
    if isinstance(codes, Mapping):
        told["codes"] = {plain(code, NAME): plain(text, NAME) for code, text in codes.items()}
    return told


def _balance(said: object) -> dict[str, Any]:
    """Read how many parts of the whole each class of an outcome has."""
    parts, whole = (said.get("parts"), said.get("of")) if isinstance(said, Mapping) else (None, None)
    if not isinstance(parts, Mapping) or type(whole) is not int or not 2 <= len(parts) <= CLASSES:
        raise unreadable("a balance of classes")
    read = {plain(name, NAME): _count(part) for name, part in parts.items()}
    if not 1 < whole <= 100 or sum(read.values()) != whole:
        raise unreadable("a balance of classes")
    return {"parts": read, "of": whole}


def _listed(said: object) -> list[Any]:
    return said if isinstance(said, list) else []


def _count(said: object) -> int:
    if type(said) is not int or not 0 <= said < 10**12:
        raise unreadable("a count")
    return said
