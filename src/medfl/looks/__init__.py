"""How pages look: colours for light and dark, type, tables and buttons, in one place for all of them."""

from __future__ import annotations

from importlib.resources import files


def stylesheet() -> str:
    """Return the stylesheet of pages that are served: the palette, and what is laid out with it."""
    return palette() + _sheet("pages.css")


def palette() -> str:
    """Return the colours for light and dark."""
    return _sheet("palette.css")


def _sheet(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
