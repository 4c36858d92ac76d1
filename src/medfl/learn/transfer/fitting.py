"""From weights that were learned elsewhere to the first weights of a study's model, or to why they do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from medfl.errors import Complaint, PlanError, listed
from medfl.learn.model import Floats, Layout, Outcome
from medfl.learn.transfer.columns import PLACE, expressed, require_alike
from medfl.learn.transfer.schedule import head_of, in_layer
from medfl.learn.transfer.source import Made, Source
from medfl.spec.model import MLP, ModelPart, Torch
from medfl.spec.model import Model as Described

FIRST = "layer1"
OPAQUE = (Torch, ModelPart)
"""Models into whose layers nobody can look."""
Tensors: TypeAlias = dict[str, Floats]
_NEW_HEAD = "write new_head = true to draw the last layer anew, or start from another model"


@dataclass(frozen=True, slots=True)
class Fitted:
    """The first weights of a model.

    Parameters
    ----------
    weights
        Flat float32 vector.
    matched, new, dropped
        Names of features that both the study and the source have, that only the one has, that only the other has;
        all empty where the source does not tell its columns.
    notes
        What a reader should know, as sentences without their full stop.
    """

    weights: Floats
    matched: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def fitted(source: Source, target: Made, *, layout: Layout, fresh: Floats, new_head: bool) -> Fitted:
    """Return a source's weights as the first ones of a study's model.

    Parameters
    ----------
    source
        What is started from.
    target
        The study's model and columns.
    layout
        Names and shapes of its weights.
    fresh
        Weights drawn at random, flat, for what is drawn anew.
    new_head
        Whether the last layer is.

    Raises
    ------
    PlanError
        If architecture, head, columns or shapes do not fit.
    """
    drawn, head = layout.split(fresh), head_of(layout)
    if source.made is not None:
        _require_same_architecture(source.made.part, target.part)
    if new_head and all(in_layer(name, head) for name, _ in layout.shapes):
        raise PlanError(
            "the model has one layer, its head: with a new one there is nothing left to start from",
            where=f"{PLACE} new_head",
            received=_architecture(target.part),
            remedy='leave [model.start] out, or choose kind = "mlp" in both studies',
        )
    tensors: Tensors = {
        name: array for name, array in source.tensors.items() if not (new_head and in_layer(name, head))
    }
    notes: list[str] = []
    if source.made is not None and not new_head:
        tensors |= _with_outcome(tensors, head, source=source.made, target=target, notes=notes)
    columns = Fitted(fresh)
    if source.made is not None:
        tensors, columns = _with_columns(tensors, source.made, target)
    elif not isinstance(target.part, OPAQUE):
        notes.append(_taken_in_order(source, target))
    _require_shapes(tensors, layout, source=source, new_head=new_head)
    _require_finite(tensors)
    if new_head:
        notes.append(f"the head ({head}) is drawn anew")
    kept = {name: tensors[name] if name in tensors else drawn[name] for name, _ in layout.shapes}
    return Fitted(
        layout.join(kept), columns.matched, columns.new, columns.dropped, (*_matching(columns), *columns.notes, *notes)
    )


def _with_columns(tensors: Tensors, source: Made, target: Made) -> tuple[Tensors, Fitted]:
    """Return the tensors with a first layer for the study's columns, and what was matched."""
    nothing = np.zeros(0, np.float32)
    if isinstance(target.part, OPAQUE):
        return tensors, Fitted(nothing, notes=_as_they_are(source, target))
    weight, bias = (f"{FIRST}.{name}" for name in ("weight", "bias"))
    layer = expressed(tensors[weight], tensors[bias], source=source, target=target)
    first = {weight: layer.weight.astype(np.float32), bias: layer.bias.astype(np.float32)}
    names = (tuple(each) for each in (layer.matched, layer.new, layer.dropped, layer.notes))
    return tensors | first, Fitted(nothing, *names)


def _as_they_are(source: Made, target: Made) -> tuple[str, ...]:
    """Refuse other columns for a module whose layers nobody can look into; say where scales differ."""
    require_alike(source, target)
    have, want = source.recipe, target.recipe
    if have.feature_names != want.feature_names:
        raise PlanError(
            f"{_module(target)} takes over weights for the same columns only",
            where="[data] features",
            received=f"{listed(want.feature_names, 8)}; it was trained on {listed(have.feature_names, 8)}",
            remedy="use the same columns and the same encode, in the same order, or a built-in model",
        )
    if (have.offset, have.factor, have.centre, have.spread) == (want.offset, want.factor, want.centre, want.spread):
        return ()
    return (
        f"{_module(target)}'s weights are taken over as they are; its columns are scaled by this study's tables, not "
        "by those it was trained on",
    )


def _module(target: Made) -> str:
    return "a torch module" if isinstance(target.part, Torch) else f"a model of kind {target.part.kind}"


def _with_outcome(tensors: Tensors, head: str, *, source: Made, target: Made, notes: list[str]) -> Tensors:
    """Return the head's weights for the study's outcome: its classes' order, its number's scale."""
    have, want = source.agreement.outcome, target.agreement.outcome
    if have.kind != want.kind or len(have.classes) != len(want.classes):
        raise PlanError(
            "the head of the model to start from does not fit this outcome",
            where=PLACE,
            received=f"{_outcome(want)} here, {_outcome(have)} there",
            remedy=_NEW_HEAD,
        )
    if source.agreement.target != target.agreement.target:
        notes.append(f"the outcome is {target.agreement.target!r} here and {source.agreement.target!r} there")
    if isinstance(target.part, OPAQUE):
        _require_same_classes(have, want)
        return {}
    last = {name: tensors[name].astype(np.float64) for name in tensors if in_layer(name, head)}
    if want.kind == "regression":
        ratio = source.recipe.spread / target.recipe.spread
        shift = (source.recipe.centre - target.recipe.centre) / target.recipe.spread
        return {
            name: (array * ratio + (shift if array.ndim == 1 else 0.0)).astype(np.float32)
            for name, array in last.items()
        }
    if set(have.classes) != set(want.classes):
        pairs = zip(have.classes, want.classes, strict=True)
        notes.append(f"classes are taken in their order: {', '.join(f'{new!r} for {old!r}' for old, new in pairs)}")
        return {}
    order = [have.classes.index(name) for name in want.classes]
    if order == sorted(order):
        return {}
    # A binary score speaks for the second class.
    return {
        name: (-array if want.kind == "binary" else array[..., order]).astype(np.float32)
        for name, array in last.items()
    }


def _require_same_classes(have: Outcome, want: Outcome) -> None:
    if set(have.classes) == set(want.classes) and have.classes != want.classes:
        raise PlanError(
            "the model to start from has the classes in another order",
            where="[data] target",
            received=f"{listed(want.classes, 8)} here, {listed(have.classes, 8)} there",
            remedy=_NEW_HEAD,
        )


def _require_same_architecture(have: Described, want: Described) -> None:
    def shape(part: Described) -> tuple[object, ...]:
        match part:
            case MLP():
                return part.kind, part.hidden, part.activation, part.layer_norm
            case Torch():
                return part.kind, part.name
            case ModelPart():
                return part.kind, part.settings
        return (part.kind,)

    if shape(have) != shape(want):
        raise PlanError(
            "the model to start from has another architecture",
            where="[model]",
            received=f"{_architecture(want)} here, {_architecture(have)} there",
            remedy="write the same kind, hidden, activation and layer_norm in [model], or start from another model",
        )


def _require_shapes(tensors: Mapping[str, Floats], layout: Layout, *, source: Source, new_head: bool) -> None:
    """Refuse weights that the model has no place for, or lacks."""
    head = head_of(layout)
    needed = {name: shape for name, shape in layout.shapes if not (new_head and in_layer(name, head))}
    wrong = [name for name, shape in needed.items() if name not in tensors or tensors[name].shape != shape]
    # With a new head, the old one may have had another name; whatever else is too much is a mistake.
    extra = [] if new_head else [name for name in tensors if name not in needed]
    if not wrong and not extra:
        return
    only_head = not extra and all(in_layer(name, head) for name in wrong) and all(name in tensors for name in wrong)
    found = [f"{name} {_shape(needed.get(name))} here, {_found(tensors, name)} there" for name in (*wrong, *extra)]
    what = "the head" if only_head else "the weights"
    raise PlanError.of(
        [
            Complaint(
                f"{what} of {source.told} {'does' if only_head else 'do'} not fit the model",
                PLACE,
                listed(found, 4),
                _NEW_HEAD if only_head else _hint(wrong, tensors, needed),
            )
        ]
    )


def _hint(wrong: list[str], tensors: Mapping[str, Floats], needed: Mapping[str, tuple[int, ...]]) -> str:
    turned = [name for name in wrong if name in tensors and tensors[name].shape[::-1] == needed[name]]
    if turned:
        return "transpose the weights: built-in models hold them as (inputs, units), PyTorch as (units, inputs)"
    return "choose the architecture and the columns that the weights were learned with, or another file"


def _require_finite(tensors: Mapping[str, Floats]) -> None:
    bad = [name for name, array in tensors.items() if not np.isfinite(array).all()]
    if bad:
        raise PlanError(
            "the weights to start from are not finite: their training diverged",
            where=PLACE,
            received=listed(bad, 4),
            remedy="start from another model, or from an earlier state of it",
        )


def _matching(columns: Fitted) -> list[str]:
    if not columns.matched:
        return []
    told = {
        "matched with the source's, by name and unit": columns.matched,
        "new to the source, and at first without effect": columns.new,
        "the source's alone, and stand at their usual value there": columns.dropped,
    }
    return [f"columns that are {what}: {listed(names, 12)}" for what, names in told.items() if names]


def _taken_in_order(source: Source, target: Made) -> str:
    columns = listed(target.recipe.feature_names, 12)
    return (
        f"{source.told} does not say on which columns and scales it was learned: its weights are taken as they are, "
        f"for {columns} in this order"
    )


def _architecture(part: Described) -> str:
    match part:
        case MLP():
            norm = ", layer_norm" if part.layer_norm else ""
            return f"mlp with hidden {'-'.join(map(str, part.hidden))}, {part.activation}{norm}"
        case Torch():
            return f'torch "{part.name}"'
    return part.kind


def _outcome(outcome: Outcome) -> str:
    return f"{outcome.kind} ({listed(outcome.classes, 6)})" if outcome.classes else outcome.kind


def _shape(shape: tuple[int, ...] | None) -> str:
    return "no such weights" if shape is None else f"({', '.join(map(str, shape))})"


def _found(tensors: Mapping[str, Floats], name: str) -> str:
    return _shape(tensors[name].shape if name in tensors else None)
