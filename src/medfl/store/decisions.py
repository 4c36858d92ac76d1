"""What people decided about an execution that somebody else carries out: who stopped it and why, who is left out of it.

Or who is to be left out at which round, because it was so in the study that is repeated. Files beside the journal.
Whoever carries the execution out reads them, acts, and has the journal say so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock

from medfl.errors import StoreError
from medfl.events import Drop, SiteDropped
from medfl.store.home import Home
from medfl.store.trouble import no_access


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Who stopped an execution.

    Parameters
    ----------
    by, why
        Who, and the reason that was given; empty where that is not known.
    paused
        Whether it is meant as a pause.
    """

    by: str = ""
    why: str = ""
    paused: bool = False


def write_note(home: Home, execution: str, note: Note) -> None:
    """Note who stops an execution, before it is asked to stop."""
    with suppress(StoreError):
        # A disk that is full is no reason to go on: then the stop has no author.
        _write(_file(home, "stops", execution, "note"), asdict(note))


def note_of(home: Home, execution: str) -> Note:
    """Return who stopped an execution, as far as that was noted."""
    said = _read(_file(home, "stops", execution, "note"))
    if not isinstance(said, dict):
        return Note()
    return Note(by=str(said.get("by", "")), why=str(said.get("why", "")), paused=said.get("paused") is True)


def drop(home: Home, execution: str, decision: Drop, *, first: Callable[[], object] = lambda: None) -> None:
    """Write down that a site is not asked any more from the next round on; what was decided first stays.

    Parameters
    ----------
    home, execution, decision
        What was decided about what.
    first
        Looks whether that may be; nobody decides anything else about the execution meanwhile.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    path = _file(home, "drops", execution, "json")
    with _turn(path):
        first()
        before = dropped(home, execution)
        if all(one.site != decision.site for one in before):
            _write(path, [asdict(one) for one in (*before, decision)])


def dropped(home: Home, execution: str) -> tuple[Drop, ...]:
    """Return which sites are not to be asked any more, as decided; the journal says from which round on.

    Raises
    ------
    StoreError
        If what was decided cannot be read: to go on as if nothing were would ask a site that was left out.
    """
    path = _file(home, "drops", execution, "json")
    said = _read(path)
    try:
        return tuple(Drop(**{key: str(words[key]) for key in ("site", "by", "why", "decided")}) for words in said or ())
    except (TypeError, KeyError) as error:
        raise _unreadable(path) from error


def foresee(home: Home, execution: str, drops: Iterable[SiteDropped]) -> None:
    """Write down which sites the runs of an execution will leave out, each from a round of its own on.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    _write(_file(home, "repeats", execution, "json"), [asdict(one) for one in drops])


def foreseen(home: Home, execution: str) -> tuple[SiteDropped, ...]:
    """Return which sites the runs of an execution will leave out; none where it repeats nothing.

    Raises
    ------
    StoreError
        If it cannot be read: to go on as if nothing were would ask a site that was left out.
    """
    path = _file(home, "repeats", execution, "json")
    said = _read(path)
    try:
        return tuple(SiteDropped(**words) for words in said or ())
    except TypeError as error:
        raise _unreadable(path) from error


def _file(home: Home, folder: str, execution: str, kind: str) -> Path:
    return home.folder / folder / f"{quote(execution, safe='')}.{kind}"


def _turn(path: Path) -> FileLock:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise no_access(error, path.parent) from error
    return FileLock(path.with_suffix(".lock"), mode=0o600)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise no_access(error, path) from error
    except ValueError as error:
        raise _unreadable(path) from error


def _write(path: Path, said: object) -> None:
    """Write a file that is whole or not there."""
    fresh = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(said, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise no_access(error, path) from error


def _unreadable(path: Path) -> StoreError:
    return StoreError(
        "what was decided about the study cannot be read", where=str(path), remedy="move the file away and decide again"
    )
