"""A site's rows where a study promises differential privacy: every row keeps its place, whatever is in it.

Which rows can be used depends on what the study calls missing, on the categories that it declares, on what it predicts:
on a filter that whoever wrote the study has chosen. The number of rows that pass it would be the exact answer to a
question about patients, and so would a refusal because a cell is not as expected. So nothing is left out and nothing is
refused here: a row that cannot be used stays, says nothing (``Clean.usable``), and counts among the rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medfl.errors import DataError
from medfl.learn.data import positive
from medfl.learn.data.cells import EXACT, Cells, Numbers, Texts, is_number, read, spelled
from medfl.learn.data.clean import Clean, absent
from medfl.learn.data.harmonise import Agreement
from medfl.learn.data.schema import LARGEST
from medfl.learn.data.sheet import Sheet
from medfl.spec.data import Data
from medfl.spec.preprocess import Preprocess
from medfl.spec.privacy import DifferentialPrivacy

Reals = NDArray[np.float64]


def placed(sheet: Sheet, agreement: Agreement, *, data: Data, preprocess: Preprocess, dp: DifferentialPrivacy) -> Clean:
    """Return all rows of a site's table, with every number brought within its declared range.

    What is in one row changes nothing but that row, and never whether there is an answer.

    Parameters
    ----------
    sheet
        The table.
    agreement
        As declared.
    data, preprocess, dp
        What the study says.

    Raises
    ------
    DataError
        If a column is not there.
    """
    if complaints := absent(sheet, agreement, target=True):
        raise DataError.of(complaints)
    # Written in the one way, and none that rounds: else what stands for it would depend on the rest of its column.
    missing = tuple(text for text in map(spelled, data.missing) if _is_steady(text))
    numeric = np.empty((len(agreement.numeric), len(sheet)), np.float64)
    codes = np.empty((len(agreement.categorical), len(sheet)), np.int32)
    for column, numbers in zip(agreement.numeric, numeric, strict=True):
        found = _numbers(_cells(sheet, column.name, missing))
        numbers[:] = np.clip(found, column.minimum or 0.0, column.maximum or 0.0)
    for column, place in zip(agreement.categorical, codes, strict=True):
        place[:] = _codes(column.categories, _cells(sheet, column.name, missing))
    outcome = _outcome(agreement, _cells(sheet, agreement.target, missing), data=data, dp=dp)
    usable = ~np.isnan(outcome)
    if preprocess.impute in ("none", "drop"):
        usable &= ~(np.isnan(numeric).any(axis=0) | (codes < 0).any(axis=0))
    for column, numbers in zip(agreement.numeric, numeric, strict=True):
        numbers[~usable] = column.minimum or 0.0
    codes[:, ~usable] = 0
    outcome[~usable] = 0.0
    return Clean(numeric.T, codes.T, outcome.astype(np.float32), np.arange(len(sheet)), usable=usable)


def _cells(sheet: Sheet, name: str, missing: Sequence[str]) -> Cells:
    """Return what a column says; a cell that is neither number nor text says nothing, and no other one is the worse."""
    try:
        return sheet.cells(name, missing)
    except DataError:
        import pandas as pd

        told = [one if _is_one_value(one) else None for one in sheet.raw(name).tolist()]
        return read(pd.Series(told, name=name, dtype=object), missing)


def _is_one_value(cell: object) -> bool:
    try:
        hash(cell)
    except TypeError:
        return False
    return True


def _is_steady(text: str) -> bool:
    """Say whether a text is the same word whether its column was read as text or as numbers.

    One cell of text makes a column one of texts. There, "inf" is a word and a long number keeps all its digits; among
    numbers it is infinite, and rounded. So neither counts: what a cell says must not depend on other patients' cells.
    """
    try:
        number = float(text)
    except ValueError:
        return True
    return abs(number) < EXACT


def _numbers(found: Cells) -> Reals:
    """Return each cell's number, NaN where it is none: text in a column of numbers, or one that is not finite."""
    if isinstance(found, Numbers):
        values = found.values
    else:
        numbers = [float(text) if is_number(text) else np.nan for text in found.distinct]
        values = np.array([*numbers, np.nan])[found.codes]
    return np.clip(np.where(np.isfinite(values), values, np.nan), -LARGEST, LARGEST)


def _spellings(found: Cells) -> tuple[list[str | None], NDArray[np.int64]]:
    """Return the spellings, None for what says nothing, and the place of each cell's among them."""
    if isinstance(found, Numbers) and found.exact is not None:
        found = found.exact
    if isinstance(found, Texts):
        return [*(text if _is_steady(text) else None for text in found.distinct), None], found.codes
    distinct, inverse = np.unique(found.values, return_inverse=True)
    return [spelled(value) if abs(value) < EXACT else None for value in distinct.tolist()], inverse


def _codes(categories: tuple[str, ...], found: Cells) -> NDArray[np.int64]:
    """Return each cell's place among the declared categories, −1 where it is none of them."""
    places: dict[str | None, int] = {text: index for index, text in enumerate(categories)}
    texts, codes = _spellings(found)
    return np.array([places.get(text, -1) for text in texts], np.int64)[codes]


def _outcome(agreement: Agreement, found: Cells, *, data: Data, dp: DifferentialPrivacy) -> Reals:
    """Return the class index or number of each row, NaN where it has none."""
    if data.positive is not None:
        rule = positive.parse(data.positive)
        if rule.numeric:
            return np.array(rule.holds(Numbers(_numbers(found)), agreement.target), np.float64)
        texts, codes = _spellings(found)
        return np.array([np.nan if text is None else float(text == rule.value) for text in texts])[codes]
    if agreement.outcome.kind == "regression":
        low, high = dp.ranges.get(agreement.target, (-LARGEST, LARGEST))
        return np.clip(_numbers(found), low, high)
    codes = _codes(agreement.outcome.classes, found)
    return np.where(codes < 0, np.nan, codes.astype(np.float64))
