"""Fine-tuning of the last model at each site, after the federation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medfl.errors import Complaint, PlanError, did_you_mean, listed
from medfl.learn.algorithm import Stage
from medfl.learn.model import Layout
from medfl.learn.transfer.schedule import head_of, in_layer, layers_of
from medfl.spec.evaluation import FineTune
from medfl.spec.start import ALL_BUT_HEAD
from medfl.spec.study import Study
from medfl.spec.training import LocalTraining


def stage(study: Study, layout: Layout) -> Stage:
    """Return how a site tunes: the study's own training, for as long and as fast as is asked for.

    Only ``freeze`` of ``[evaluation.fine_tune]`` holds layers back: what ``[model.start]`` says is over with the
    federation.

    Raises
    ------
    PlanError
        If layers are named that the model does not have, or none is left to train.
    """
    asked = study.evaluation.fine_tune or FineTune()
    require(asked, layout)
    return Stage(_how(study.training, asked), _rates(asked, layout))


def require(asked: FineTune, layout: Layout) -> None:
    """Refuse tuning that the model cannot follow, or in which nothing would be learned.

    Raises
    ------
    PlanError
        With all that is wrong.
    """
    if complaints := [*_unknown(asked, layout)] or [*_idle(asked, layout)]:
        raise PlanError.of(complaints)


def _how(training: LocalTraining, asked: FineTune) -> LocalTraining:
    change = asked.model_dump(include={"local_epochs", "local_steps", "learning_rate"}, exclude_none=True)
    if "local_epochs" in change or "local_steps" in change:
        change = {"local_epochs": None, "local_steps": None} | change
    return training.model_copy(update=change)


def _rates(asked: FineTune, layout: Layout) -> np.ndarray | None:
    """Return 0 for each weight of a frozen layer and 1 for the others, flat; None where no layer is frozen."""
    if not asked.freeze:
        return None
    parts = [np.full(shape, not _is_frozen(asked, name, layout), np.float32) for name, shape in layout.shapes]
    return np.concatenate([part.reshape(-1) for part in parts])


def _is_frozen(asked: FineTune, parameter: str, layout: Layout) -> bool:
    if asked.freeze == ALL_BUT_HEAD:
        return not in_layer(parameter, head_of(layout))
    return any(in_layer(parameter, layer) for layer in asked.freeze)


def _unknown(asked: FineTune, layout: Layout) -> Iterator[Complaint]:
    layers = layers_of(layout)
    for name in () if asked.freeze == ALL_BUT_HEAD else asked.freeze:
        if not any(in_layer(parameter, name) for parameter, _ in layout.shapes):
            remedy = f"{did_you_mean(name, [*layers, ALL_BUT_HEAD])} The layers are {listed(layers, 12)}".strip()
            yield Complaint("the model has no such layer", "[evaluation.fine_tune] freeze", name, remedy)


def _idle(asked: FineTune, layout: Layout) -> Iterator[Complaint]:
    weights = [name for name, _ in layout.shapes if name not in layout.running]
    place = "[evaluation.fine_tune] freeze"
    if asked.freeze and all(_is_frozen(asked, name, layout) for name in weights):
        remedy = f'leave a layer out of freeze; to train the head ({head_of(layout)}) alone, write "{ALL_BUT_HEAD}"'
        yield Complaint("no layer is left to fine-tune", place, listed(asked.freeze, 12), remedy)
    elif asked.freeze == ALL_BUT_HEAD and not any(_is_frozen(asked, name, layout) for name in weights):
        what = "the model has one layer, its head: there is nothing else to freeze"
        yield Complaint(what, place, f'"{ALL_BUT_HEAD}"', "leave freeze out")
