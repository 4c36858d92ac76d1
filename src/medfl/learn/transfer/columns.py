"""Re-expresses a network's first layer for other columns and other scales.

A column enters the first layer as w · (x − o) / f, with the offset o and factor f of its scaling. In another scaling
(o′, f′) the same number is w′ · (x − o′) / f′ + Δ with w′ = w f′ / f and Δ = w (o′ − o) / f, which goes into the bias.
A category's columns add up to one number for each category and unit, its effect, which is written down again in the
other study's columns. So a model gives the same score for the same row before and after.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medfl.errors import Complaint, PlanError, listed
from medfl.learn.data.recipe import Feature, Recipe
from medfl.learn.data.schema import Column
from medfl.learn.model import Floats
from medfl.learn.transfer.source import Made

Float64 = NDArray[np.float64]

PLACE = "[model.start]"
_STRAIGHT = 1e-5
"""Effects of categories that are off a line by less, in units of the largest, are on it: they were float32."""


@dataclass(slots=True)
class Expressed:
    """A first layer for other columns.

    Parameters
    ----------
    weight, bias
        Shapes (columns, units) and (units,), in float64.
    matched, new, dropped
        Names of features that both have, that only the study has, that only the source has.
    notes
        What else a reader should know, as sentences without their full stop.
    """

    weight: Float64
    bias: Float64
    matched: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Entry:
    """How a feature enters the first layer: its columns' offsets and factors and, in a source, their weights."""

    feature: Feature
    column: Column
    offset: Float64
    factor: Float64
    weight: Float64

    @property
    def slopes(self) -> Float64:
        """What a column's raw value is multiplied by, shape (columns, units)."""
        return self.weight / self.factor[:, np.newaxis]

    @property
    def constant(self) -> Float64:
        """What is added whatever the value, shape (units,)."""
        return -(self.offset @ self.slopes)


def expressed(weight: Floats, bias: Floats, *, source: Made, target: Made) -> Expressed:
    """Return a source's first layer for the columns of a study.

    Parameters
    ----------
    weight, bias
        Of the source, shapes (columns, units) and (units,).
    source, target
        What the weights were learned on, and what they are wanted for.

    Raises
    ------
    PlanError
        If no column is the same, or one is in another unit, of another kind or on a scale that is not known.
    """
    require_alike(source, target)
    _require_scales(source.recipe.scale, target.recipe.scale)
    have = {entry.feature.name: entry for entry in _entries(source, weight.astype(np.float64))}
    layer = Expressed(np.zeros((len(target.recipe.feature_names), weight.shape[1])), bias.astype(np.float64))
    start = 0
    for want in _entries(target, layer.weight):
        stop = start + len(want.feature.outputs)
        known = have.pop(want.feature.name, None)
        (layer.new if known is None else layer.matched).append(want.feature.name)
        if known is not None:
            layer.weight[start:stop], shift = _matched(known, want, notes=layer.notes)
            layer.bias += shift
        start = stop
    for entry in have.values():
        layer.bias += _usual(entry, source.recipe)
        layer.dropped.append(entry.feature.name)
    if target.recipe.scale.endswith("-per-site"):
        layer.notes.append(
            "both studies scale columns at each site by its own numbers, so weights are taken over as they are: scores "
            "are the same where a site's numbers are"
        )
    return layer


def require_alike(source: Made, target: Made) -> None:
    """Refuse columns that have one name and mean different things.

    Raises
    ------
    PlanError
        With all of them.
    """
    have = {column.name: column for column in source.agreement.features}
    complaints: list[Complaint] = []
    for column in target.agreement.features:
        if column.name in have:
            complaints += _unlike(have[column.name], column)
    if not any(column.name in have for column in target.agreement.features):
        names = listed((column.name for column in target.agreement.features), 8)
        complaints.append(
            Complaint(
                "none of this study's columns is one of the model's to start from",
                PLACE,
                f"{names}; the model has {listed(have, 8)}",
                "call columns of the same meaning by the same name, or leave [model.start] out",
            )
        )
    if complaints:
        raise PlanError.of(complaints)


def _unlike(have: Column, want: Column) -> Iterator[Complaint]:
    if have.unit and want.unit and have.unit != want.unit:
        yield Complaint(
            f"column {want.name!r} has another unit than in the model to start from",
            PLACE,
            f"{want.unit} here, {have.unit} there",
            "convert the column in one of the two, then write the same unit in [data.units]",
        )
    if have.kind != want.kind:
        yield Complaint(
            f"column {want.name!r} is of another kind than in the model to start from",
            PLACE,
            f"{want.kind} here, {have.kind} there",
            "name it in data.categorical in both or in neither, or rename it",
        )


def _require_scales(have: str, want: str) -> None:
    """Refuse to go from a scale that each site has of its own to another one, or back."""
    if have != want and (have.endswith("-per-site") or want.endswith("-per-site")):
        raise PlanError(
            "the model to start from was trained on another scale, and one of the two is each site's own, which no "
            "other site knows",
            where="[preprocess] scale",
            received=f"{want} here, {have} there",
            remedy=f'write scale = "{have}", or start from a model that was trained with scale = "{want}"',
        )


def _entries(made: Made, weight: Float64) -> Iterator[_Entry]:
    """Yield each feature with its columns; where sites scale by their own numbers, as if they were not scaled."""
    recipe, width = made.recipe, len(made.recipe.feature_names)
    offset = np.array(recipe.offset or (0.0,) * width, np.float64)
    factor = np.array(recipe.factor or (1.0,) * width, np.float64)
    start = 0
    for feature, column in zip(recipe.features, made.agreement.features, strict=True):
        part = slice(start, start + len(feature.outputs))
        yield _Entry(feature, column, offset[part], factor[part], weight[part])
        start = part.stop


def _matched(have: _Entry, want: _Entry, *, notes: list[str]) -> tuple[Float64, Float64]:
    """Return the weights of a feature's columns in the study's scaling, and what goes into the bias."""
    if want.feature.kind == "numeric":
        return have.weight * (want.factor / have.factor)[:, np.newaxis], (want.offset - have.offset) @ have.slopes
    if want.feature.kind == "ordinal":
        return _on_a_line(have, want, notes)
    effects, reference = _effects(have, want, notes), np.zeros(have.weight.shape[1])
    if want.feature.drop_first:
        reference, effects = effects[0], effects[1:] - effects[0]
    return effects * want.factor[:, np.newaxis], have.constant + reference + want.offset @ effects


def _on_a_line(have: _Entry, want: _Entry, notes: list[str]) -> tuple[Float64, Float64]:
    """Write down effects of categories by their position, if they lie on a line."""
    effects = _effects(have, want, notes)
    positions = np.arange(len(effects))[:, np.newaxis]
    slope = (effects[-1] - effects[0]) / max(len(effects) - 1, 1)
    off = np.abs(effects - effects[0] - positions * slope).max()
    if off > _STRAIGHT * max(np.abs(effects).max(), 1e-30):
        raise PlanError(
            f"the effects of the categories of {want.feature.name!r} do not follow their order here, "
            "so one column cannot hold them",
            where=PLACE,
            received='encode = "ordinal"',
            remedy='write encode = "one-hot" in [preprocess], or start from a model with the same categories',
        )
    return (slope * want.factor)[np.newaxis], have.constant + effects[0] + want.offset[0] * slope


def _effects(have: _Entry, want: _Entry, notes: list[str]) -> Float64:
    """Return the raw effect of each of the study's categories, shape (categories, units).

    A category the source never saw has the effect of what filled a missing one there; where nothing did, none at all.
    """
    known = have.feature.codebook() @ have.slopes
    places = {name: place for place, name in enumerate(have.feature.categories)}
    unseen = known[int(have.feature.fill)] if have.feature.fill is not None else -have.constant
    strange = [name for name in want.feature.categories if name not in places]
    if strange:
        like = "counts as a missing one did there" if have.feature.fill is not None else "starts without effect"
        notes.append(f"{want.feature.name} has categories that the source never saw; each {like}: {listed(strange, 8)}")
    rows = [known[places[name]] if name in places else unseen for name in want.feature.categories]
    return np.array(rows)


def _usual(entry: _Entry, recipe: Recipe) -> Float64:
    """Return what a feature adds at the value that stood for a missing one, or at its usual one; shape (units,)."""
    feature = entry.feature
    if feature.kind == "numeric":
        if feature.fill is not None and recipe.factor:
            return np.asarray(feature.fill * entry.slopes[0] + entry.constant)
        return np.asarray(entry.weight[0] * _middle(entry, recipe))
    effects = feature.codebook() @ entry.slopes + entry.constant
    if feature.fill is not None:
        return np.asarray(effects[int(feature.fill)])
    return np.zeros(effects.shape[1]) if recipe.scale.startswith("standard") else np.asarray(effects.mean(axis=0))


def _middle(entry: _Entry, recipe: Recipe) -> float:
    """Return the middle of a scaled column: the mean of a standardised one, half the range of another."""
    how = recipe.scale.removesuffix("-per-site")
    if how == "none":
        raise PlanError(
            f"column {entry.feature.name!r} is absent here, and the model to start from does not know its usual value",
            where=PLACE,
            received='scale = "none" and nothing to fill a missing value with',
            remedy='train that model with scale = "standard" or with an impute, or add the column to this study',
        )
    return 0.0 if how == "standard" else 0.5
