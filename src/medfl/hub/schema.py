"""Which version of its tables a hub's database has."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from medfl.errors import StoreError

SCHEMA = 1
"""Of the register of sites, as this version makes and reads it."""


def require_readable(database: sqlite3.Connection, path: Path) -> None:
    """Refuse a register of a newer version, before anything of it is read or changed.

    Raises
    ------
    StoreError
        If it is one.
    """
    (found,) = database.execute("PRAGMA user_version").fetchone()
    if found > SCHEMA:
        raise StoreError(
            "the register of sites was written by a newer version of MEDfl",
            where=str(path),
            received=f"schema {found}, this version reads up to {SCHEMA}",
            remedy="upgrade: pip install --upgrade medfl",
        )
