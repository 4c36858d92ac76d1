"""How the classes of an outcome are balanced at a site: as it has told, or as its rows are counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

How: TypeAlias = Literal["exact", "about", "under", "over"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of a site's rows have one class of the outcome.

    Parameters
    ----------
    label
        The class.
    how
        How the figure is meant: as it was counted, about so much, or less or more than it.
    figure
        Share of the rows with an outcome, between 0 and 1.
    drawn
        How much of a bar it takes.
    most
        The largest share that it may be.
    rows
        How many rows they are, where that was counted.
    """

    label: str
    how: How
    figure: float
    drawn: float
    most: float
    rows: int | None = None


def told(balance: Mapping[str, Any] | None) -> tuple[Share, ...]:
    """Return what a site has told of the balance of its outcome's classes; nothing where it has told nothing.

    Parameters
    ----------
    balance
        ``parts`` of the whole by class, ``of`` so many; as in the site's catalogue.
    """
    return () if balance is None else tuple(_told(balance["parts"], balance["of"]))


def counted(counts: Mapping[str, int | None], *, present: int | None, few: int) -> tuple[Share, ...]:
    """Return the balance of classes whose rows are counted.

    Parameters
    ----------
    counts
        Rows by class; None where they are fewer than `few`.
    present
        How many rows have the outcome; None where not known.
    few
        The smallest number of rows that is shown.
    """
    if not present or len(counts) < 2:
        return ()
    return tuple(_counted(label, rows, present, few) for label, rows in counts.items())


def _told(parts: Mapping[str, int], whole: int) -> Iterator[Share]:
    # Rounded to the nearest of such lists, a share may be off by less than one part.
    for label, many in parts.items():
        part, step = many / whole, 1 / whole
        if many == 0:
            yield Share(label=label, how="under", figure=step, drawn=step / 2, most=step)
        elif many == whole:
            yield Share(label=label, how="over", figure=1 - step, drawn=1 - step / 2, most=1.0)
        else:
            yield Share(label=label, how="about", figure=part, drawn=part, most=min(1.0, part + step))


def _counted(label: str, rows: int | None, present: int, few: int) -> Share:
    if rows is None:
        most = min(1.0, few / present)
        return Share(label=label, how="under", figure=most, drawn=most / 2, most=most)
    part = rows / present
    return Share(label=label, how="exact", figure=part, drawn=part, most=part, rows=rows)
