"""Files that are called by what is in them: weights and states, by their sha256."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from medfl.errors import NotFoundError, StoreError
from medfl.store.trouble import no_access

Digest: TypeAlias = str
"""Sha256 as 64 hexadecimal digits."""
CHUNK = 1 << 20


class Artefacts(Protocol):
    """Bodies by their digest."""

    def open(self, digest: Digest) -> BinaryIO:
        """Return the body, checked against its digest, from its beginning."""

    def write(self, body: bytes | BinaryIO) -> Digest:
        """Keep a body; when this returns it survives a crash of the process and of the machine."""

    def remove(self, digest: Digest) -> None:
        """Forget a body; nothing happens where there is none."""


class FileArtefacts:
    """Artefacts in a folder, each in its own file: ``ab/cdef…`` for the digest ``abcdef…``.

    Parameters
    ----------
    folder
        Where they are; made at the first write, for its owner only.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, digest: Digest) -> BinaryIO:
        """Return the body, checked against its digest, from its beginning.

        Raises
        ------
        NotFoundError
            If there is none.
        StoreError
            If the file is not what it was when it was written, or cannot be read.
        """
        path = self.path(digest)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise NotFoundError(
                "there is no such artefact",
                where=str(path),
                remedy="copy the folder with all its artefacts, or run the study again",
            ) from None
        except OSError as error:
            raise no_access(error, path) from error
        try:
            intact = _digest(file) == digest
            file.seek(0)
        except OSError as error:
            file.close()
            raise no_access(error, path) from error
        if not intact:
            file.close()
            raise StoreError(
                "corrupted artefact: its content is not what was written",
                where=str(path),
                remedy="restore it from a backup, or remove it and run the study again: the same seed gives it again",
            )
        return file

    def write(self, body: bytes | BinaryIO) -> Digest:
        """Keep a body; when this returns it is on the disk.

        Raises
        ------
        StoreError
            If it cannot be written: no room, no permission. Nothing is left behind then.
        """
        try:
            if isinstance(body, bytes):
                digest = hashlib.sha256(body).hexdigest()
                return digest if _is_intact(self.path(digest)) else self._written(BytesIO(body))
            return self._written(body)
        except OSError as error:
            raise no_access(error, Path(error.filename or self.folder)) from error

    def remove(self, digest: Digest) -> None:
        """Forget a body; nothing happens where there is none."""
        path = self.path(digest)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise no_access(error, path) from error

    def path(self, digest: Digest) -> Path:
        """Return where a body is, or would be.

        Raises
        ------
        NotFoundError
            If this is no digest.
        """
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise NotFoundError("this is no artefact's digest", received=repr(digest), remedy="give its 64 hex digits")
        return self.folder / digest[:2] / digest[2:]

    def _written(self, source: BinaryIO) -> Digest:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=".new-")
        fresh = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                digest = _copied(source, file)
                file.flush()
                os.fsync(file.fileno())
            self._settle(fresh, self.path(digest))
        finally:
            fresh.unlink(missing_ok=True)
        return digest

    def _settle(self, fresh: Path, path: Path) -> None:
        """Give a complete file its name; where a damaged one has it, that one is replaced."""
        if _is_intact(path):
            return
        if not path.parent.exists():
            path.parent.mkdir(exist_ok=True, mode=0o700)
            _sync_folder(self.folder)
        fresh.replace(path)
        _sync_folder(path.parent)


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk


def _digest(source: BinaryIO) -> Digest:
    sha = hashlib.sha256()
    for chunk in _chunks(source):
        sha.update(chunk)
    return sha.hexdigest()


def _copied(source: BinaryIO, target: BinaryIO) -> Digest:
    sha = hashlib.sha256()
    for chunk in _chunks(source):
        sha.update(chunk)
        target.write(chunk)
    return sha.hexdigest()


def _is_intact(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _digest(file) == path.parent.name + path.name
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
