"""What is known of a site's table without a row of it: as its owner sees it, or as a site has told it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from medfl.errors import Complaint
from medfl.readiness import balance
from medfl.readiness.balance import Share
from medfl.spec.harmonising import Translation, name_there

SMALL = 5
"""Fewer rows of a category are not shown, whoever looks."""
FEW = 12
"""So many whole numbers next to each other may be codes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One column.

    Parameters
    ----------
    name
        Its name.
    kind
        "numeric" or "categorical"; empty where no row has a value, or nothing is told of it.
    unit
        Its unit; empty where not known.
    categories
        Those that are told; of a numeric column, whole numbers that may be codes.
    meanings
        What the site's data dictionary says that codes stand for.
    minimum, maximum
        Of a numeric column, where told.
    missing
        Rows without a value; None where not told.
    counts
        Rows with each category, where they are told and not few.
    wrong
        Why no study can use it; empty where one can.
    """

    name: str
    kind: str = ""
    unit: str = ""
    categories: tuple[str, ...] = ()
    meanings: Mapping[str, str] = field(default_factory=dict)
    minimum: float | None = None
    maximum: float | None = None
    missing: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    wrong: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenTable:
    """One site's table.

    Parameters
    ----------
    columns
        By name, in the table's order.
    names
        Further columns of which only the name is known.
    rows
        How many; None where not told.
    whole
        Whether there are no other columns.
    written
        How its file is written, where that is not plain.
    outcome, balance
        A column whose classes' shares were told, and these; nothing where they were not.
    """

    columns: Mapping[str, Seen]
    names: tuple[str, ...] = ()
    rows: int | None = None
    whole: bool = True
    written: tuple[str, ...] = ()
    outcome: str = ""
    balance: tuple[Share, ...] = ()

    @property
    def every(self) -> tuple[str, ...]:
        """All names."""
        return (*self.columns, *self.names)

    def read_as(self, columns: Mapping[str, Translation]) -> SeenTable:
        """Return it as a study has it: names, units and codes translated, as its site does with the rows."""
        theirs = {name_there(columns, name): name for name in columns}
        hidden = set(columns) - set(theirs)
        kept = {name: one for name, one in self.columns.items() if name not in hidden}
        seen = {
            theirs.get(name, name): _read_as(one, columns.get(theirs.get(name, name))) for name, one in kept.items()
        }
        return replace(
            self,
            columns={name: replace(one, name=name) for name, one in seen.items()},
            names=tuple(theirs.get(name, name) for name in self.names if name not in hidden),
            outcome=theirs.get(self.outcome, self.outcome),
            balance=tuple(_called(self.balance, columns.get(theirs.get(self.outcome, self.outcome)))),
        )

    def shares(self, target: str) -> tuple[Share, ...]:
        """Return how the classes of a column are balanced, as far as that is known."""
        if self.balance and self.outcome == target:
            return self.balance
        one = self.columns.get(target)
        if one is None or not one.counts or self.rows is None or one.missing is None:
            return ()
        counts = {text: one.counts.get(text) for text in one.categories}
        return balance.counted(counts, present=self.rows - one.missing, few=SMALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the tables of a study.

    Parameters
    ----------
    tables
        By site; where one table is dealt out, that one, under the name of its file.
    unread
        Why there is no table of a site.
    dealt
        Whether it is one table that is dealt out.
    """

    tables: Mapping[str, SeenTable] = field(default_factory=dict)
    unread: Mapping[str, Complaint] = field(default_factory=dict)
    dealt: bool = False


def told(entry: Mapping[str, Any]) -> SeenTable | None:
    """Return what a site has told of a data set; None where that is nothing.

    Parameters
    ----------
    entry
        As the site's catalogue has it.
    """
    if "columns" not in entry:
        return None
    columns = {column["name"]: _told(column) for column in entry["columns"]}
    others = [name for name in (*entry.get("other_columns", ()), entry.get("target")) if name and name not in columns]
    return SeenTable(
        columns=columns,
        names=tuple(dict.fromkeys(others)),
        rows=entry.get("rows"),
        whole=not entry.get("left_out"),
        outcome=entry.get("target", ""),
        balance=balance.told(entry.get("balance")),
    )


def whole_numbers(minimum: float | None, maximum: float | None) -> tuple[str, ...]:
    """Return the whole numbers from one to another as texts, where they are few enough to be codes."""
    if minimum is None or maximum is None or maximum - minimum >= FEW:
        return ()
    return tuple(str(number) for number in range(int(minimum), int(maximum) + 1))


def _told(column: Mapping[str, Any]) -> Seen:
    low, high = column.get("minimum"), column.get("maximum")
    codes = tuple(column.get("codes", {}))
    categories = tuple(column.get("categories", ()))
    known = bool(categories or low is not None or column["kind"] == "numeric")
    if not categories and column["kind"] == "numeric":
        categories = codes or (whole_numbers(low, high) if column.get("integral") else ())
    return Seen(
        name=column["name"],
        kind=column["kind"] if known else "",
        unit=column.get("unit", ""),
        categories=categories,
        meanings=column.get("codes", {}),
        minimum=low,
        maximum=high,
        missing=column.get("missing"),
    )


def _read_as(one: Seen, how: Translation | None) -> Seen:
    if how is None:
        return one
    if how.codes is not None:
        return _decoded(one, how.codes)
    if not how.is_scaled:
        return one
    ends = [how.converted(end) for end in (one.minimum, one.maximum) if end is not None]
    # What it is converted into is the study's unit, whatever the site calls its own.
    return replace(one, unit="", categories=(), minimum=min(ends, default=None), maximum=max(ends, default=None))


def _called(shares: tuple[Share, ...], how: Translation | None) -> Iterator[Share]:
    """Yield shares under the study's codes; none where two of them are one code there, or are no codes any more."""
    codes = {} if how is None or how.codes is None else how.codes
    labels = [codes.get(one.label, one.label) for one in shares]
    if len({*labels}) == len(labels) and not (how is not None and how.is_scaled):
        yield from (replace(one, label=label) for one, label in zip(shares, labels, strict=True))


def _decoded(one: Seen, codes: Mapping[str, str]) -> Seen:
    meant = tuple(dict.fromkeys(filter(None, _meant(one.categories, codes))))
    numbers = [number for text in meant if (number := _number(text)) is not None]
    kind = "numeric" if meant and len(numbers) == len(meant) else "categorical"
    ends = (min(numbers), max(numbers)) if kind == "numeric" else (None, None)
    counts: dict[str, int] = {}
    for code, rows in one.counts.items():
        text = codes.get(code, code)
        counts[text] = counts.get(text, 0) + rows
    decoded = Seen(name=one.name, kind=kind if one.kind else "", unit=one.unit, categories=meant, missing=one.missing)
    return replace(decoded, minimum=ends[0], maximum=ends[1], counts=counts, wrong=one.wrong)


def _meant(categories: tuple[str, ...], codes: Mapping[str, str]) -> Iterator[str]:
    return (codes.get(text, text) for text in categories)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
