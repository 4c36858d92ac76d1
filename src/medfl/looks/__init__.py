"""How pages look: colours for light and dark, type, tables and buttons, in one place for all of them."""

from __future__ import annotations

from importlib.resources import files


def stylesheet() -> str:
    """Return the stylesheet of pages that are served: the palette, and what is laid out with it."""
    folder = files(__name__)
    return "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in ("palette.css", "pages.css"))
