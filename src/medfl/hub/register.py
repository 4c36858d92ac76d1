"""Which sites there are, and how far each one's enrolment has come: invited, waiting, approved, revoked.

One SQLite file, shared by the service and the command line. What sites must believe, a certificate or the directory, is
signed when somebody approves or revokes: the service itself needs no key of the authority.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import sqlite3
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Literal

from medfl.enrolment import DIRECTORY, SECRET, Application, Directory, Invitation, Peer, Signed, json_of, require_name
from medfl.errors import EnrolmentError, RefusedError, StoreError, did_you_mean
from medfl.hub.applying import Applicant, checked
from medfl.hub.authority import Authority, pem_of
from medfl.hub.schema import require_readable

Status = Literal["invited", "waiting", "approved", "revoked"]
PATIENCE = 10.0
"""Seconds to wait for another process that writes."""
AHEAD = 1_000_000
"""By how much the directory's number grows when a backup is put back: sites take up no number below one they know."""
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE sites (
    name TEXT PRIMARY KEY, title TEXT NOT NULL, status TEXT NOT NULL, since REAL NOT NULL,
    secret TEXT NOT NULL, expires INTEGER NOT NULL,
    request TEXT NOT NULL DEFAULT '', identity TEXT NOT NULL DEFAULT '', node TEXT NOT NULL DEFAULT '',
    fingerprint TEXT NOT NULL DEFAULT '', certificate TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE revoked (identity TEXT PRIMARY KEY, node TEXT NOT NULL, site TEXT NOT NULL, since REAL NOT NULL) STRICT;
PRAGMA user_version = 1;
"""


@dataclass(frozen=True, slots=True)
class Record:
    """One site; the fields are the columns of the table.

    Parameters
    ----------
    name, title
        What studies and what people call it.
    status
        How far its enrolment has come.
    since
        When it got there, in seconds since 1970.
    secret
        SHA-256 of its invitation's secret.
    expires
        Until when the invitation holds.
    request
        The signing request that it applied with.
    identity, node
        Its public keys: the identity's as hexadecimal digits, its Flower node's as PEM.
    fingerprint
        Digits to compare by telephone.
    certificate
        Its certificate, PEM, from its approval on.
    """

    name: str
    title: str
    status: Status
    since: float
    secret: str
    expires: int
    request: str = ""
    identity: str = ""
    node: str = ""
    fingerprint: str = ""
    certificate: str = ""


class Register:
    """The sites of a hub.

    Parameters
    ----------
    path
        Its file.
    clock
        Tells the time in seconds since 1970.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock

    def make(self, authority: Authority, hub: str) -> None:
        """Make an empty register with a directory that names nobody."""
        self._path.unlink(missing_ok=True)
        self._path.touch(mode=0o600)
        with closing(sqlite3.connect(self._path)) as database:
            database.executescript(_TABLES)
            database.execute("INSERT INTO facts VALUES ('hub', ?)", (hub,))
            _publish(database, authority)
            database.commit()

    def sites(self) -> list[Record]:
        """Return all sites, sorted by name."""
        with self._opened() as database:
            return [Record(*row) for row in database.execute("SELECT * FROM sites ORDER BY name")]

    def named(self, site: str) -> Record:
        """Return a site by its name, or by what people call it.

        Raises
        ------
        EnrolmentError
            If there is none.
        """
        with self._opened() as database:
            return _named(database, site)

    def directory(self) -> Signed:
        """Return who is enrolled, as the authority has signed it."""
        with self._opened() as database:
            return Signed.from_json(json_of(_fact(database, "directory").encode()))

    def invite(self, title: str, invitation: Callable[[str, bytes, int], Invitation], *, seconds: float) -> Invitation:
        """Invite a site; an earlier invitation that it has not used ends.

        Parameters
        ----------
        title
            What people call it.
        invitation
            Makes the invitation from the site's name, the secret and the second when it expires.
        seconds
            How long it holds.

        Raises
        ------
        EnrolmentError
            If there is such a site, waiting or enrolled, or it cannot be called so.
        """
        name, now = name_of(title), self._clock()
        secret, expires = secrets.token_bytes(SECRET), int(now + seconds)
        with self._opened(writing=True) as database:
            known = _found(database, name)
            if known is not None and known.status in ("waiting", "approved"):
                raise EnrolmentError(
                    "there is such a site already",
                    where=name,
                    received=f"{known.title!r}, {known.status}",
                    remedy=f"to enrol it anew: medfl hub revoke {name}, then invite it again; or use another name",
                )
            record = Record(name, title, "invited", now, _digest(secret), expires)
            _write(database, record)
        return invitation(name, secret, expires)

    def apply(self, application: Application, authority: bytes) -> Record:
        """Take a site's application in; the same one comes again where its answer was lost, and changes nothing.

        Parameters
        ----------
        application
            What came.
        authority
            SHA-256 of the authority's certificate.

        Raises
        ------
        RefusedError
            If the invitation is none, was used or has expired, or the keys are somebody else's.
        WireError
            If the application is not signed by its own keys.
        """
        with self._opened(writing=True) as database:
            record = _found(database, application.site)
            if record is None or not secrets.compare_digest(record.secret, _digest(application.secret)):
                raise RefusedError(
                    "the hub does not know this invitation",
                    where=application.site[:80],
                    remedy="ask whoever runs the hub for a new one: an invitation is void once another one was made",
                )
            applicant = checked(application, authority)
            if record.status != "invited":
                return _again(record, application, applicant)
            if (late := self._clock() - record.expires) > 0:
                raise RefusedError(
                    "the invitation has expired",
                    where=record.name,
                    received=f"{_spoken(late)} ago, by the hub's clock",
                    remedy="ask whoever runs the hub for a new one",
                )
            _require_new_keys(database, applicant)
            waiting = replace(
                record,
                status="waiting",
                since=self._clock(),
                request=application.request,
                identity=applicant.identity.hex(),
                node=applicant.node,
                fingerprint=applicant.fingerprint,
            )
            _write(database, waiting)
            return waiting

    def standing(self, site: str, identity: bytes) -> Record:
        """Return how a site stands that shows its identity.

        Raises
        ------
        RefusedError
            If this is not the identity of the site.
        """
        with self._opened() as database:
            record = _found(database, site)
            if record is not None and record.identity == identity.hex():
                return record
            if database.execute(
                "SELECT 1 FROM revoked WHERE identity = ? AND site = ?", (identity.hex(), site)
            ).fetchone():
                return Record(site, site, "revoked", self._clock(), "", 0, identity=identity.hex())
        raise RefusedError(
            "the hub knows no site with this name and this key",
            where=site[:80],
            remedy="enrol with an invitation: medfl site enrol INVITATION",
        )

    def approve(self, site: str, authority: Authority) -> Record:
        """Enrol a site that waits: it gets a certificate and stands in the directory.

        Raises
        ------
        EnrolmentError
            If it does not wait.
        """
        with self._opened(writing=True) as database:
            record = _named(database, site)
            if record.status == "approved":
                return record
            if record.status != "waiting":
                raise EnrolmentError(
                    "this site does not wait for approval",
                    where=record.name,
                    received=record.status,
                    remedy="it applies with: medfl site enrol INVITATION; make one: medfl hub invite --site NAME",
                )
            applicant = Applicant.of(record.request, bytes.fromhex(record.identity), record.fingerprint)
            certificate = authority.admit(record.name, applicant.key, applicant.identity)
            pem = pem_of(certificate).decode()
            enrolled = replace(record, status="approved", since=self._clock(), certificate=pem)
            _write(database, enrolled)
            _publish(database, authority)
            return enrolled

    def revoke(self, site: str, authority: Authority) -> Record:
        """Put a site out: its keys are never accepted again, and it leaves the directory."""
        with self._opened(writing=True) as database:
            record = _named(database, site)
            if record.status == "revoked":
                return record
            now = self._clock()
            if record.identity:
                row = (record.identity, record.node, record.name, now)
                database.execute("INSERT OR REPLACE INTO revoked VALUES (?, ?, ?, ?)", row)
            revoked = replace(record, status="revoked", since=now)
            _write(database, revoked)
            _publish(database, authority)
            return revoked

    def advance(self, authority: Authority) -> None:
        """Sign the directory under a number that none before it had, also none that this register has forgotten."""
        with self._opened(writing=True) as database:
            _publish(database, authority, ahead=AHEAD)

    @contextmanager
    def _opened(self, *, writing: bool = False) -> Iterator[sqlite3.Connection]:
        """Open the file; a writer has it for itself, and leaves it as it was if it fails."""
        try:
            with closing(sqlite3.connect(f"file:{self._path}?mode=rw", uri=True, timeout=PATIENCE)) as database:
                database.isolation_level = None
                database.execute("PRAGMA synchronous = FULL")
                database.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
                require_readable(database, self._path)
                yield database
                database.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(
                "the register of sites cannot be used",
                where=str(self._path),
                received=f"{type(error).__name__}: {error}",
                remedy="see whether the disk is full or the file damaged; put a copy of the hub's folder back",
            ) from error


def name_of(title: str) -> str:
    """Return the name that studies use for a hospital: ``Hospital A`` becomes ``hospital-a``.

    Raises
    ------
    EnrolmentError
        If none can be made of it.
    """
    if re.fullmatch(r"[A-Za-z0-9._-]+", title):
        return require_name(title)
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return require_name(re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-"))


def _again(record: Record, application: Application, applicant: Applicant) -> Record:
    """Return how a site stands that applies once more with what it applied with before."""
    same = (record.request, record.identity) == (application.request, applicant.identity.hex())
    if not same or record.status == "revoked":
        raise RefusedError(
            "the invitation was used before" if record.status != "revoked" else "the site was revoked",
            where=record.name,
            received="other keys than those that came first" if not same else record.status,
            remedy="if that was not you, tell whoever runs the hub at once; ask for a new invitation",
        )
    return record


def _require_new_keys(database: sqlite3.Connection, applicant: Applicant) -> None:
    keys = (applicant.identity.hex(), applicant.node)
    for table in ("sites", "revoked"):
        query = f"SELECT 1 FROM {table} WHERE identity = ? OR node = ?"  # noqa: S608 - one of two names above
        if database.execute(query, keys).fetchone():
            raise RefusedError(
                "these keys belong to another site, or were revoked",
                where=applicant.site,
                remedy="every site makes its own keys: enrol with a home folder of its own, and copy no keys",
            )


def _publish(database: sqlite3.Connection, authority: Authority, *, ahead: int = 1) -> None:
    """Sign the directory as it is now, under a number that is so much higher."""
    approved = [record for record in _all(database) if record.status == "approved"]
    sequence = database.execute("SELECT value FROM facts WHERE name = 'sequence'").fetchone()
    number = int(sequence[0]) + ahead if sequence else 0
    peers = {one.name: Peer(one.title, bytes.fromhex(one.identity), one.fingerprint) for one in approved}
    text = Directory(_fact(database, "hub"), number, peers).text()
    signed = authority.signed(text, purpose=DIRECTORY)
    for name, value in (("sequence", str(number)), ("directory", json.dumps(signed.to_json()))):
        database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


def _named(database: sqlite3.Connection, site: str) -> Record:
    """Return a site by its name or its title."""
    records = _all(database)
    for record in records:
        if site in (record.name, record.title):
            return record
    names = [record.name for record in records]
    raise EnrolmentError(
        "there is no such site",
        where=site[:80],
        remedy=did_you_mean(site, names) or "see which there are: medfl hub sites",
    )


def _all(database: sqlite3.Connection) -> list[Record]:
    return [Record(*row) for row in database.execute("SELECT * FROM sites ORDER BY name")]


def _found(database: sqlite3.Connection, name: str) -> Record | None:
    row = database.execute("SELECT * FROM sites WHERE name = ?", (name,)).fetchone()
    return None if row is None else Record(*row)


def _write(database: sqlite3.Connection, record: Record) -> None:
    database.execute("INSERT OR REPLACE INTO sites VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", astuple(record))


def _fact(database: sqlite3.Connection, name: str) -> str:
    return str(database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()[0])


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()


def _spoken(seconds: float) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
    return "less than a minute"
