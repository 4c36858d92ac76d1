"""The file in which a hub keeps who its people are: SQLite, for its owner only, and no password in clear."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from medfl.errors import StoreError
from medfl.private import make_private, require_private

FILE = "people.db"
SCHEMA = 1
PATIENCE = 10.0
"""Seconds to wait for another process that writes."""
_TABLES = """
CREATE TABLE accounts (
    name TEXT PRIMARY KEY, title TEXT NOT NULL, roles TEXT NOT NULL, sites TEXT NOT NULL,
    disabled INTEGER NOT NULL DEFAULT 0, made REAL NOT NULL, seen REAL NOT NULL DEFAULT 0,
    password TEXT NOT NULL DEFAULT '', second TEXT NOT NULL DEFAULT '', pending TEXT NOT NULL DEFAULT '',
    step INTEGER NOT NULL DEFAULT 0, issuer TEXT NOT NULL DEFAULT '', subject TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE recovery (account TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (account, hash)) STRICT;
CREATE TABLE links (hash TEXT PRIMARY KEY, account TEXT NOT NULL, expires REAL NOT NULL) STRICT;
CREATE TABLE attempts (who TEXT PRIMARY KEY, failures INTEGER NOT NULL, until REAL NOT NULL) STRICT;
CREATE TABLE sessions (
    hash TEXT PRIMARY KEY, account TEXT NOT NULL, began REAL NOT NULL, used REAL NOT NULL,
    address TEXT NOT NULL, agent TEXT NOT NULL, provider INTEGER NOT NULL
) STRICT;
CREATE TABLE tokens (
    hash TEXT PRIMARY KEY, account TEXT NOT NULL, label TEXT NOT NULL, scope TEXT NOT NULL,
    made REAL NOT NULL, expires REAL NOT NULL, used REAL NOT NULL
) STRICT;
CREATE TABLE owned (
    kind TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL, shared TEXT NOT NULL, PRIMARY KEY (kind, name)
) STRICT;
CREATE INDEX sessions_of ON sessions (account);
CREATE INDEX tokens_of ON tokens (account);
CREATE INDEX provided ON accounts (issuer, subject);
PRAGMA user_version = 1;
"""


class Book:
    """The file.

    Parameters
    ----------
    path
        Where it is; made when it is first written.
    clock
        Tells seconds since 1970.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path, self.clock = path, clock

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """Give a connection whose changes are all made at the end of the block, or none of them.

        Raises
        ------
        StoreError
            If the file cannot be read or written, or a newer version has made it.
        EnrolmentError
            If others can read it.
        """
        try:
            with closing(self._connected()) as database, database:
                database.execute("BEGIN IMMEDIATE")
                yield database
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection to read with, which waits for nobody.

        Raises
        ------
        StoreError
            If the file cannot be read, or a newer version has made it.
        """
        try:
            with closing(self._connected()) as database:
                yield database
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from error

    def _connected(self) -> sqlite3.Connection:
        if not self.path.exists():
            make_private(self.path.parent)
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
        require_private(self.path)
        with ExitStack() as stack:
            database = stack.enter_context(closing(sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)))
            self._require_readable(database)
            stack.pop_all()
        return database

    def _require_readable(self, database: sqlite3.Connection) -> None:
        found = _version(database)
        if found == 0:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("BEGIN IMMEDIATE")
            # Another process may have been faster.
            if _version(database) == 0:
                for statement in _TABLES.split(";"):
                    database.execute(statement)
            database.execute("COMMIT")
        elif found > SCHEMA:
            raise StoreError(
                "the accounts were written by a newer version of MEDfl",
                where=str(self.path),
                received=f"schema {found}, this version reads up to {SCHEMA}",
                remedy="upgrade: pip install --upgrade medfl",
            )

    def _failed(self, error: sqlite3.Error | OSError) -> StoreError:
        return StoreError(
            "the accounts cannot be read or written",
            where=str(self.path),
            received=str(error) or type(error).__name__,
            remedy="free some space or mend the folder's permissions; a damaged file is in: medfl hub restore",
        )


def _version(database: sqlite3.Connection) -> int:
    (found,) = database.execute("PRAGMA user_version").fetchone()
    return int(found)
