"""One site's rows as typed arrays: what is missing is marked, categories are codes, the outcome is a number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfl.errors import Complaint, DataError, did_you_mean, listed
from medfl.learn.data import cells, positive
from medfl.learn.data.cells import Rows, Texts
from medfl.learn.data.harmonise import Agreement
from medfl.learn.data.schema import Column, too_large
from medfl.learn.data.sheet import Sheet, Table, sheet_of
from medfl.learn.model import Floats
from medfl.spec.data import Data
from medfl.spec.preprocess import Preprocess


@dataclass(frozen=True, slots=True)
class Clean:
    """Rows that can be used, as arrays.

    Parameters
    ----------
    numeric
        Float64, shape (rows, numeric features), NaN where missing; each column lies contiguous in memory.
    codes
        Int32, shape (rows, categorical features): index into the agreed categories, −1 where missing.
    outcome
        Float32, shape (rows,): class index, or the number itself; None where the table has no target.
    kept
        Int64, shape (rows,): number of each row in the table it comes from, rising.
    left_out
        Rows of the table left out because their outcome is missing.
    dropped
        Rows left out because a feature is missing and the study drops such rows.
    unseen
        For each column with any: cells with a category that no site had in training; they count as missing.
    usable
        Which rows can be used, shape (rows,), where others keep their place and say nothing; None where all can.
    """

    numeric: NDArray[np.float64]
    codes: NDArray[np.int32]
    outcome: Floats | None
    kept: Rows
    left_out: int = 0
    dropped: int = 0
    unseen: dict[str, int] = field(default_factory=dict)
    usable: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.kept)

    def take(self, rows: Rows) -> Clean:
        """Return these of its rows; the counts of what was left out stay those of the whole table."""
        return Clean(
            self.numeric.T[:, rows].T,
            self.codes.T[:, rows].T,
            None if self.outcome is None else self.outcome[rows],
            self.kept[rows],
            self.left_out,
            self.dropped,
            self.unseen,
            None if self.usable is None else self.usable[rows],
        )


def clean(table: Table, agreement: Agreement, *, data: Data, preprocess: Preprocess) -> Clean:
    """Return the usable rows of one site's table.

    Parameters
    ----------
    table
        The table. To predict for every row, also those whose outcome is missing, pass it without the target.
    agreement
        What the sites agreed on.
    data, preprocess
        What the study says about tables and missing values.

    Raises
    ------
    DataError
        All that makes the table unusable, at once.
    """
    sheet = sheet_of(table)
    complaints = absent(sheet, agreement)
    numeric = np.empty((len(agreement.numeric), len(sheet)), np.float64)
    codes = np.empty((len(agreement.categorical), len(sheet)), np.int32)
    unseen: dict[str, int] = {}
    places: list[NDArray[Any]] = [*numeric, *codes]
    present = [] if complaints else [*agreement.numeric, *agreement.categorical]
    for column, place in zip(present, places, strict=False):
        try:
            if column.kind == "numeric":
                place[:] = _numbers(column, sheet.cells(column.name, data.missing))
            else:
                place[:] = _codes(column, sheet.texts(column.name, data.missing), unseen)
        except DataError as error:
            complaints += error.complaints
    outcome: Floats | None = None
    try:
        outcome = _outcome(sheet, agreement, data)
    except DataError as error:
        complaints += error.complaints
    if complaints:
        raise DataError.of(complaints)
    everything = Clean(numeric.T, codes.T, outcome, np.arange(len(sheet)), unseen=unseen)
    return _usable(everything, agreement, preprocess)


def absent(sheet: Sheet, agreement: Agreement, *, target: bool = False) -> list[Complaint]:
    """Return a complaint for each column that a table lacks; `target` says whether it must have an outcome."""
    names = [column.name for column in agreement.features] + [agreement.target] * target
    return [
        Complaint(
            f"the table has no column {name!r}",
            "",
            "",
            did_you_mean(name, sheet.names) or "give a table with every column that the study learns from",
        )
        for name in names
        if name not in sheet.names
    ]


def _numbers(column: Column, found: cells.Numbers | Texts) -> NDArray[np.float64]:
    if isinstance(found, Texts):
        raise DataError(
            f"text in a numeric column: {found.not_numbers} of {found.present} values are not numbers",
            where=_place(column.name),
            remedy="add the spelling to data.missing, or correct the cells",
        )
    beyond = too_large(column.name, found.values)
    if beyond is not None:
        raise DataError.of([beyond])
    return found.values


def _codes(column: Column, found: Texts, unseen: dict[str, int]) -> NDArray[np.int64]:
    """Translate a site's codes into the agreed ones; one nobody agreed on is "(other)" if that is one, else missing."""
    agreed = {text: index for index, text in enumerate(column.categories)}
    other = agreed.get(cells.OTHER, -1)
    table = np.array([*(agreed.get(text, other) for text in found.distinct), -1], dtype=np.int64)
    codes: NDArray[np.int64] = table[found.codes]
    strange = int(((codes < 0) & (found.codes >= 0)).sum())
    if strange:
        unseen[column.name] = strange
    return codes


def _outcome(sheet: Sheet, agreement: Agreement, data: Data) -> Floats | None:
    """Return the class index or number of each row, NaN where missing; None where the table has no target."""
    if agreement.target not in sheet.names:
        return None
    found = sheet.cells(agreement.target, data.missing)
    if data.positive is not None:
        return positive.parse(data.positive).holds(found, agreement.target).astype(np.float32)
    if agreement.outcome.kind == "regression":
        column = Column(agreement.target, "numeric")
        return _numbers(column, found).astype(np.float32)
    texts, strange = sheet.texts(agreement.target, data.missing), dict[str, int]()
    codes = _codes(Column(agreement.target, "categorical", categories=agreement.outcome.classes), texts, strange)
    if strange:
        raise DataError(
            f"{strange[agreement.target]} rows have an outcome that is none of {listed(agreement.outcome.classes, 12)}",
            where=_place(agreement.target),
            remedy="correct those cells, or leave them empty to leave the rows out",
        )
    return np.where(codes < 0, np.nan, codes).astype(np.float32)


def _usable(rows: Clean, agreement: Agreement, preprocess: Preprocess) -> Clean:
    """Leave out rows without an outcome; then drop or refuse rows with a missing feature, as the study says."""
    silent = np.zeros(len(rows), np.bool_) if rows.outcome is None else np.isnan(rows.outcome)
    left_out = int(silent.sum())
    kept = rows.take(np.flatnonzero(~silent)) if left_out else rows
    dropped = 0
    if preprocess.impute in {"none", "drop"}:
        lacking = np.isnan(kept.numeric).any(axis=1) | (kept.codes < 0).any(axis=1)
        dropped = int(lacking.sum())
        if dropped and preprocess.impute == "none":
            raise _refused(kept, agreement)
        kept = kept.take(np.flatnonzero(~lacking)) if dropped else kept
    if not len(kept):
        raise DataError(
            f"no row is left: {left_out} have no outcome, {dropped} lack a feature",
            remedy="check data.missing, leave sparse columns out of data.features, or fill them with preprocess.impute",
        )
    return Clean(kept.numeric, kept.codes, kept.outcome, kept.kept, left_out, dropped, rows.unseen)


def _refused(rows: Clean, agreement: Agreement) -> DataError:
    counts = {
        **dict(zip((c.name for c in agreement.numeric), np.isnan(rows.numeric).sum(axis=0), strict=True)),
        **dict(zip((c.name for c in agreement.categorical), (rows.codes < 0).sum(axis=0), strict=True)),
    }
    said = [f"{column.name!r} in {counts[column.name]}" for column in agreement.features if counts[column.name]]
    strange = sum(rows.unseen.values())
    also = f", counting {strange} cells with a category that training never met" if strange else ""
    return DataError(
        f"values are missing: {listed(said, 12)} of {len(rows)} rows{also}",
        remedy='say in preprocess.impute what fills them, such as "median", or "drop" to leave such rows out',
    )


def _place(name: str) -> str:
    return f"column {name!r}"
