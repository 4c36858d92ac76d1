"""Studies to begin with: real files in the folder ``studies``, over data that ship inside a dependency."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from medfl.errors import Complaint, NotFoundError
from medfl.spec.reading import parse
from medfl.spec.study import Study

_ABOUT = (
    ("breast-cancer", "Do four hospitals learn more together than alone?"),
    ("breast-cancer-arms", "Which way of learning together is best: FedAvg, FedProx or FedYogi?"),
    ("digits", "Can four hospitals learn to read images, none of which is moved?"),
)
"""In the order in which they are offered: the name of each file, and what it shows."""
OWN_TABLE = "own-table"
"""The file of a study that waits for its author's tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Starter:
    """A study to begin with.

    Parameters
    ----------
    name
        Names it in an address.
    shows
        What one learns from it, as a question.
    question
        What the study asks.
    arms
        Names of its arms.
    rounds
        Most rounds of an arm.
    """

    name: str
    shows: str
    question: str
    arms: tuple[str, ...]
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPage:
    """Where a new study begins.

    Parameters
    ----------
    starters
        What one can begin with.
    complaints
        Why what was sent could not be one.
    text
        What was sent, to be mended.
    """

    starters: tuple[Starter, ...]
    text: str = ""
    complaints: tuple[Complaint, ...] = ()


@cache
def starters() -> tuple[Starter, ...]:
    """Return them in the order in which they are offered."""
    return tuple(_starter(name, shows) for name, shows in _ABOUT)


def starting_text(name: str) -> str:
    """Return the file of a study to begin with.

    Raises
    ------
    NotFoundError
        If there is none of this name.
    """
    if name not in {*dict(_ABOUT), OWN_TABLE}:
        raise NotFoundError("there is no such study to begin with", received=name[:80], remedy="choose one on page /")
    return files("medfl.hub.pages").joinpath(f"studies/{name}.toml").read_text(encoding="utf-8")


def _starter(name: str, shows: str) -> Starter:
    study = parse(starting_text(name), source=f"{name}.toml")
    return Starter(
        name=name,
        shows=shows,
        question=study.study.question,
        arms=tuple(study.arms),
        rounds=max(_rounds(arm) for arm in study.arms.values()),
    )


def _rounds(study: Study) -> int:
    return study.algorithm.rounds
