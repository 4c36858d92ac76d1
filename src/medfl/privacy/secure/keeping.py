"""Files that are written once: whoever comes first is kept, durably, for the owner's eyes only."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from medfl.errors import StoreError


def keep_first(path: Path, body: bytes) -> bytes:
    """Write a file unless there is one, and return what it holds: never half a file, never two answers.

    Raises
    ------
    StoreError
        If it can be neither written nor read.
    """
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _link(path, body)
        return path.read_bytes()
    except OSError as error:
        raise StoreError(
            "a file of secure aggregation cannot be kept",
            where=str(path),
            received=error.strerror or type(error).__name__,
            remedy="free some space, or give the site a folder that it may write to",
        ) from error


def _link(path: Path, body: bytes) -> None:
    """Bring a whole file to its place, unless somebody was faster."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".draft")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        Path(draft).unlink()
