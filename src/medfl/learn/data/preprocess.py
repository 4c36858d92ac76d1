"""Fitting the preprocessing over all sites from sums, without moving a row.

A site sends counts and sums about an agreed centre (and, for medians, a histogram over an agreed range); they add up
to what the pooled rows would have given. Means, variances after filling in, medians to one bin and category counts
all follow from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medfl.errors import DataError
from medfl.learn.data.bins import Bins
from medfl.learn.data.clean import Clean
from medfl.learn.data.harmonise import Agreement
from medfl.learn.data.recipe import Feature, Recipe
from medfl.learn.statistic import Array, Statistic
from medfl.spec.preprocess import OneHot, Preprocess, Scale

Float64 = NDArray[np.float64]
PerColumn = tuple[float, ...]
Ranges = Sequence[tuple[float, float]]

_NEGLIGIBLE = 1e-12
"""A variance below this share of the squared range is rounding: the column is constant."""


def sums(clean: Clean, agreement: Agreement, *, preprocess: Preprocess) -> Statistic:
    """Return what one site's training rows add to the fit, and nothing that the fit does not need.

    Parameters
    ----------
    clean
        The site's training rows, with an outcome.
    agreement
        What the sites agreed on.
    preprocess
        Which of it is needed. Where missing values are filled per site, they are filled before summing.

    Returns
    -------
    Statistic
        ``rows``; ``classes`` (rows of each class) or ``outcome`` (sum, sum of squares about its centre); and as needed
        ``count``, ``sum``, ``squares`` of each numeric feature about its midrange, ``categories`` and ``histograms``,
        each laid end to end.
    """
    raw = _counted(clean, agreement, preprocess)
    if preprocess.impute.endswith("-per-site"):
        raw = _completed(raw, agreement, _fills(raw, agreement, preprocess))
    needed = {"rows", "classes", "outcome"}
    how = preprocess.impute
    if preprocess.scale == "standard" or how == "mean":
        needed |= {"count", "sum", "squares"}
    if preprocess.scale == "standard" or how in {"mean", "median", "most-frequent"}:
        needed |= {"categories"}
    if how in {"median", "most-frequent"}:
        needed |= {"histograms"}
    return Statistic({name: array for name, array in raw.arrays.items() if name in needed})


def fit(total: Statistic, agreement: Agreement, *, preprocess: Preprocess, model_kind: str) -> Recipe:
    """Return the recipe that the pooled training rows would have given.

    Parameters
    ----------
    total
        The sites' :func:`sums`, added up.
    agreement
        What the sites agreed on; min-max scaling takes its ranges.
    preprocess
        What is to be fitted. What is per site stays open until :func:`localise`.
    model_kind
        Of the model it is for: "logistic" and "linear" drop the first category unless ``preprocess`` says otherwise.

    Raises
    ------
    DataError
        If no feature can differ between rows.
    """
    fills: list[float | None] = [None] * len(agreement.features)
    if preprocess.impute in {"mean", "median", "most-frequent"}:
        fills = [*_fills(total, agreement, preprocess)]
    encode = preprocess.encode
    drop_first = isinstance(encode, OneHot) and encode.drops_first(model_kind)
    features = tuple(
        Feature(column.name, "numeric", fill)
        if column.kind == "numeric"
        else Feature(column.name, encode.kind, fill, column.categories, drop_first)
        for column, fill in zip(agreement.features, fills, strict=True)
    )
    if all(feature.kind != "numeric" and len(feature.categories) < 2 for feature in features):
        raise DataError("every feature has one category only: nothing to learn from", remedy="name other data.features")
    offset: PerColumn = ()
    factor: PerColumn = ()
    if not preprocess.scale.endswith("-per-site"):
        offset, factor = _scaling(total, agreement, features, scale=preprocess.scale)
    centre, spread = _outcome_scale(total, agreement)
    return Recipe(
        features,
        offset,
        factor,
        agreement.outcome,
        centre,
        spread,
        class_counts=tuple(total["classes"].tolist()) if "classes" in total.arrays else (),
        rows=_rows(total),
        impute=preprocess.impute,
        scale=preprocess.scale,
        bins=preprocess.median_bins,
    )


def localise(
    recipe: Recipe, own: Clean, *, agreement: Agreement, preprocess: Preprocess, sums: Statistic | None = None
) -> Recipe:
    """Return the recipe with the site's own numbers where it is per site; else the recipe itself.

    Parameters
    ----------
    recipe
        As fitted over all sites.
    own
        The site's training rows; for a new site, the table that is predicted for.
    agreement, preprocess
        As given to :func:`fit`.
    sums
        What the site's own numbers are read from, where that is not the rows themselves.
    """
    if not recipe.per_site:
        return recipe
    raw = _counted(own, agreement, preprocess) if sums is None else sums
    features = recipe.features
    if recipe.impute.endswith("-per-site"):
        fills = _fills(raw, agreement, preprocess)
        features = tuple(replace(feature, fill=fill) for feature, fill in zip(features, fills, strict=True))
    offset, factor = recipe.offset, recipe.factor
    if recipe.scale.endswith("-per-site"):
        offset, factor = _scaling(raw, agreement, features, scale=recipe.scale, ranges=_own_ranges(own, features))
    return replace(recipe, features=features, offset=offset, factor=factor, own=True)


def _counted(clean: Clean, agreement: Agreement, preprocess: Preprocess) -> Statistic:
    """Return every sum of these rows as they are; histograms only where a fill is read from them."""
    known = ~np.isnan(clean.numeric.T)
    about = np.where(known, clean.numeric.T - _centres(agreement)[:, None], 0.0)
    arrays: dict[str, Array] = {
        "rows": np.array([len(clean)]),
        "count": known.sum(axis=1),
        "sum": about.sum(axis=1),
        "squares": (about * about).sum(axis=1),
        "categories": _joined(
            np.bincount(codes[codes >= 0], minlength=len(column.categories))
            for column, codes in zip(agreement.categorical, clean.codes.T, strict=True)
        ),
    }
    if preprocess.impute.startswith(("median", "most-frequent")):
        arrays["histograms"] = _joined(
            Bins.over(column, preprocess.median_bins).histogram(values)
            for column, values in zip(agreement.numeric, clean.numeric.T, strict=True)
        )
    if clean.outcome is not None and agreement.outcome.kind == "regression":
        off = clean.outcome.astype(np.float64) - agreement.centre
        arrays["outcome"] = np.array([off.sum(), (off * off).sum()])
    elif clean.outcome is not None:
        arrays["classes"] = np.bincount(clean.outcome.astype(np.int64), minlength=len(agreement.outcome.classes))
    return Statistic(arrays)


def _completed(raw: Statistic, agreement: Agreement, fills: Sequence[float]) -> Statistic:
    """Return the sums as they would be had missing values been filled in first."""
    rows, arrays = _rows(raw), dict(raw.arrays)
    numbers = [fill for fill, column in zip(fills, agreement.features, strict=True) if column.kind == "numeric"]
    shift = np.array(numbers) - _centres(agreement)
    missing = rows - arrays["count"]
    arrays["count"] = np.full_like(arrays["count"], rows)
    arrays["sum"] = arrays["sum"] + shift * missing
    arrays["squares"] = arrays["squares"] + shift * shift * missing
    places = [int(fill) for fill, column in zip(fills, agreement.features, strict=True) if column.kind == "categorical"]
    by_column = zip(_by_column(raw, agreement), places, strict=True)
    arrays["categories"] = _joined(_filled(counts, place, rows) for counts, place in by_column)
    return Statistic(arrays)


def _fills(total: Statistic, agreement: Agreement, preprocess: Preprocess) -> list[float]:
    """Return what fills each feature's missing values: a number, or the index of the most frequent category."""
    how = preprocess.impute.removesuffix("-per-site")
    categories = iter(_by_column(total, agreement))
    if how == "mean":
        numbers = iter(_means(total, agreement))
    else:
        numbers = iter(_from_histograms(total, agreement, preprocess.median_bins, how))
    return [
        next(numbers) if column.kind == "numeric" else float(np.argmax(next(categories)))
        for column in agreement.features
    ]


def _means(total: Statistic, agreement: Agreement) -> list[float]:
    means: list[float] = (_centres(agreement) + total["sum"] / np.maximum(total["count"], 1)).tolist()
    return means


def _from_histograms(total: Statistic, agreement: Agreement, bins: int, how: str) -> list[float]:
    found, start = [], 0
    for column in agreement.numeric:
        over = Bins.over(column, bins)
        counts = total["histograms"][start : start + over.number]
        found.append(over.median(counts) if how == "median" else over.mode(counts))
        start += over.number
    return found


def _scaling(
    total: Statistic,
    agreement: Agreement,
    features: Sequence[Feature],
    *,
    scale: Scale,
    ranges: Ranges | None = None,
) -> tuple[PerColumn, PerColumn]:
    """Return offset and factor of each column of the matrix; factor 1 for a constant one."""
    how = scale.removesuffix("-per-site")
    if how == "none":
        width = sum(len(feature.outputs) for feature in features)
        return (0.0,) * width, (1.0,) * width
    pairs = _standard(total, agreement, features) if how == "standard" else _min_max(agreement, features, ranges)
    return tuple(float(offset) for offset, _ in pairs), tuple(float(factor) or 1.0 for _, factor in pairs)


def _standard(total: Statistic, agreement: Agreement, features: Sequence[Feature]) -> list[tuple[float, float]]:
    """Return mean and standard deviation (n − 1) of each column, with missing values filled in."""
    rows = _rows(total)
    fills = [0.0 if feature.fill is None else feature.fill for feature in features]
    filled = total if all(feature.fill is None for feature in features) else _completed(total, agreement, fills)
    mean = filled["sum"] / rows
    variance = (filled["squares"] - rows * mean * mean) / max(rows - 1, 1)
    width = np.array([high - low for low, high in _ranges(agreement)])
    variance = np.where(variance > _NEGLIGIBLE * width * width, variance, 0.0)
    numbers = zip(_centres(agreement) + mean, np.sqrt(variance), strict=True)
    categories = iter(_by_column(filled, agreement))
    pairs: list[tuple[float, float]] = []
    for feature in features:
        pairs += [next(numbers)] if feature.kind == "numeric" else _spread(feature, next(categories))
    return pairs


def _spread(feature: Feature, counts: Array) -> list[tuple[float, float]]:
    """Return mean and standard deviation of the columns that a category feature becomes."""
    book, rows = feature.codebook(), max(int(counts.sum()), 1)
    mean = counts @ book / rows
    variance = counts @ (book - mean) ** 2 / max(rows - 1, 1)
    return list(zip(mean, np.sqrt(variance), strict=True))


def _min_max(agreement: Agreement, features: Sequence[Feature], ranges: Ranges | None) -> list[tuple[float, float]]:
    """Return minimum and range of each column; 0/1 columns already have the range 0 to 1."""
    numeric = iter(ranges or _ranges(agreement))
    pairs: list[tuple[float, float]] = []
    for feature in features:
        if feature.kind == "numeric":
            low, high = next(numeric)
            pairs.append((low, high - low))
        else:
            top = 1.0 if feature.kind == "one-hot" else len(feature.categories) - 1.0
            pairs += [(0.0, top)] * len(feature.outputs)
    return pairs


def _own_ranges(own: Clean, features: Sequence[Feature]) -> list[tuple[float, float]]:
    """Return the range of each numeric column of these rows, with missing values filled in."""
    fills = [feature.fill for feature in features if feature.kind == "numeric"]
    ranges = []
    for values, fill in zip(own.numeric.T, fills, strict=True):
        filled = values if fill is None else np.where(np.isnan(values), fill, values)
        ranges.append((float(filled.min()), float(filled.max())))
    return ranges


def _outcome_scale(total: Statistic, agreement: Agreement) -> tuple[float, float]:
    if agreement.outcome.kind != "regression":
        return 0.0, 1.0
    rows, (first, second) = _rows(total), total["outcome"]
    variance = float(second - first * first / rows) / max(rows - 1, 1)
    constant = variance <= _NEGLIGIBLE * float(second) / rows
    return agreement.centre + float(first) / rows, 1.0 if constant else variance**0.5


def _rows(total: Statistic) -> int:
    return int(total["rows"][0])


def _ranges(agreement: Agreement) -> list[tuple[float, float]]:
    return [(column.minimum or 0.0, column.maximum or 0.0) for column in agreement.numeric]


def _centres(agreement: Agreement) -> Float64:
    """Return the agreed midrange of each numeric feature: sums about it do not cancel."""
    return np.array([low / 2 + high / 2 for low, high in _ranges(agreement)])


def _by_column(total: Statistic, agreement: Agreement) -> list[Array]:
    """Return the category counts of each categorical feature."""
    ends = np.cumsum([len(column.categories) for column in agreement.categorical], dtype=np.int64)
    return np.split(total["categories"], ends)[:-1]


def _filled(counts: Array, place: int, rows: int) -> Array:
    full = counts.copy()
    # Never less than nothing: counts that a site's policy has blurred may be more than its rows.
    full[place] += max(rows - int(counts.sum()), 0)
    return full


def _joined(parts: Iterable[Array]) -> Array:
    return np.concatenate([np.zeros(0, np.int64), *parts])
