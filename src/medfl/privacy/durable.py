"""Files that are whole or not there, for their owner's eyes only."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(path: Path, text: str) -> None:
    """Put a file in the place of another, written out before it comes there; whoever reads meanwhile sees either whole.

    After a power cut the older one may be back.

    Parameters
    ----------
    path
        The file; nobody but its owner may read it.
    text
        What it says from now on.
    """
    draft = path.with_name(path.name + ".draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def sync_folder(folder: Path) -> None:
    """Let the names of new files outlive a power cut, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
