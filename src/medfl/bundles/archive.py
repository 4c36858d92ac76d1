"""The file of a bundle: a zip whose bytes follow from what is in it.

Nothing in it is compressed. So a bundle cannot unpack to more than it is, and the same contents are the same bytes with
every version of Python and of zlib. Whoever reads one demands exactly these bytes: what lies between the files, before
or after them, or twice under one name, is found.
"""

from __future__ import annotations

import errno
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import IO, Self
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from medfl.errors import BundleError, Complaint, NotFoundError, UserError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*", re.ASCII)
"""What a file in a bundle may be called: never a way out of the folder that it is unpacked into."""
LARGEST = 2**32 - 2**20
"""Bytes of the largest bundle: what a zip holds that every program can read."""
MOST = 2**16 - 2
"""Files in the largest bundle."""
BLOCK = 2**20
_MEDIA: Mapping[str, str] = MappingProxyType(
    {
        ".json": "application/json",
        ".jsonl": "application/jsonl",
        ".html": "text/html",
        ".md": "text/markdown",
        ".py": "text/x-python",
        ".toml": "application/toml",
        ".safetensors": "application/octet-stream",
    }
)
_UNREADABLE = (
    BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    EOFError,
    struct.error,
    OverflowError,
    KeyError,
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A file to put into a bundle.

    Parameters
    ----------
    name
        Where it lies.
    about
        What it is, in a sentence.
    open
        Gives its body from the beginning.
    """

    name: str
    about: str
    open: Callable[[], IO[bytes]]

    @classmethod
    def of(cls, name: str, about: str, body: str | bytes) -> Self:
        """Return a file with this body."""
        return cls(name, about, partial(BytesIO, body.encode() if isinstance(body, str) else body))

    @property
    def media(self) -> str:
        """Its media type."""
        return media(self.name)


def media(name: str) -> str:
    """Return the media type of a file by its name."""
    return _MEDIA.get(Path(name).suffix, "application/octet-stream")


def pack(pieces: Iterable[Piece], out: IO[bytes]) -> None:
    """Write files as an archive, in the order of their names.

    Raises
    ------
    UserError
        If they are too large for one.
    """
    ordered = sorted(pieces, key=lambda piece: piece.name)
    entries = [_entry(piece) for piece in ordered]
    if len(entries) > MOST or sum(entry.size for entry in entries) > LARGEST:
        raise UserError(
            "the study is too large for one bundle",
            received=f"{len(entries)} files of {sum(entry.size for entry in entries)} bytes",
            remedy="bundle a study with fewer arms or repeats; its models are in the store, for: medfl export RUN",
        )
    for part in _laid_out(entries, [piece.open for piece in ordered]):
        out.write(part)


class Archive:
    """A bundle that was opened: its files by name."""

    def __init__(self, file: ZipFile) -> None:
        self._file = file
        self.names = tuple(one.filename for one in file.infolist())

    def open(self, name: str) -> IO[bytes]:
        """Return a file from its beginning.

        Raises
        ------
        BundleError
            If there is none of this name.
        """
        if name not in self.names:
            raise BundleError("a file is missing from the bundle", where=name, remedy="use another copy of it")
        return self._file.open(name)

    def read(self, name: str) -> bytes:
        """Return a file's whole body: never more than the bundle itself has on the disk.

        Raises
        ------
        BundleError
            If there is none of this name, or it cannot be read.
        """
        try:
            with self.open(name) as body:
                return body.read()
        except _UNREADABLE as error:
            raise _damaged(name, str(error)) from error


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open a bundle, and look whether its bytes are those of its files and nothing else.

    Raises
    ------
    NotFoundError
        If there is no such file, or it cannot be read.
    BundleError
        With each thing about the archive that no bundle has.
    """
    try:
        with path.open("rb") as raw:
            yield _understood(raw, path)
    except IsADirectoryError:
        raise NotFoundError(
            "this is a folder", where=str(path), remedy="give the file that medfl bundle wrote"
        ) from None
    except OSError as error:
        raise NotFoundError(
            "the bundle cannot be read",
            where=str(path),
            received=error.strerror or type(error).__name__,
            remedy="give the file that medfl bundle wrote",
        ) from error


def _understood(raw: IO[bytes], path: Path) -> Archive:
    try:
        file = ZipFile(raw)
        complaints = [Complaint(what, name) for name, what in _strange(file.infolist())]
        if not complaints and not _same(_laid_out(_entries(file), _openers(file)), raw):
            complaints = [Complaint("the archive is not laid out as a bundle is: something was added or changed in it")]
    except _UNREADABLE as error:
        raise _damaged(path.name, str(error)) from error
    except OSError as error:
        # A place before the file's beginning, where a damaged list says that there is something.
        if error.errno != errno.EINVAL:
            raise
        raise _damaged(path.name, "a place outside the file") from error
    if complaints:
        raise BundleError.of(complaints)
    return Archive(file)


def _damaged(where: str, received: str) -> BundleError:
    return BundleError(
        "this is no whole bundle: it was cut off or damaged, or is something else",
        where=where,
        received=received[:200],
        remedy="use another copy of it",
    )


def _strange(infos: Sequence[ZipInfo]) -> Iterator[tuple[str, str]]:
    """Yield name and trouble of every entry that no bundle has."""
    seen: set[str] = set()
    for info in infos:
        name = info.filename[:200]
        # As it stands in the file: Python cuts a name off at a zero byte.
        if not NAME.fullmatch(info.orig_filename):
            yield name, "a file's name is none that a bundle has: it could lead out of the folder it is unpacked into"
        if info.filename in seen:
            yield name, "two files have the same name"
        seen.add(info.filename)
        if info.compress_type != ZIP_STORED or info.compress_size != info.file_size:
            yield name, f"a file is compressed, and says that it unpacks to {info.file_size} bytes: no bundle's file is"
        elif info.flag_bits:
            yield name, "a file is encrypted, or laid out otherwise than a bundle's"


def _entries(file: ZipFile) -> list[_Entry]:
    return [_Entry(info.filename, info.file_size, info.CRC) for info in file.infolist()]


def _openers(file: ZipFile) -> list[Callable[[], IO[bytes]]]:
    return [partial(file.open, name) for name in file.namelist()]


def _same(parts: Iterator[bytes], raw: IO[bytes]) -> bool:
    """Say whether a file is just these parts; others may read from it meanwhile."""
    place = 0
    for part in parts:
        raw.seek(place)
        if raw.read(len(part)) != part:
            return False
        place += len(part)
    raw.seek(place)
    return not raw.read(1)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a zip says of a file."""

    name: str
    size: int
    crc: int


def _entry(piece: Piece) -> _Entry:
    size = crc = 0
    with piece.open() as body:
        for part in _blocks(body):
            size, crc = size + len(part), zlib.crc32(part, crc)
    return _Entry(piece.name, size, crc)


def _blocks(body: IO[bytes]) -> Iterator[bytes]:
    while part := body.read(BLOCK):
        yield part


_VERSION, _UNIX, _FIRST_OF_1980, _REGULAR = 20, 3 << 8, 0x21, 0o100644 << 16


def _laid_out(entries: Sequence[_Entry], openers: Sequence[Callable[[], IO[bytes]]]) -> Iterator[bytes]:
    """Yield the bytes of a zip (PKWARE's APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16), all stored as they are."""
    place, listing = 0, b""
    for entry, opener in zip(entries, openers, strict=True):
        name = entry.name.encode()
        about = (0, 0, 0, _FIRST_OF_1980, entry.crc, entry.size, entry.size, len(name), 0)
        local = struct.pack("<4s5H3L2H", b"PK\3\4", _VERSION, *about) + name
        listing += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", _UNIX | _VERSION, _VERSION, *about, 0, 0, 0, _REGULAR, place
        ) + name  # fmt: skip
        yield local
        with opener() as body:
            yield from _blocks(body)
        place += len(local) + entry.size
    yield listing
    yield struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(entries), len(entries), len(listing), place, 0)
