"""Tables and texts for a terminal: columns under each other, and nothing that a terminal would obey."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as lines with their cells under each other; a column without anything in it is left out.

    Parameters
    ----------
    head
        Names of the columns.
    rows
        One text for each column.
    """
    safe = [[shown(cell) for cell in row] for row in rows]
    kept = [at for at in range(len(head)) if any(row[at] for row in safe)]
    lines = [[line[at] for at in kept] for line in (list(head), *safe)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(kept))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def shown(text: str) -> str:
    """Return a text in which whatever moves a cursor, rings a bell or turns the direction of writing is a �."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)
