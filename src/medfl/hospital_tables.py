"""What a hospital's people see as tables, on a terminal and on the page: the audit log, the columns of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medfl.errors import listed
from medfl.hospital import moment
from medfl.learn.data.schema import Column, Schema
from medfl.messages import SITTING
from medfl.readiness import balance
from medfl.readiness.balance import Share
from medfl.site.dictionary import Meaning

LOG = ("LINE", "TIME (UTC)", "STUDY", "RUN", "ROUND", "WHAT", "VERDICT", "WHY")
"""Heads of the columns of :func:`log_rows`."""
COLUMNS = ("COLUMN", "KIND", "UNIT", "VALUES", "MISSING", "DESCRIPTION")
"""Heads of the columns of :func:`column_rows`."""
_WIDEST = 40
"""Letters that are shown of a word that came from elsewhere."""


def log_rows(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return lines of the audit log as rows of a table."""
    return [
        (
            str(line["line"]),
            moment(str(line["at"])),
            str(line.get("study", ""))[:_WIDEST],
            str(line.get("run", ""))[:_WIDEST],
            str(line.get("round", "")),
            str(line.get("task", "decision")),
            str(line.get("verdict", "")),
            _why(line),
        )
        for line in lines
    ]


def column_rows(schema: Schema, meanings: Mapping[str, Meaning]) -> Iterator[tuple[str, ...]]:
    """Yield the columns of a table, as its owner may see them, as rows of a table."""
    for column in schema.columns:
        meaning = meanings.get(column.name)
        yield (
            column.name,
            column.kind,
            column.unit,
            _values(column, meaning),
            str(column.missing) if column.missing else "",
            "" if meaning is None else meaning.description,
        )


def told_rows(told: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the columns of a catalogue's entry, as a hub may see them, as rows of a table."""
    for column in told["columns"]:
        codes = column.get("codes", {})
        names = [f"{one} = {codes[one]}" if one in codes else one for one in column.get("categories", ())]
        span = f"{column['minimum']:g} to {column['maximum']:g}" if "minimum" in column else ""
        missing = str(column["missing"]) if column.get("missing") else ""
        values = listed(names, 4) if names else span
        yield (column["name"], column["kind"], column.get("unit", ""), values, missing, column.get("description", ""))


def told_balance(told: Mapping[str, Any]) -> str:
    """Return how the outcome's classes are balanced, as a hub may know it, as a line; empty where it may not."""
    return ", ".join(f"{one.label}: {in_words(one)}" for one in balance.told(told.get("balance")))


def in_words(share: Share) -> str:
    """Return a share as it is said on a terminal."""
    return f"{'' if share.how == 'exact' else f'{share.how} '}{share.figure:.0%}"


def _why(line: Mapping[str, Any]) -> str:
    """Return the reason of a no, who decided, or what left."""
    if reasons := line.get("reasons"):
        return "; ".join(map(str, reasons))
    if line.get("is") == "decision":
        return ": ".join(filter(None, [f"by {line.get('by', '')}", str(line.get("reason", ""))]))
    words = (word for word in line.get("words", ()) if word != SITTING)  # Which process answered is no one's data.
    left = dict.fromkeys(str(name).partition("/")[0] for name in (*words, *line.get("numbers", ())))
    held = len(line.get("held_back", ()))
    rules = f"; held back by {held} rule{'s' * (held > 1)}" if held else ""
    return f"left: {', '.join(left) or 'nothing'}{rules}"


def _values(column: Column, meaning: Meaning | None) -> str:
    """Return the categories with what they stand for, or the range."""
    codes = {} if meaning is None else meaning.codes
    if column.categories:
        return listed([f"{one} = {codes[one]}" if one in codes else one for one in column.categories], 4)
    return "" if column.minimum is None else f"{column.minimum:g} to {column.maximum:g}"
