"""What is said before a study on a Flower that others run: which node answers for which site, and with what."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import Self

from medfl.errors import WireError
from medfl.foreign import understood

HELLO = b"medfl: who is there?"
"""Asks a node for its greeting; no message of MEDfl's own begins so."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """A node's answer.

    Parameters
    ----------
    site
        The site that it answers for; nothing where it cannot say.
    medfl
        The version that it runs.
    trouble
        What keeps it from answering; nothing where it can.
    """

    site: str
    medfl: str
    trouble: str = ""

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Read what a node said; it may have said anything.

        Raises
        ------
        WireError
            If it is no greeting.
        """
        try:
            said = understood(body)
            words = {name: said[name] for name in ("site", "medfl", "trouble")}
        except (ValueError, TypeError, KeyError) as error:
            raise WireError("a node's greeting cannot be read", received=type(error).__name__) from error
        if not all(isinstance(word, str) for word in words.values()):
            raise WireError("a node's greeting cannot be read", received="a word that is no text")
        return cls(**words)

    def to_bytes(self) -> bytes:
        """Return what :meth:`read` reads."""
        return json.dumps({"site": self.site, "medfl": self.medfl, "trouble": self.trouble}).encode()


def installed() -> str:
    """Return the version that runs here."""
    return version("medfl")
