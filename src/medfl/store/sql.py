"""The journal in a database: SQLite in a file, or PostgreSQL by its URL."""

from __future__ import annotations

import errno
import json
import math
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.engine import URL, Connection, Engine, Row
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable

from medfl.errors import MissingExtraError, NotFoundError, StoreError
from medfl.events import KINDS, Event, from_json, to_json
from medfl.store.journal import Recorded
from medfl.store.trouble import explained, locked, no_access

SCHEMA = 1
PAGE = 1000
PATIENCE = 10.0
"""Seconds to wait for another process that is writing."""

_TABLES = sa.MetaData()
_EVENTS = sa.Table(
    "events",
    _TABLES,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Index("events_by_run", "run", "seq"),
    sa.Index("events_by_kind", "kind", "seq"),
    sqlite_autoincrement=True,
)
_META = sa.Table("meta", _TABLES, sa.Column("schema", sa.Integer, nullable=False))

_STRICT = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
# Appends come one after the other, so that positions become visible in order and no reader's cursor skips any.
_TURN: Mapping[str, str] = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(6270174650)"}


class SqlJournal:
    """A journal in one table of a database; any number of processes may write and read it at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._place = engine.url.database if _is_file(engine.url) else engine.url.render_as_string(hide_password=True)

    @classmethod
    def open(cls, place: str | Path, *, patience: float = PATIENCE) -> Self:
        """Open the journal in a file, or behind a ``postgresql://`` or ``sqlite://`` URL; it is made if need be.

        Parameters
        ----------
        place
            Path of the file, or URL.
        patience
            Seconds to wait for another process that is writing.

        Raises
        ------
        StoreError
            If it cannot be opened, is no journal, or was written by a newer version.
        MissingExtraError
            If it needs a database driver that is not installed.
        """
        journal = cls(_engine(_url(place), patience))
        try:
            journal._found()
        except StoreError:
            journal.close()
            raise
        return journal

    def append(self, events: Iterable[Event]) -> None:
        """Write all `events` or none; when this returns they are on the disk."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        rows = [{"run": event.run, "at": at, "kind": type(event).__name__, "body": _text(event)} for event in events]
        if not rows:
            return
        with self._turn() as connection:
            connection.execute(sa.insert(_EVENTS), rows)

    def read(self, start: int = 0, run: str | None = None, *, kinds: Collection[str] = ()) -> Iterator[Recorded]:
        """Yield in order what has position `start` or later; of one run or all, of some kinds of event or all."""
        wanted = sa.select(_EVENTS).order_by(_EVENTS.c.seq).limit(PAGE)
        if run is not None:
            wanted = wanted.where(_EVENTS.c.run == run)
        if kinds:
            wanted = wanted.where(_EVENTS.c.kind.in_(sorted(kinds)))
        # Page by page, each in a transaction of its own: a slow reader holds up nobody.
        while rows := self._select(wanted.where(_EVENTS.c.seq >= start)):
            yield from (recorded for recorded in map(self._recorded, rows) if recorded is not None)
            start = rows[-1].seq + 1

    def runs(self) -> Sequence[str]:
        """Return the ids of all runs, the one planned last first."""
        planned = sa.select(_EVENTS.c.run).where(_EVENTS.c.kind == "RunPlanned").order_by(_EVENTS.c.seq.desc())
        return list(dict.fromkeys(row.run for row in self._select(planned)))

    def close(self) -> None:
        """Close all connections; the journal opens new ones if it is used again."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _found(self) -> None:
        """Make the tables if there are none, and refuse those of a newer version."""
        if not self._has_tables():
            with self._turn() as connection:
                for table in _TABLES.sorted_tables:
                    connection.execute(CreateTable(table, if_not_exists=True))
                    for index in table.indexes:
                        connection.execute(CreateIndex(index, if_not_exists=True))
                if connection.execute(sa.select(_META)).first() is None:
                    connection.execute(sa.insert(_META), {"schema": SCHEMA})
        found = max((row.schema for row in self._select(sa.select(_META))), default=0)
        if found > SCHEMA:
            raise StoreError(
                "the journal was written by a newer version of MEDfl",
                where=str(self._place),
                received=f"schema {found}, this version reads up to {SCHEMA}",
                remedy="upgrade: pip install --upgrade medfl",
            )

    def _has_tables(self) -> bool:
        with self._explaining(), self._engine.connect() as connection:
            return sa.inspect(connection).has_table(_META.name)

    @contextmanager
    def _turn(self) -> Iterator[Connection]:
        """Give one transaction to write in, when it is our turn."""
        with self._explaining(), self._engine.begin() as connection:
            connection.exec_driver_sql(_TURN[self._engine.dialect.name])
            yield connection

    def _select(self, wanted: sa.Select[Any]) -> Sequence[Row[Any]]:
        with self._explaining(), self._engine.connect() as connection:
            return connection.execute(wanted).all()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise explained(error, str(self._place)) from error

    def _recorded(self, row: Row[Any]) -> Recorded | None:
        try:
            event = from_json(row.kind, row.run, json.loads(row.body)) if row.kind in KINDS else None
        except (ValueError, TypeError, AttributeError) as error:
            raise StoreError(
                "an event of the journal cannot be read",
                where=f"{self._place}, event {row.seq}",
                received=f"a {row.kind} that is not one",
                remedy="restore the journal from a backup; it was changed by something other than MEDfl",
            ) from error
        return None if event is None else Recorded(row.seq, row.at, event)


def _url(place: str | Path) -> URL:
    if isinstance(place, Path) or "://" not in place:
        return URL.create("sqlite", database=str(Path(place).expanduser().absolute()))
    try:
        url = sa.make_url(place)
    except ArgumentError as error:
        raise _no_url() from error
    if url.get_backend_name() == "sqlite" and _is_file(url):
        return url
    if url.get_backend_name() in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    raise _no_url()


def _no_url() -> NotFoundError:
    return NotFoundError(
        "the journal's address is none that MEDfl knows",
        where="MEDFL_JOURNAL, or the address given",
        remedy="give a file, sqlite:////folder/journal.db, or postgresql://user@host/database",
    )


def _is_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and bool(url.database) and url.database != ":memory:"


def _engine(url: URL, patience: float) -> Engine:
    if not _is_file(url):
        return _postgres(url, patience)
    _make_file(Path(str(url.database)))
    engine = sa.create_engine(url, connect_args={"timeout": patience}, hide_parameters=True)
    turn = FileLock(f"{url.database}.lock", timeout=patience, mode=0o600, thread_local=False)
    sa.event.listen(engine, "connect", partial(_durable, turn))
    return engine


def _postgres(url: URL, patience: float) -> Engine:
    settings = {"connect_timeout": max(2, round(patience)), "options": f"-c lock_timeout={round(patience * 1000)}"}
    try:
        return sa.create_engine(url, connect_args=settings, pool_pre_ping=True, hide_parameters=True)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "a journal in PostgreSQL needs the package psycopg",
            where=url.render_as_string(hide_password=True),
            remedy="pip install 'medfl[postgres]'",
        ) from error


def _make_file(path: Path) -> None:
    """Make the file before SQLite does, to be read by its owner only; SQLite gives its side files the same mode.

    A file that is there is not opened: closing it would release the locks that this process holds on it, and another
    process could take the log of what is not merged yet away from under it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            _require_usable(path)
            return
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise no_access(error, path) from error


def _require_usable(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not os.access(path, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _durable(turn: FileLock, connection: sqlite3.Connection, _: object) -> None:
    """Set up a connection to SQLite: what is acknowledged is on the disk, and readers and a writer do not wait.

    Connections are set up one at a time: SQLite does not wait for the change to WAL, but fails where another reads.
    """
    connection.isolation_level = None  # transactions begin where we say so
    try:
        with turn:
            for setting in ("journal_mode=WAL", "synchronous=FULL", "fullfsync=ON"):
                connection.execute(f"PRAGMA {setting}").close()
    except Timeout as error:
        raise locked(turn.lock_file) from error


def _text(event: Event) -> str:
    """Return the event as strict JSON: a number that is not finite becomes null, as JSON has no word for it."""
    body = to_json(event)
    try:
        return _STRICT.encode(body)
    except ValueError:
        return _STRICT.encode(_finite(body))


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
