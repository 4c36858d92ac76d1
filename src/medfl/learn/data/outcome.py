"""What kind of outcome the target is, and which classes it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from medfl.errors import Complaint
from medfl.learn.data import positive
from medfl.learn.data.schema import Column
from medfl.learn.model import Outcome
from medfl.spec.data import Data

FEW_CLASSES = 20
"""Up to this many different values are taken as classes where the study does not say."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome, what was assumed on the way, and what speaks against it.

    Parameters
    ----------
    outcome
        Kind and classes.
    centre
        Midrange of a numeric outcome; 0 for classes.
    notes
        What was assumed rather than said.
    complaints
        What makes the outcome unusable.
    one_class_sites
        A complaint for each site all of whose rows have one outcome.
    """

    outcome: Outcome = field(default_factory=lambda: Outcome("regression"))
    centre: float = 0.0
    notes: tuple[str, ...] = ()
    complaints: tuple[Complaint, ...] = ()
    one_class_sites: tuple[Complaint, ...] = ()


def decide(targets: Mapping[str, Column], merged: Column, data: Data, *, model_kind: str) -> Decision:
    """Decide from the sites' target columns and their merged one.

    In this order: ``data.positive`` makes two classes; ``data.outcome`` is obeyed; a linear model predicts a number;
    two values are two classes, the later being positive; up to 20 texts or whole numbers are classes; else it is a
    number.
    """
    countable = all(column.categories or column.blank for column in targets.values())
    values = merged.categories if countable else ()
    kind = _kind(values, data, model_kind)
    complaints = tuple(_unfit(kind, merged, values, data, model_kind))
    if complaints:
        return Decision(complaints=complaints)
    if kind == "regression":
        centre = (merged.minimum or 0.0) / 2 + (merged.maximum or 0.0) / 2
        return Decision(Outcome("regression"), centre, tuple(_regression_notes(data, model_kind)))
    classes = values if data.positive is None else positive.parse(data.positive).classes(data.target)
    return Decision(
        Outcome(kind, classes),
        notes=tuple(_class_notes(kind, classes, data)),
        one_class_sites=tuple(
            _one_class(site, data.target) for site, column in targets.items() if len(column.categories) == 1
        ),
    )


def _kind(values: tuple[str, ...], data: Data, model_kind: str) -> Literal["binary", "multiclass", "regression"]:
    if data.positive is not None:
        return "binary"
    if data.outcome is not None:
        return data.outcome
    if model_kind == "linear" or not values:
        return "regression"
    if len(values) <= 2:
        return "binary"
    return "multiclass" if len(values) <= FEW_CLASSES else "regression"


def _unfit(kind: str, merged: Column, values: tuple[str, ...], data: Data, model_kind: str) -> Iterator[Complaint]:
    """Find what makes this kind of outcome impossible."""
    place = f"target {data.target!r}"
    if data.positive is not None and data.outcome not in {None, "binary"}:
        yield Complaint(
            f"data.positive makes two classes, data.outcome says {data.outcome}",
            "data.outcome",
            "",
            "remove one of them",
        )
    elif kind == "regression":
        yield from _not_a_number(merged, model_kind, place)
    elif model_kind == "linear":
        yield Complaint(
            "linear regression predicts a number, this outcome is classes",
            place,
            "",
            'use model.kind = "logistic" or "mlp", or remove data.positive and data.outcome',
        )
    elif not values:
        yield Complaint(
            "too many different values to be classes",
            place,
            "",
            'say in data.positive which are positive, such as "> 0"',
        )
    elif len(values) == 1 and data.positive is not None:
        rule = positive.parse(data.positive)
        hint = f"write which values of {data.target!r} are positive, spelled as in the tables"
        yield Complaint(rule.says(values[0] == rule.classes(data.target)[1]), "data.positive", "", hint)
    elif len(values) == 1:
        what = "all rows of all sites have one and the same outcome: nothing can be learned"
        yield Complaint(what, place, "", "choose another target")
    elif kind == "binary" and len(values) > 2:
        yield Complaint(
            f"a binary outcome has two values, this one has {len(values)}",
            place,
            "",
            'say in data.positive which are positive, such as "> 0", or set data.outcome = "multiclass"',
        )


def _not_a_number(merged: Column, model_kind: str, place: str) -> Iterator[Complaint]:
    if merged.kind == "categorical":
        yield Complaint(
            f"text with {len(merged.categories)} different values cannot be predicted as a number",
            place,
            "",
            'say in data.positive which value is positive, or set data.outcome = "multiclass"',
        )
    elif model_kind == "logistic":
        yield Complaint(
            "logistic regression predicts classes, this outcome is a number with many values",
            place,
            "",
            'say in data.positive which values are positive, such as "> 0", or use model.kind = "linear"',
        )


def _one_class(site: str, target: str) -> Complaint:
    return Complaint(
        f"all rows have one and the same outcome in {target!r}",
        f"site {site}",
        "",
        'leave the site out, or keep it with data.one_class = "keep"',
    )


def _class_notes(kind: str, classes: tuple[str, ...], data: Data) -> Iterator[str]:
    if data.positive is not None:
        return
    if kind == "binary":
        said = f"Of the target's two values, {classes[0]} and {classes[1]}"
        yield f"{said}, {classes[1]} is taken as positive; data.positive says otherwise."
    elif data.outcome is None:
        yield f"The target's {len(classes)} values are taken as classes; data.outcome says otherwise."


def _regression_notes(data: Data, model_kind: str) -> Iterator[str]:
    if data.outcome is None and model_kind != "linear":
        yield "The target is taken as a number to predict; data.outcome or data.positive says otherwise."
