"""Keeps a study's text as somebody wrote it, comments and all; what counts is its canonical form, in the journal."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from medfl.store.home import Home
from medfl.store.trouble import no_access


def keep_written(home: Home, execution: str, text: str) -> None:
    """Keep the text that an execution was laid down from.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    path = _place(home, execution)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise no_access(error, path) from error


def written(home: Home, execution: str) -> str | None:
    """Return the text that an execution was laid down from; None where it was no text, or was not kept."""
    try:
        return _place(home, execution).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _place(home: Home, execution: str) -> Path:
    # Quoted, because an execution's id may come from an address: it must not leave the folder.
    return home.folder / "written" / f"{quote(execution, safe='')}.toml"
