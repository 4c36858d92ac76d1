"""Drafts of studies: texts that are saved at every change, and never overwritten by somebody who saw an older one."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from medfl.errors import BusyError, NotFoundError, PlanError
from medfl.hub.people.rules import DRAFTS
from medfl.private import make_private, write_private

NAME = re.compile(r"[a-z0-9]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A study's text as it is being written.

    Parameters
    ----------
    name
        Names it in an address.
    text
        The study, perhaps broken.
    revision
        Grows with every change.
    changed
        When, UTC in ISO 8601.
    by, since
        The page that changed it last, and the revision since which it was the only one.
    """

    name: str
    text: str
    revision: int
    changed: str
    by: str = ""
    since: int = 1


class Drafts:
    """A folder of drafts.

    Parameters
    ----------
    folder
        Where they are; made for its owner only.
    most
        How many one may have.
    """

    def __init__(self, folder: Path, *, most: int = DRAFTS) -> None:
        self._folder, self._most = folder, most

    @contextmanager
    def room(self, own: Callable[[str], bool]) -> Iterator[None]:
        """Hold the room for one more draft for a block, in which it is begun.

        Parameters
        ----------
        own
            Says of a draft whether it belongs to whoever begins another.

        Raises
        ------
        PlanError
            If they have as many as one may have.
        """
        make_private(self._folder)
        with self._turn():
            if sum(own(path.stem) for path in self._folder.glob("*.json")) >= self._most:
                raise PlanError(
                    f"you have {self._most} drafts, and nobody may have more",
                    where="drafts",
                    remedy="open one that you do not need on page /, remove it, and begin the new one then",
                )
            yield

    def begin(self, text: str) -> Draft:
        """Save a new draft."""
        make_private(self._folder)
        return self._written(Draft(name=secrets.token_hex(6), text=text, revision=1, changed=""))

    def read(self, name: str) -> Draft:
        """Return a draft.

        Raises
        ------
        NotFoundError
            If there is none of this name.
        """
        try:
            words = json.loads(self._file(name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise _missing(name) from None
        return Draft(name=name, **words)

    def every(self, wanted: Callable[[str], bool] = bool) -> Iterator[Draft]:
        """Yield all drafts whose names are wanted, the one changed last first; the others are not read."""
        found = []
        for name in filter(wanted, [path.stem for path in self._folder.glob("*.json")]):
            with suppress(NotFoundError):  # Somebody has removed it meanwhile.
                found.append(self.read(name))
        yield from sorted(found, key=lambda draft: draft.changed, reverse=True)

    def change(self, name: str, change: Callable[[str], str], *, seen: int, by: str) -> Draft:
        """Save a change by somebody who saw a revision.

        Parameters
        ----------
        name
            The draft.
        change
            Gives the new text for the one that is there.
        seen, by
            The revision that was seen, and the page that saw it. A page may be faster than its answers: what it changed
            itself since then is no conflict.

        Raises
        ------
        BusyError
            If somebody else has changed it since.
        """
        with self._turn():
            draft = self.read(name)
            if not (seen == draft.revision or (by and by == draft.by and seen >= draft.since - 1)):
                raise BusyError(
                    "somebody else has changed this draft meanwhile",
                    where=name,
                    received=f"revision {seen}; it is at {draft.revision} now",
                    remedy="load the page again, and make your change to what it is now",
                )
            text = change(draft.text)
            if draft.text == text:
                return draft
            since = draft.since if by == draft.by else draft.revision + 1
            return self._written(
                Draft(name=name, text=text, revision=draft.revision + 1, changed="", by=by, since=since)
            )

    def remove(self, name: str) -> None:
        """Remove a draft, if it is there."""
        self._file(name).unlink(missing_ok=True)

    def _turn(self) -> FileLock:
        return FileLock(self._folder / "drafts.lock", mode=0o600)

    def _written(self, draft: Draft) -> Draft:
        written = replace(draft, changed=datetime.now(UTC).isoformat(timespec="milliseconds"))
        words = {name: value for name, value in asdict(written).items() if name != "name"}
        write_private(self._file(draft.name), json.dumps(words, ensure_ascii=False).encode())
        return written

    def _file(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise _missing(name)
        return self._folder / f"{name}.json"


def _missing(name: str) -> NotFoundError:
    return NotFoundError("there is no such draft", received=name[:40], remedy="see page / for all")
