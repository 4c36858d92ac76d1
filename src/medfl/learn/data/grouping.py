"""Patients in groups by the values of a column, for judging only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from medfl.errors import Complaint, DataError, did_you_mean, listed
from medfl.learn.data.cells import Rows, Texts, in_order
from medfl.learn.data.schema import MOST_CATEGORIES, Schema
from medfl.learn.data.sheet import Sheet
from medfl.spec.evaluation import Evaluation, Grouping

UNKNOWN = "(not known)"
"""The group of those whose column is empty."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Who belongs to which group.

    Parameters
    ----------
    names
        The groups, in order.
    codes
        Int64, shape (rows,): each row's group.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int64]


def groups(sheet: Sheet, how: Grouping, rows: Rows, *, missing: Sequence[str] = ()) -> Groups:
    """Return the groups of these rows of a table.

    Raises
    ------
    DataError
        If the column is not there, has text where bands of numbers are asked for, or too many different values.
    """
    if how.column not in sheet.names:
        raise DataError.of([_absent(how.column, sheet.names)])
    if how.cuts is None:
        found = sheet.texts(how.column, missing)
        if len(found.distinct) > MOST_CATEGORIES:
            raise DataError(
                f"{len(found.distinct)} different values are too many to be groups",
                where=f"[evaluation] subgroups, column {how.column!r}",
                remedy="give the cuts of bands, cuts = [40, 60], or choose another column",
            )
        return _with_unknown(found.distinct, found.codes[rows])
    numbers = sheet.cells(how.column, missing)
    if isinstance(numbers, Texts):
        raise DataError(
            f"text in a column with cuts: {numbers.not_numbers} of {numbers.present} values are not numbers",
            where=f"[evaluation] subgroups, column {how.column!r}",
            remedy="leave cuts out, so that each value is a group, or correct the cells",
        )
    values = numbers.values[rows]
    bands = np.searchsorted(how.cuts, values, side="right")
    return _with_unknown(bands_of(how.cuts), np.where(np.isnan(values), -1, bands))


def bands_of(cuts: Sequence[float]) -> tuple[str, ...]:
    """Return the names of the bands between cuts: each begins at its cut, and ends before the next."""
    ends = [f"{cut:.12g}" for cut in cuts]
    between = [f"{low} to < {high}" for low, high in pairwise(ends)]
    return (f"< {ends[0]}", *between, f"≥ {ends[-1]}")


def ordered(how: Grouping, names: Iterable[str]) -> tuple[str, ...]:
    """Return the groups that any site named, each once, in the order in which they are shown."""
    known = set(names)
    every = bands_of(how.cuts) if how.cuts is not None else in_order(known - {UNKNOWN})
    return tuple(name for name in (*every, UNKNOWN) if name in known)


def unknown_columns(schemas: Mapping[str, Schema], evaluation: Evaluation) -> Iterator[Complaint]:
    """Find columns that patients are to be grouped by, and that a site does not have."""
    columns = {site: (*(column.name for column in schema.columns), *schema.unused) for site, schema in schemas.items()}
    for how in (evaluation.subgroups or {}).values():
        lacking = [site for site, names in columns.items() if how.column not in names]
        if lacking:
            known = sorted({name for site in lacking for name in columns[site]})
            yield _absent(how.column, known, sites=lacking if len(lacking) < len(columns) else ())


def _with_unknown(names: tuple[str, ...], codes: NDArray[np.int64]) -> Groups:
    return Groups((*names, UNKNOWN), np.where(codes < 0, len(names), codes))


def _absent(column: str, known: Sequence[str], *, sites: Sequence[str] = ()) -> Complaint:
    who = f"{listed(sites)} {'lacks' if len(sites) == 1 else 'lack'} the column" if sites else "there is no column"
    remedy = did_you_mean(column, known) or f"the columns are {listed(known, 12)}"
    return Complaint(f"{who} {column!r}, which patients are to be grouped by", "[evaluation] subgroups", "", remedy)
