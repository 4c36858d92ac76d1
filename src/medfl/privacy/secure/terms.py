"""What a round's sum is about: every site checks the same text, and every mask and every share belongs to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from medfl.errors import SecureError
from medfl.privacy.secure.graph import FEWEST, quorum
from medfl.privacy.secure.ring import FINEST, OTHERS, WIDEST

_WORDS: Mapping[str, type] = {
    "run": str,
    "session": str,
    "round": int,
    "task": str,
    "attempt": int,
    "cohort": list,
    "threshold": int,
    "bits": dict,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What one sum is about.

    Parameters
    ----------
    run, session, round, task
        They name what is summed; a session is what the run's keys were signed for.
    attempt
        From 0; higher where the same was asked before with bits that did not fit.
    cohort
        The sites that are asked, sorted.
    threshold
        How many of them must be in the sum: more than two thirds, at least 3.
    bits
        For the name of an array, or ``*`` for all others, the bound 2ᵇ of its entries
        (:mod:`~medfl.privacy.secure.ring`).
    """

    run: str
    session: str
    round: int
    task: str
    attempt: int = 0
    cohort: tuple[str, ...]
    threshold: int
    bits: Mapping[str, int]

    @classmethod
    def read(cls, said: object) -> Terms:
        """Read terms that came from a hub.

        Raises
        ------
        SecureError
            If they are malformed, or a site must not agree to them.
        """
        if not isinstance(said, Mapping) or said.keys() != _WORDS.keys():
            raise _malformed("a word is missing or unknown")
        if wrong := [word for word, kind in _WORDS.items() if type(said[word]) is not kind]:
            raise _malformed(f"{wrong[0]} is of another type")
        terms = cls(**dict(said) | {"cohort": tuple(said["cohort"]), "bits": dict(said["bits"])})
        terms.require()
        return terms

    def require(self) -> None:
        """Refuse terms that nobody may agree to.

        Raises
        ------
        SecureError
            If the cohort is not a sorted list of at least three names, or too few of them would do.
        """
        names = self.cohort
        if not all(type(name) is str and name for name in names) or sorted(set(names)) != list(names):
            raise _malformed("the cohort is no sorted list of different names", self.where)
        if len(names) < FEWEST:
            raise SecureError(
                "too few sites for a sum that hides each of them",
                where=self.where,
                received=f"{len(names)} sites",
                remedy=f"ask at least {FEWEST} sites, or set [privacy] secure_aggregation = false",
            )
        if not quorum(len(names)) <= self.threshold <= len(names):
            raise SecureError(
                "the hub would finish a round with too few sites",
                where=self.where,
                received=f"{self.threshold} of {len(names)}",
                remedy=f"the threshold must be from {quorum(len(names))}, more than two thirds, to {len(names)}",
            )
        sensible = all(
            type(name) is str and type(bits) is int and FINEST <= bits <= WIDEST for name, bits in self.bits.items()
        )
        if self.round < 0 or self.attempt < 0 or OTHERS not in self.bits or not sensible:
            raise _malformed("a number is out of its range", self.where)

    def to_json(self) -> dict[str, Any]:
        """Return them as JSON."""
        return {word: getattr(self, word) for word in _WORDS} | {
            "cohort": list(self.cohort),
            "bits": dict(self.bits),
        }

    @property
    def digest(self) -> bytes:
        """What all sites that agree on the terms agree on, 32 bytes."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(b"medfl secure terms 1" + text.encode()).digest()

    @property
    def where(self) -> str:
        """The round, for an error."""
        return f"run {self.run}, round {self.round}, {self.task}"

    def again(self, cohort: tuple[str, ...], bits: Mapping[str, int], *, threshold: int) -> Terms:
        """Return the terms of the next attempt."""
        return replace(
            self, attempt=self.attempt + 1, cohort=cohort, bits=dict(self.bits) | dict(bits), threshold=threshold
        )


def _malformed(received: str, where: str = "") -> SecureError:
    return SecureError(
        "the hub's terms are not what they must be",
        where=where,
        received=received,
        remedy="run the same version of MEDfl at hub and sites",
    )
