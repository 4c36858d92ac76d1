"""What the disk and the database say when they fail, told as: what, where, what was received, what to do."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from medfl.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

Trouble: TypeAlias = Literal["full", "forbidden", "locked", "corrupted", "unreachable", "other"]

WORDS: Mapping[Trouble, tuple[str, str]] = {
    "full": (
        "there is no room left to write: the disk, a quota or the file size limit is full",
        "free some space, or use another folder with --home; then go on with: medfl resume RUN",
    ),
    "forbidden": (
        "this place cannot be written to",
        "check its owner and permissions, or use another folder with --home",
    ),
    "locked": (
        "the journal was locked for too long by another process",
        "end the process that holds it (sudo fuser FILE names it), then try again",
    ),
    "corrupted": (
        "the journal is corrupted, or is not a journal",
        "move the file away and put a backup in its place; what is readable: sqlite3 FILE .recover | sqlite3 NEW",
    ),
    "unreachable": (
        "the database cannot be reached",
        "check that it runs, and the address, user and password in MEDFL_JOURNAL",
    ),
    "other": ("the store failed", "try again; if it stays, report it with this text"),
}

_ERRNO: Mapping[int, Trouble] = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EFBIG: "full",
    errno.EACCES: "forbidden",
    errno.EPERM: "forbidden",
    errno.EROFS: "forbidden",
    errno.ENOTDIR: "forbidden",
    errno.EISDIR: "forbidden",
    errno.EEXIST: "forbidden",
}
_SQLITE: Mapping[str, Trouble] = {
    "SQLITE_FULL": "full",
    "SQLITE_IOERR_WRITE": "full",
    "SQLITE_IOERR_FSYNC": "full",
    "SQLITE_IOERR_TRUNCATE": "full",
    "SQLITE_IOERR_SHMSIZE": "full",
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_PROTOCOL": "locked",
    "SQLITE_NOTADB": "corrupted",
    "SQLITE_CORRUPT": "corrupted",
    "SQLITE_READONLY": "forbidden",
    "SQLITE_CANTOPEN": "forbidden",
    "SQLITE_PERM": "forbidden",
}
_SQLSTATE: Mapping[str, Trouble] = {
    "55P03": "locked",
    "53": "full",
    "42501": "forbidden",
    "25006": "forbidden",
    "XX001": "corrupted",
    "08": "unreachable",
    "28": "unreachable",
    "3D": "unreachable",
    "57P": "unreachable",
}


def no_access(error: OSError, place: Path) -> StoreError:
    """Tell what the operating system refused."""
    return _told(_ERRNO.get(error.errno or 0, "other"), str(place), error.strerror or type(error).__name__)


def explained(error: DBAPIError, place: str) -> StoreError:
    """Tell what the database refused; its own first line carries no value of a row, as parameters are hidden."""
    said = str(error.orig).partition("\n")[0]
    name = getattr(error.orig, "sqlite_errorname", None)
    if name is not None:
        return _told(_longest(_SQLITE, name), place, f"{said} ({name})")
    state = getattr(error.orig, "sqlstate", None) or "08"  # no state: the server was never reached
    return _told(_longest(_SQLSTATE, state), place, said)


def locked(place: str) -> StoreError:
    """Tell that another process did not let go of a lock in time."""
    return _told("locked", place, "a lock that is held")


def _longest(table: Mapping[str, Trouble], code: str) -> Trouble:
    """Return the entry of the longest prefix: SQLITE_BUSY_SNAPSHOT is a SQLITE_BUSY."""
    return next((table[code[:end]] for end in range(len(code), 0, -1) if code[:end] in table), "other")


def _told(trouble: Trouble, place: str, received: str) -> StoreError:
    what, remedy = WORDS[trouble]
    return StoreError(what, where=place, received=received, remedy=remedy)
