"""The schema under differential privacy: what the study declares, never what the data show.

A smallest and largest value, a category that only one patient has, or whether all values are whole numbers would each
tell of single patients without any noise. So a site says of its columns only that they are there; their ranges and
categories are the study's word, and values beyond them are brought to the nearer bound, or count as missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from medfl.errors import Complaint, DataError, RefusedError
from medfl.learn.data.clean import Clean
from medfl.learn.data.harmonise import Agreement
from medfl.learn.data.positive import parse
from medfl.learn.data.recipe import Recipe
from medfl.learn.data.schema import Column, Schema, in_use
from medfl.learn.data.sheet import Sheet
from medfl.spec.data import Data
from medfl.spec.preprocess import Preprocess
from medfl.spec.privacy import DifferentialPrivacy


def declared(sheet: Sheet, data: Data, dp: DifferentialPrivacy) -> Schema:
    """Return a site's schema without looking at a cell; its number of rows counts as known.

    Parameters
    ----------
    sheet
        The site's table, without columns that are nobody's feature.
    data, dp
        What the study says.

    Raises
    ------
    DataError
        If a column in use has neither a range nor categories.
    """
    used = in_use(sheet.names, data, ())
    columns = {name: _column(name, data, dp) for name in used}
    if missing := [name for name, column in columns.items() if column is None]:
        raise DataError.of([_undeclared(name, dp) for name in missing])
    known = tuple(column for column in columns.values() if column is not None)
    return Schema(known, len(sheet), tuple(name for name in sheet.names if name not in used))


def require_declared(agreement: Agreement, data: Data, dp: DifferentialPrivacy) -> None:
    """Refuse an agreement that is not what the study declares: the noise is measured by it.

    Raises
    ------
    RefusedError
        With the columns that differ.
    """
    different = [*_different(agreement, data, dp)]
    if different:
        raise RefusedError(
            "what the hub says that sites agreed on is not what the study declares",
            where=", ".join(different[:5]),
            remedy="run the same version of MEDfl at hub and sites; under differential privacy ranges and categories "
            "come from [privacy.dp] alone",
        )


def require_fitted(recipe: Recipe, agreement: Agreement, preprocess: Preprocess) -> None:
    """Refuse a recipe that is made for other columns, classes or settings than were agreed on.

    With fewer categories than there are, whoever has the last one would make the site fail; scaled by a site's own
    smallest and largest values, every row would tell of the outermost.

    Raises
    ------
    RefusedError
        If it is.
    """
    made_for = [(feature.name, feature.kind == "numeric", feature.categories) for feature in recipe.features]
    agreed = [(column.name, column.kind == "numeric", column.categories) for column in agreement.features]
    fits = [(name, is_number, () if is_number else words) for name, is_number, words in agreed] == made_for
    fits &= (recipe.impute, recipe.scale, recipe.outcome) == (preprocess.impute, preprocess.scale, agreement.outcome)
    if not fits or len(recipe.class_counts) not in (0, len(agreement.outcome.classes)):
        raise RefusedError(
            "the preprocessing that the hub sends is not made for what the study declares",
            where="recipe",
            remedy="run the same version of MEDfl at hub and sites",
        )


def bounded(clean: Clean, agreement: Agreement) -> Clean:
    """Return the rows with every number brought within its declared range."""
    low, high = (np.array(ends) for ends in zip(*_ends(agreement), strict=True)) if agreement.numeric else ((), ())
    numeric = np.clip(clean.numeric, low, high) if agreement.numeric else clean.numeric
    return replace(clean, numeric=np.asfortranarray(numeric))


def _ends(agreement: Agreement) -> Iterator[tuple[float, float]]:
    yield from ((column.minimum or 0.0, column.maximum or 0.0) for column in agreement.numeric)


def _column(name: str, data: Data, dp: DifferentialPrivacy) -> Column | None:
    unit = data.units.get(name, "")
    if name == data.target and data.positive is not None:
        return Column(name, "categorical", unit, parse(data.positive).classes(name))
    if name in dp.categories:
        return Column(name, "categorical", unit, dp.categories[name])
    if name in dp.ranges:
        low, high = dp.ranges[name]
        return Column(name, "numeric", unit, (), 0, low, high)
    return None


def _undeclared(name: str, dp: DifferentialPrivacy) -> Complaint:
    return Complaint(
        "neither a range nor categories are declared, and reading them from the data would tell of single patients",
        f"column {name!r}",
        "",
        f'add {name} = [smallest, largest] to [privacy.dp.ranges] or {name} = ["…", "…"] to [privacy.dp.categories],'
        " or leave it out of data.features",
    )


def _different(agreement: Agreement, data: Data, dp: DifferentialPrivacy) -> Iterator[str]:
    for column in agreement.features:
        own = None if column.name == data.target else _column(column.name, data, dp)
        same = own is not None and own.kind == column.kind
        if own is None or not same or _said(own) != _said(column):
            yield column.name
    own, classes = _column(data.target, data, dp), agreement.outcome.classes
    same = not classes or (own is not None and sorted(own.categories) == sorted(classes))
    if agreement.target != data.target or not same:
        yield agreement.target


def _said(column: Column) -> tuple[object, ...]:
    return (column.minimum, column.maximum, column.integral, sorted(column.categories))
