"""A site's rows where a study promises differential privacy: every row keeps its place, whatever is in it.

Which rows can be used depends on what the study calls missing, on the categories that it declares, on what it predicts:
on a filter that whoever wrote the study has chosen. The number of rows that pass it would be the exact answer to a
question about patients, and so would a refusal because a cell is not as expected. So nothing is left out and nothing is
refused here: a row that cannot be used stays, says nothing (``Clean.usable``), and counts among the rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medfl.errors import DataError
from medfl.learn.data import positive
from medfl.learn.data.cells import Cells, Numbers, Texts, is_number, spelled
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
    numeric = np.empty((len(agreement.numeric), len(sheet)), np.float64)
    codes = np.empty((len(agreement.categorical), len(sheet)), np.int32)
    for column, numbers in zip(agreement.numeric, numeric, strict=True):
        found = _numbers(sheet.cells(column.name, data.missing))
        numbers[:] = np.clip(found, column.minimum or 0.0, column.maximum or 0.0)
    for column, place in zip(agreement.categorical, codes, strict=True):
        place[:] = _codes(column.categories, sheet.cells(column.name, data.missing))
    outcome = _outcome(agreement, sheet.cells(agreement.target, data.missing), data=data, dp=dp)
    usable = ~np.isnan(outcome)
    if preprocess.impute in ("none", "drop"):
        usable &= ~(np.isnan(numeric).any(axis=0) | (codes < 0).any(axis=0))
    for column, numbers in zip(agreement.numeric, numeric, strict=True):
        numbers[~usable] = column.minimum or 0.0
    codes[:, ~usable] = 0
    outcome[~usable] = 0.0
    return Clean(numeric.T, codes.T, outcome.astype(np.float32), np.arange(len(sheet)), usable=usable)


def _numbers(found: Cells) -> Reals:
    """Return each cell's number, NaN where it is none: text in a column of numbers counts as missing."""
    if isinstance(found, Numbers):
        return np.clip(found.values, -LARGEST, LARGEST)
    numbers = [float(text) if is_number(text) else np.nan for text in found.distinct]
    values: Reals = np.array([*numbers, np.nan])[found.codes]
    return np.clip(values, -LARGEST, LARGEST)


def _codes(categories: tuple[str, ...], found: Cells) -> NDArray[np.int64]:
    """Return each cell's place among the declared categories, −1 where it is none of them."""
    places = {text: index for index, text in enumerate(categories)}
    if isinstance(found, Numbers) and found.exact is not None:
        found = found.exact
    if isinstance(found, Texts):
        return np.array([*(places.get(text, -1) for text in found.distinct), -1], np.int64)[found.codes]
    distinct, inverse = np.unique(found.values, return_inverse=True)
    named = [-1 if value != value else places.get(spelled(value), -1) for value in distinct.tolist()]
    return np.array(named, np.int64)[inverse]


def _outcome(agreement: Agreement, found: Cells, *, data: Data, dp: DifferentialPrivacy) -> Reals:
    """Return the class index or number of each row, NaN where it has none."""
    if data.positive is not None:
        rule = positive.parse(data.positive)
        if rule.numeric and isinstance(found, Texts):
            found = Numbers(_numbers(found))
        return np.array(rule.holds(found, agreement.target), np.float64)
    if agreement.outcome.kind == "regression":
        low, high = dp.ranges.get(agreement.target, (-LARGEST, LARGEST))
        return np.clip(_numbers(found), low, high)
    codes = _codes(agreement.outcome.classes, found)
    return np.where(codes < 0, np.nan, codes.astype(np.float64))
