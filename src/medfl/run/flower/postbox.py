"""What a site keeps on its disk so that nothing is lost, and nothing done twice, whenever it is killed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import ObjectTree

from medfl.errors import WireError
from medfl.messages import read_frame, write_frame

_NAME = re.compile(r"[0-9A-Za-z_-]{1,128}")
REMEMBERED = 64
"""Answers that are kept for a request that comes once more."""
ABOUT = "about"
"""The file that says what a request that comes in parts is made of."""


class Postbox:
    """Requests that came, answers that wait to be sent, answers that were given.

    Parameters
    ----------
    folder
        Where they are; only its owner can read it.
    """

    def __init__(self, folder: Path) -> None:
        self._asked, self._tries, self._answers, self._given = (
            folder / name for name in ("asked", "tries", "answers", "given")
        )
        for part in (folder, self._asked, self._tries, self._answers, self._given):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._node, self._coming = folder / "node", folder / "coming"

    @property
    def node(self) -> int | None:
        """The number under which this site last talked to its SuperLink."""
        return int(self._node.read_text(encoding="ascii")) if self._node.exists() else None

    @node.setter
    def node(self, number: int) -> None:
        part = self._node.with_suffix(".part")
        part.write_text(str(number), encoding="ascii")
        part.replace(self._node)

    def expect(self, message: MessageProto, tree: ObjectTree) -> None:
        """Write down that a request comes in parts, and what they are."""
        shutil.rmtree(self._coming, ignore_errors=True)
        self._coming.mkdir(mode=0o700)
        _write(self._coming / ABOUT, message.SerializeToString(), tree.SerializeToString())

    def coming(self) -> tuple[MessageProto, ObjectTree] | None:
        """Return the request that comes in parts, if there is one, and what they are."""
        if not (self._coming / ABOUT).exists():
            return None
        message, tree = _read(self._coming / ABOUT)
        return message, ObjectTree.FromString(tree)

    def part(self, name: str, fetch: Callable[[], bytes]) -> bytes:
        """Return a part of the request that is coming; it is fetched once, however often the site is killed."""
        _require_name(name)
        path = self._coming / name
        if not path.exists():
            part = path.with_suffix(".part")
            part.write_bytes(fetch())
            part.replace(path)
        return path.read_bytes()

    def came(self, message: MessageProto) -> bool:
        """Forget the parts of a request that is here, or that will not come; say whether it came in parts."""
        begun = self.coming()
        if begun is None or begun[0].metadata.message_id != message.metadata.message_id:
            return False
        shutil.rmtree(self._coming, ignore_errors=True)
        return True

    def take(self, message: MessageProto, body: bytes) -> None:
        """Keep a request that came.

        Raises
        ------
        WireError
            If it has a name that no file of its own can have.
        """
        _require_name(message.metadata.message_id)
        _write(self._asked / message.metadata.message_id, message.SerializeToString(), body)

    def asked(self) -> Iterator[tuple[MessageProto, bytes]]:
        """Yield the requests that have no answer yet."""
        for path in _listed(self._asked):
            if (self._answers / path.name).exists():
                # Killed right after the answer was written down.
                self._settle(path.name)
            else:
                yield _read(path)

    def begun(self, message: MessageProto) -> int:
        """Write down that a request is about to be answered; return how often that was tried before."""
        path = self._tries / message.metadata.message_id
        before = path.stat().st_size if path.exists() else 0
        with path.open("ab") as tries:
            tries.write(b"x")
            tries.flush()
            os.fsync(tries.fileno())
        return before

    def given(self, request: bytes) -> bytes | None:
        """Return the answer that these very bytes were given before, if they were."""
        path = self._given / hashlib.sha256(request).hexdigest()
        return _read(path)[1] if path.exists() else None

    def answer(self, message: MessageProto, body: bytes, *, remember: bytes | None) -> None:
        """Keep an answer until it is sent.

        Parameters
        ----------
        message
            What announced the request.
        body
            The answer.
        remember
            The request's bytes, if whoever asks the same again shall get the same answer.
        """
        if remember is not None:
            _write(self._given / hashlib.sha256(remember).hexdigest(), message.SerializeToString(), body)
            for old in sorted(_listed(self._given), key=lambda path: path.stat().st_mtime_ns)[:-REMEMBERED]:
                old.unlink()
        _write(self._answers / message.metadata.message_id, message.SerializeToString(), body)
        self._settle(message.metadata.message_id)

    def unsent(self) -> Iterator[tuple[MessageProto, bytes]]:
        """Yield the answers that wait to be sent."""
        for path in _listed(self._answers):
            yield _read(path)

    def sent(self, message: MessageProto) -> None:
        """Forget an answer that has arrived, or that nobody waits for any more."""
        (self._answers / message.metadata.message_id).unlink()

    def _settle(self, name: str) -> None:
        (self._asked / name).unlink(missing_ok=True)
        (self._tries / name).unlink(missing_ok=True)


def _require_name(name: str) -> None:
    """Refuse what would be written elsewhere, or over what is this folder's own."""
    if not _NAME.fullmatch(name) or name == ABOUT:
        raise WireError("a message or a part of it has a name that is none", received=repr(name[:80]))


def _listed(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix != ".part")


def _write(path: Path, about: bytes, body: bytes) -> None:
    """Write a file that is whole or not there."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        write_frame(file, about)
        write_frame(file, body)
        os.fsync(file.fileno())
    part.replace(path)


def _read(path: Path) -> tuple[MessageProto, bytes]:
    with path.open("rb") as file:
        return MessageProto.FromString(read_frame(file) or b""), read_frame(file) or b""
