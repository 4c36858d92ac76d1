"""A copy of a hub in one file, made while it runs, and the hub made of it again.

What is copied first may speak only of what is copied after it: the queue names executions that the journal knows, and
the journal names artefacts, which are written before it and never changed. SQLite's files are copied by SQLite, which a
program that copies files cannot do while others write. What the hub makes anew is left out: Flower's database, locks,
who is connected.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO

from medfl.chain import HEAD
from medfl.errors import EnrolmentError, StoreError
from medfl.hub.people.book import FILE, Book
from medfl.hub.place import HubPlace
from medfl.private import make_private

MANIFEST = "manifest.json"
FORMAT = 1
FIRST = ("queue", "stops")
DATABASES = ("journal.db", "sites.db", "people.db")
LEFT_OUT = frozenset({"superlink", "locks", "bell", "hub.lock", "presence.json"})
_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class Copied:
    """What a backup holds.

    Parameters
    ----------
    hub
        Name of the hub.
    made
        When, in UTC.
    by
        The version of MEDfl that made it.
    files
        SHA-256 of each file, by its place in the hub's folder.
    """

    hub: str
    made: str
    by: str
    files: Mapping[str, str]


def back_up(hub: HubPlace, file: Path) -> Copied:
    """Copy a hub, which may run meanwhile, into one new file that only its owner can read.

    Raises
    ------
    EnrolmentError
        If there is no hub, or such a file already, or it would lie in the hub's own folder.
    StoreError
        If something cannot be read or written.
    """
    about, target = hub.about, file.expanduser().absolute()
    if target.exists():
        raise EnrolmentError("there is such a file already", where=str(target), remedy="name one that is not there yet")
    if target.resolve().is_relative_to(hub.folder.resolve()):
        raise EnrolmentError(
            "a backup inside the hub's own folder would be lost with it",
            where=str(target),
            remedy="name a file elsewhere, best on another machine",
        )
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}.draft")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            with tarfile.open(fileobj=out, mode="w") as archive:
                made = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
                copied = Copied(about.name, made, version("medfl"), _packed(hub.folder, archive))
                _add(archive, MANIFEST, io.BytesIO(_text(copied)), len(_text(copied)))
            out.flush()
            os.fsync(out.fileno())
        draft.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            "the backup cannot be made",
            where=str(target),
            received=str(error) or type(error).__name__,
            remedy="free some space, or choose another place; the hub itself was not touched",
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return copied


def restore(file: Path, hub: HubPlace) -> Copied:
    """Make a hub of a backup, in a folder where there is nothing yet.

    Raises
    ------
    EnrolmentError
        If there is something in the folder, or the file is no backup of a hub, or one of a newer version.
    StoreError
        If the backup is damaged, or the folder cannot be written.
    """
    folder = hub.folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EnrolmentError(
            "there is something in this folder already",
            where=str(folder),
            remedy="move it aside first, or restore elsewhere with --home: two hubs must not run from one backup",
        )
    try:
        make_private(folder.parent)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            copied = _unpacked(file, draft)
            again = HubPlace(draft)
            again.register.advance(again.authority)
            _end_sessions(draft)
            if folder.exists():
                folder.rmdir()
            draft.replace(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise StoreError(
            "the hub cannot be restored",
            where=str(folder),
            received=error.strerror or type(error).__name__,
            remedy="free some space, or restore elsewhere with --home",
        ) from error
    return copied


def _end_sessions(folder: Path) -> None:
    """End what was open when the backup was made: a session that was ended since then must not come back."""
    book = Book(folder / FILE)
    if book.path.exists():
        with book.open() as database:
            for table in ("sessions", "links", "tokens"):
                database.execute(f"DELETE FROM {table}")  # noqa: S608 - one of those above


def _packed(folder: Path, archive: tarfile.TarFile) -> dict[str, str]:
    """Copy everything in its order; return the digests."""
    digests: dict[str, str] = {}
    for name in FIRST:
        digests |= dict(_added(folder, archive, folder / name))
    for name in DATABASES:
        if (folder / name).exists():
            with tempfile.TemporaryDirectory(prefix="medfl-backup-") as aside:
                copy = Path(aside) / name
                _copied_by_sqlite(folder / name, copy)
                digests[name] = _add_file(archive, name, copy)
    for path in sorted(folder.iterdir()):
        name = path.name
        if name not in LEFT_OUT and name not in FIRST and not name.startswith(DATABASES):
            digests |= dict(_added(folder, archive, path))
    return digests


def _added(folder: Path, archive: tarfile.TarFile, path: Path) -> Iterator[tuple[str, str]]:
    """Add a file, or all files of a folder, but for drafts; what is gone meanwhile is not missed."""
    # What is kept aside of a log goes first: lines that come meanwhile are more than it knows of, and never fewer.
    inside = sorted(path.rglob("*"), key=lambda one: (one.name != HEAD, one)) if path.is_dir() else [path]
    for one in inside:
        if one.is_file() and not one.is_symlink() and one.suffix not in (".draft", ".part", ".lock"):
            name = one.relative_to(folder).as_posix()
            try:
                yield name, _add_file(archive, name, one)
            except FileNotFoundError:
                continue


def _add_file(archive: tarfile.TarFile, name: str, path: Path) -> str:
    with path.open("rb") as body:
        return _add(archive, name, body, os.fstat(body.fileno()).st_size)


def _add(archive: tarfile.TarFile, name: str, body: IO[bytes], size: int) -> str:
    """Add so many bytes; return their digest."""
    about = tarfile.TarInfo(name)
    about.size, about.mode = size, 0o600
    read = _Hashing(body)
    archive.addfile(about, read)
    return read.digest.hexdigest()


@dataclass(slots=True)
class _Hashing:
    """Reads, and remembers the digest of what was read."""

    body: IO[bytes]
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def read(self, size: int = -1) -> bytes:
        found = self.body.read(size)
        self.digest.update(found)
        return found


def _copied_by_sqlite(source: Path, copy: Path) -> None:
    """Copy a database as it is at one moment, whoever writes to it."""
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT, 0o600))
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True, timeout=30)) as before,
        closing(sqlite3.connect(copy)) as after,
    ):
        before.backup(after)


def _text(copied: Copied) -> bytes:
    words = {"format": FORMAT, "hub": copied.hub, "made": copied.made, "medfl": copied.by, "files": dict(copied.files)}
    return (json.dumps(words, indent=1, ensure_ascii=False) + "\n").encode()


def _unpacked(file: Path, folder: Path) -> Copied:
    """Write the files of a backup into a folder, and look whether they are all there and as they were."""
    found: dict[str, str] = {}
    try:
        with tarfile.open(file, "r:") as archive:
            for about in archive:
                place = PurePosixPath(about.name)
                if not about.isfile() or place.is_absolute() or ".." in place.parts:
                    raise _no_backup(file, f"an entry that no backup has: {about.name[:80]!r}")
                for parent in reversed(place.parents):
                    make_private(folder / parent)
                body = archive.extractfile(about)
                if body is not None:
                    found[about.name] = _written(body, folder / place)
    except tarfile.TarError as error:
        raise _no_backup(file, str(error)) from error
    except FileNotFoundError as error:
        raise EnrolmentError("there is no such file", where=str(file)) from error
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise _no_backup(file, "no list of its files: it was cut off, or is something else")
    copied = _read(manifest, file)
    found.pop(MANIFEST)
    manifest.unlink()
    wrong = sorted(name for name in {*found, *copied.files} if found.get(name) != copied.files.get(name))
    if wrong:
        raise StoreError(
            "the backup is damaged",
            where=str(file),
            received=f"{len(wrong)} files that are not as they were, such as {wrong[0]}",
            remedy="use another copy of it, or an older backup",
        )
    return copied


def _written(body: IO[bytes], path: Path) -> str:
    """Write a file for its owner only, and return its digest."""
    digest = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        while part := body.read(_BLOCK):
            digest.update(part)
            out.write(part)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def _read(manifest: Path, file: Path) -> Copied:
    try:
        words = json.loads(manifest.read_bytes())
        form = int(words["format"])
        copied = Copied(str(words["hub"]), str(words["made"]), str(words["medfl"]), dict(words["files"]))
    except (ValueError, KeyError, TypeError) as error:
        raise _no_backup(file, "a list of its files that cannot be read") from error
    if form > FORMAT:
        raise EnrolmentError(
            "the backup was made by a newer version of MEDfl",
            where=str(file),
            received=f"format {form}, made by {copied.by}; this version reads up to {FORMAT}",
            remedy="upgrade: pip install --upgrade medfl",
        )
    return copied


def _no_backup(file: Path, received: str) -> EnrolmentError:
    return EnrolmentError(
        "this is no backup of a hub", where=str(file), received=received, remedy="give a file of: medfl hub backup FILE"
    )
