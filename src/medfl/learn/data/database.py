"""Reading a table from a database: a query over a SQLAlchemy URL, of which nothing that it might change is kept."""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pandas as pd

from medfl.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

_READS = re.compile(r"\s*(select|with|values|table)\b", re.IGNORECASE)
_DRIVERS = MappingProxyType({"psycopg": "'medfl[postgres]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"})
"""What to install for a driver's module, where it is not called the same."""


def is_url(source: str) -> bool:
    """Say whether a source is a database's URL, and not a file's path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+_.-]*://", source) is not None


def without_password(url: str) -> str:
    """Return a URL that may be shown."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return re.sub(r"://.*@", "://***@", url)


def with_password(url: str, password: str) -> str:
    """Return a URL with this password in it, spelled as URLs must.

    Raises
    ------
    DataError
        If it is no URL.
    """
    return _parsed(url).set(password=password).render_as_string(hide_password=False)


def read_query(url: str, query: str) -> pd.DataFrame:
    """Read the rows that a query gives.

    The transaction is rolled back, and read-only where the database knows that.

    Parameters
    ----------
    url
        A SQLAlchemy URL, such as ``postgresql+psycopg://reader@db.example.org/ward``.
    query
        One SQL query that reads.

    Raises
    ------
    DataError
        If the database cannot be reached or the query does not give a table. What the database itself says may quote
        values: it is a note of the error, for who is at the keyboard, and no part of what leaves a site.
    MissingExtraError
        If the database's driver is not installed.
    """
    from sqlalchemy.exc import DBAPIError, ResourceClosedError

    where = without_password(url)
    _require_reading(query, where)
    try:
        with _connected(url, where) as connection:
            result = connection.execution_options(no_parameters=True).exec_driver_sql(query)
            names = [*result.keys()]
            frame = pd.DataFrame.from_records(result.fetchall(), columns=names, coerce_float=True)
            connection.rollback()
    except DBAPIError as error:
        raise _saying(error, "the query does not work", where, "try it in the database's own program") from None
    except ResourceClosedError:
        raise DataError("the query gives no rows at all", where=where, remedy="write a query that reads") from None
    return frame.infer_objects()


def _connected(url: str, where: str) -> Connection:
    """Return a connection that changes nothing."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError, NoSuchModuleError
    from sqlalchemy.pool import NullPool

    parsed = _parsed(url)
    _require_file(parsed, where)
    try:
        connection = create_engine(parsed, poolclass=NullPool, hide_parameters=True).connect()
    except NoSuchModuleError:
        raise DataError(
            "no such kind of database",
            where=where,
            received=parsed.drivername,
            remedy="write postgresql+psycopg://, mysql+pymysql://, oracle+oracledb://, mssql+pyodbc:// or sqlite:///",
        ) from None
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"reading this database needs {error.name}, which is not installed",
            where=where,
            remedy=f"pip install {_DRIVERS.get(error.name or '', error.name)}",
        ) from None
    except DBAPIError as error:
        remedy = "check host, port, database, user and password; they can be tried with the database's own program"
        raise _saying(error, "the database cannot be reached, or does not let this user in", where, remedy) from None
    if parsed.get_backend_name() == "postgresql":
        return connection.execution_options(postgresql_readonly=True)
    if parsed.get_backend_name() == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
    return connection


def _parsed(url: str) -> URL:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        raise DataError(
            "not a database's URL",
            where=without_password(url),
            remedy="write kind+driver://user@host:port/database, with %40 for an @ inside a word",
        ) from None


def _require_file(url: URL, where: str) -> None:
    """Refuse a database file that is not there: SQLite would make an empty one."""
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        raise DataError(
            "no such database file", where=where, remedy="check the path; an absolute one has four slashes: sqlite:////"
        )


def _require_reading(query: str, where: str) -> None:
    if not _READS.match(query):
        raise DataError("the query must read", where=where, remedy="begin it with SELECT or WITH")


def _saying(error: Exception, what: str, where: str, remedy: str) -> DataError:
    """Return an error of which the database's own words are a note."""
    cause = getattr(error, "orig", None) or error
    told = DataError(what, where=where, received=type(cause).__name__, remedy=remedy)
    told.add_note(f"The database says: {' '.join(str(cause).split())[:500]}")
    return told
