"""What a site has already helped to unmask: one list of sites for each sum, for ever.

Two sums over different lists would show by their difference what one site sent. So the list is written down before any
share leaves. The same question is answered the same again, so that a message may be lost and a run resumed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from medfl.errors import SecureError
from medfl.privacy.secure.keeping import keep_first
from medfl.privacy.secure.stream import worded
from medfl.privacy.secure.terms import Terms

MOST = 8
"""Attempts of one sum that are unmasked at most: with other bits each, every one is a slightly different sum."""


class Unmasked(Protocol):
    """Keeps one text for a name."""

    def keep(self, name: str, text: str) -> str:
        """Keep a text for a name, durably, unless there is one; return what is kept."""
        ...


class UnmaskedHere:
    """Keeps in memory, for sites that live no longer than the process: simulated ones."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def keep(self, name: str, text: str) -> str:
        """Keep a text unless there is one; return what is kept."""
        return self._texts.setdefault(name, text)


class FolderUnmasked:
    """Keeps a small file a name, of mode 600.

    Parameters
    ----------
    folder
        Made when first needed, readable by its owner only.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, name: str, text: str) -> str:
        """Write a file unless there is one; return what it holds."""
        # A name is the hub's word, and must not lead out of the folder.
        return keep_first(self._folder / hashlib.sha256(name.encode()).hexdigest(), text.encode()).decode()


@dataclass(frozen=True, slots=True)
class Closing:
    """What a site is asked to help unmask.

    Parameters
    ----------
    terms
        Of which sum.
    survivors
        The sites in the sum, sorted.
    asked
        Digest of what the sites were asked for.
    bundles
        Digest of the shares that were handed to this site.
    """

    terms: Terms
    survivors: tuple[str, ...]
    asked: bytes
    bundles: bytes


def require_first(unmasked: Unmasked, closing: Closing) -> None:
    """Note what is about to be unmasked.

    Raises
    ------
    SecureError
        If something else was unmasked of the same round before: another list, answers to another question, or other
        vectors.
    """
    terms = closing.terms
    asked_for = hashlib.sha256(worded(closing.asked, *closing.survivors)).hexdigest()
    text = f"{asked_for} {terms.digest.hex()} {closing.bundles.hex()}"
    for slot in range(MOST):
        kept = unmasked.keep(f"{terms.run}/{terms.round}/{terms.task}/{slot}", text)
        if kept == text:
            return
        its_list, its_terms, _ = kept.split(" ")
        if its_list != asked_for:
            raise SecureError(
                "the hub wants to unmask a second sum of one round, over other sites or other answers",
                where=terms.where,
                received=f"a list of {len(closing.survivors)} sites that is not the one of before",
                remedy="nothing was sent: the difference of two sums can be one site's numbers; start a new run",
            )
        if its_terms == terms.digest.hex():
            raise SecureError(
                "the hub wants to unmask one sum twice, with other shares",
                where=terms.where,
                received="shares that are not those of before",
                remedy="nothing was sent; start a new run",
            )
    raise SecureError(
        "the hub has asked for one sum too often",
        where=terms.where,
        received=f"more than {MOST} attempts",
        remedy="nothing was sent; start a new run",
    )
