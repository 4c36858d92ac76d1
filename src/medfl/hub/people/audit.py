"""What people did at a hub: who, what, on what, when, from where, and whether it was refused; never a secret."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfl.chain import Chain, Verified

FOLDER = "people-audit"
LONGEST = 200
"""Characters that are kept of a word that came from elsewhere."""


@dataclass(frozen=True, slots=True)
class By:
    """Who did something, and from where.

    Parameters
    ----------
    name
        The account; empty where nobody was signed in.
    how
        "session", "token", "link", "provider", or "command" for whoever sits at the hub's own terminal.
    address
        Of the other end; empty at the terminal.
    """

    name: str
    how: str
    address: str = ""


TERMINAL = By("", "command")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the log.

    Parameters
    ----------
    line, at
        Its number, and when: UTC, ISO 8601.
    who, how, address
        Who did it, by which way, and from where.
    what, on
        What was done, and to what.
    verdict
        "allowed" for what somebody set about to do, "done" for what was changed, "refused".
    why
        Why it was allowed or refused, or what it was changed to.
    """

    line: int
    at: str
    who: str
    how: str
    address: str
    what: str
    on: str
    verdict: str
    why: str

    def has(self, words: str) -> bool:
        """Say whether each of some words is in it."""
        text = f"{self.at} {self.who} {self.how} {self.address} {self.what} {self.on} {self.verdict} {self.why}".lower()
        return all(word in text for word in words.lower().split())


class Audit:
    """The log in one folder.

    Parameters
    ----------
    folder
        Where it is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._chain = Chain(folder, without="nobody changes anything at the hub", look="medfl hub audit --verify")

    def note(self, by: By, what: str, on: str = "", *, verdict: str = "done", why: str = "") -> None:
        """Write a line, on the disk before this returns.

        Raises
        ------
        StoreError
            If it cannot be written: then nothing may be done.
        """
        words = {"who": by.name, "how": by.how, "from": by.address, "what": what, "on": on}
        words |= {"verdict": verdict, "why": why}
        self._chain.append({key: text[:LONGEST] for key, text in words.items()})

    def read(self) -> Iterator[Entry]:
        """Yield all lines, oldest first.

        Raises
        ------
        StoreError
            If a line cannot be read.
        """
        yield from map(_entry, self._chain.read())

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield all lines as they are written, each with its own hash, to take them elsewhere."""
        yield from self._chain.read()

    def last(self, most: int, words: str = "") -> list[Entry]:
        """Return the newest lines that have some words, newest first, and read no more of the log than that takes."""
        found: list[Entry] = []
        for line in self._chain.backwards():
            entry = _entry(line)
            if entry.has(words):
                found.append(entry)
                if len(found) == most:
                    break
        return found

    def verify(self, remembered: str | None = None) -> Verified:
        """Look through the whole chain; some line must have the hash that was written down elsewhere, if any."""
        return self._chain.verify(remembered)


def _entry(line: dict[str, Any]) -> Entry:
    words = {key: str(line.get(key, "")) for key in ("at", "who", "how", "what", "on", "verdict", "why")}
    return Entry(line=int(line.get("line", 0)), address=str(line.get("from", "")), **words)
