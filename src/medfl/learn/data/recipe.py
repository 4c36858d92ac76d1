"""The fitted preprocessing: from a site's clean rows to the numbers a model sees, and back for the outcome."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from medfl.learn.data.clean import Clean
from medfl.learn.model import Examples, Floats, Outcome
from medfl.spec.preprocess import Impute, Scale

_BLOCK = 16_384
"""Rows worked on at a time, so that a block of the result stays in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Feature:
    """How one feature becomes columns of the matrix.

    Parameters
    ----------
    name
        The feature.
    kind
        Left a number, one 0/1 column a category, or the category's position.
    fill
        What stands for a missing value: a number, or a category's index; None where nothing does (yet).
    categories
        In order.
    drop_first
        Whether the first category has no column of its own.
    """

    name: str
    kind: Literal["numeric", "one-hot", "ordinal"]
    fill: float | None = None
    categories: tuple[str, ...] = ()
    drop_first: bool = False

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of its columns in the matrix."""
        if self.kind != "one-hot":
            return (self.name,)
        return tuple(f"{self.name}={category}" for category in self.categories[self.drop_first :])

    @property
    def width(self) -> int:
        """Number of its columns in the matrix."""
        return len(self.categories) - self.drop_first if self.kind == "one-hot" else 1

    def codebook(self) -> NDArray[np.float64]:
        """Return the columns' values for each category, shape (categories, columns)."""
        if self.kind == "one-hot":
            return np.eye(len(self.categories))[:, self.drop_first :]
        return np.arange(len(self.categories), dtype=np.float64)[:, None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that was fitted.

    Parameters
    ----------
    features
        In the order of their columns.
    offset, factor
        For each column: it becomes ``(value - offset) / factor``. Empty while a site's own numbers are awaited.
    outcome
        Kind and classes.
    centre, spread
        Mean and standard deviation of a numeric outcome over all training rows; 0 and 1 for classes.
    class_counts
        Training rows of each class; empty for regression.
    rows
        Training rows in all.
    impute, scale, bins
        The settings it was fitted with.
    own
        Whether a site has filled in its own numbers.
    """

    features: tuple[Feature, ...]
    offset: tuple[float, ...]
    factor: tuple[float, ...]
    outcome: Outcome
    centre: float
    spread: float
    class_counts: tuple[int, ...]
    rows: int
    impute: Impute
    scale: Scale
    bins: int
    own: bool = False

    @property
    def per_site(self) -> bool:
        """Whether each site uses numbers of its own."""
        return self.impute.endswith("-per-site") or self.scale.endswith("-per-site")

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the matrix's columns."""
        return tuple(name for feature in self.features for name in feature.outputs)

    @property
    def class_weights(self) -> tuple[float, ...]:
        """Balanced weights, rows / (classes × rows of the class); 0 for a class without rows."""
        return tuple(self.rows / (len(self.class_counts) * count) if count else 0.0 for count in self.class_counts)

    def standardised(self, outcome: Floats) -> Floats:
        """Return the outcome as a model is trained on it; classes stay as they are."""
        return ((outcome - self.centre) / self.spread).astype(np.float32) if self._numeric else outcome

    def restored(self, scores: Floats) -> Floats:
        """Return predictions on the outcome's own scale; the inverse of :meth:`standardised`."""
        return (scores * self.spread + self.centre).astype(np.float32) if self._numeric else scores

    @property
    def _numeric(self) -> bool:
        return self.outcome.kind == "regression"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        value: dict[str, Any] = _RECIPE.dump_python(self, mode="json")
        return value

    @staticmethod
    def from_json(value: object) -> Recipe:
        """Return what :meth:`to_json` was called on."""
        return _RECIPE.validate_python(value)


_RECIPE = TypeAdapter(Recipe)


def apply(recipe: Recipe, clean: Clean) -> Floats:
    """Return the matrix a model sees.

    Parameters
    ----------
    recipe
        Fitted and, where it is per site, localised.
    clean
        Rows of one site.

    Returns
    -------
    numpy.ndarray
        Float32, shape (rows, columns), C-contiguous.
    """
    if recipe.per_site and not recipe.own:
        raise ValueError("this recipe awaits the site's own numbers: call localise first")
    matrix = np.empty((len(clean), sum(feature.width for feature in recipe.features)), np.float32)
    columns = list(_columns(recipe, clean))
    for start in range(0, len(clean), _BLOCK):
        rows = slice(start, start + _BLOCK)
        for place, cells, table in columns:
            matrix[rows, place] = table[cells[rows]] if table.ndim == 2 else _scaled(cells[rows], table)
    return matrix


def examples(recipe: Recipe, clean: Clean) -> Examples:
    """Return features and outcome ready to learn from; the rows must have an outcome."""
    if clean.outcome is None:
        raise ValueError("these rows have no outcome")
    return Examples(apply(recipe, clean), recipe.standardised(clean.outcome))


def explain(recipe: Recipe) -> list[str]:
    """Say in plain sentences what happens to the columns."""
    numeric = [feature for feature in recipe.features if feature.kind == "numeric"]
    categorical = [feature for feature in recipe.features if feature.kind != "numeric"]
    sentences = [_about_missing(recipe, categories=bool(categorical))]
    if any(feature.kind == "one-hot" for feature in categorical):
        first = ", except the first, which the others are compared to" if categorical[0].drop_first else ""
        sentences.append(f"Categories become 0/1 columns, one for each category found at any site{first}.")
    elif categorical:
        sentences.append("Categories become their position in sorted order: 0, 1, 2…")
    sentences.append(_about_scale(recipe))
    if recipe.outcome.kind == "regression":
        sentences.append(
            "For learning, the outcome is brought to mean 0 and standard deviation 1 over all training rows; "
            "predictions are scaled back."
        )
    sentences.append(
        f"{len(numeric)} numeric and {len(categorical)} categorical features make {len(recipe.feature_names)} columns; "
        f"all of it was fitted on {recipe.rows} training rows, without moving a row."
    )
    return sentences


def _columns(recipe: Recipe, clean: Clean) -> Iterator[tuple[slice | int, NDArray[Any], NDArray[Any]]]:
    """Yield (place in the matrix, the feature's cells, and how they are turned) for each feature.

    Numbers are turned by (fill, offset, factor); codes by a table with a row a category and, for −1, a last one.
    """
    numeric, codes = iter(clean.numeric.T), iter(clean.codes.T)
    offsets, factors = np.array(recipe.offset), np.array(recipe.factor)
    start = 0
    for feature in recipe.features:
        stop = start + feature.width
        offset, factor = offsets[start:stop], factors[start:stop]
        fill = np.nan if feature.fill is None else feature.fill
        if feature.kind == "numeric":
            yield start, next(numeric), np.array([fill, offset[0], factor[0]])
        else:
            table = np.empty((len(feature.categories) + 1, feature.width), np.float32)
            table[:-1] = (feature.codebook() - offset) / factor
            table[-1] = np.nan if feature.fill is None else table[int(fill)]
            yield slice(start, stop), next(codes), table
        start = stop


def _scaled(values: NDArray[np.float64], how: NDArray[np.float64]) -> NDArray[np.float64]:
    fill, offset, factor = how
    filled = np.where(np.isnan(values), fill, values)
    scaled: NDArray[np.float64] = (filled - offset) / factor
    return scaled


def _about_missing(recipe: Recipe, *, categories: bool) -> str:
    how = recipe.impute.removesuffix("-per-site")
    if how == "none":
        return "Tables with missing values are refused."
    if how == "drop":
        return "Rows with a missing value are left out."
    whose = "its site's training rows" if recipe.impute.endswith("-per-site") else "the training rows of all sites"
    exact = {
        "mean": "",
        "median": f" (exact to one of {recipe.bins} bins; exact for whole numbers of a smaller range)",
        "most-frequent": f" (numbers in {recipe.bins} bins; whole numbers of a smaller range one by one)",
    }[how]
    value = {"mean": "mean", "median": "median", "most-frequent": "most frequent value"}[how]
    also = " a missing category by the most frequent one." if categories else ""
    return f"A missing number is filled by the {value} of {whose}{exact}{';' if also else '.'}{also}"


def _about_scale(recipe: Recipe) -> str:
    whose = "its site's training rows" if recipe.scale.endswith("-per-site") else "the training rows of all sites"
    how = recipe.scale.removesuffix("-per-site")
    if how == "standard":
        return f"Every column, 0/1 columns too, is brought to mean 0 and standard deviation 1 (n − 1) over {whose}."
    if how == "min-max":
        where = "over the rows of all sites, test rows included" if recipe.scale == "min-max" else f"over {whose}"
        return f"Every column is brought to the range 0 to 1 {where}."
    return "Columns are not scaled."
