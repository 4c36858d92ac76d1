"""The first weights of a run: drawn at random, or learned elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeAlias

import numpy as np

from medfl import seeds
from medfl.errors import PlanError, listed
from medfl.events import Event, Noticed, WeightsTaken
from medfl.learn.model import Floats, Model
from medfl.learn.transfer import schedule
from medfl.learn.transfer.fitting import fitted
from medfl.learn.transfer.source import Made, Source, from_factory
from medfl.run.plan import RunPlan
from medfl.run.preparing import Setting
from medfl.spec.model import ModelPart, Torch
from medfl.spec.start import Start

Find: TypeAlias = Callable[[Start], Source]
"""Finds what a study starts from, by what it says of it."""


def first_weights(
    run: str, plan: RunPlan, setting: Setting, *, model: Model, find: Find
) -> Generator[Event, None, Floats]:
    """Return the weights that training starts from, and tell where they come from.

    Raises
    ------
    MedflError
        If there is no such source, or it does not fit.
    """
    fresh = model.init(seeds.generator(plan.seed, purpose="init"))
    part = plan.study.model
    start, tuning = part.start, plan.study.evaluation.fine_tune
    if tuning is not None:
        schedule.require_layers(tuning.freeze, model.layout, place="[evaluation.fine_tune] freeze")
    if start is None:
        return fresh
    rounds = plan.study.algorithm.rounds
    schedule.require(start, model.layout, rounds=rounds)
    target = Made(part, setting.agreement, setting.recipe)
    if start.bundled:
        _require_bundled(part, model, fresh)
        source = from_factory(fresh, model.layout, name=getattr(part, "name", ""))
    else:
        source = find(start)
    first = fitted(source, target, layout=model.layout, fresh=fresh, new_head=start.new_head)
    yield WeightsTaken(
        run=run,
        source=source.told,
        digest=source.digest,
        matched=first.matched,
        new=first.new,
        dropped=first.dropped,
    )
    yield Noticed(run=run, text=f"training starts from {source.told} (sha256 {source.digest[:12]})")
    still = schedule.never_trained(start, model.layout, rounds=rounds)
    frozen = [f"layers that stay frozen to the end: {listed(still, 12)}"] if still else []
    for text in (*first.notes, *frozen):
        yield Noticed(run=run, text=text)
    return first.weights


def nowhere(start: Start) -> Source:
    """Find nothing: for who carries runs out without a store or files at hand."""
    raise PlanError(
        "there is nowhere to find weights to start from",
        where="[model.start]",
        received=start.source,
        remedy="run the study with medfl run or medfl.simulate",
    )


def _require_bundled(part: object, model: Model, fresh: Floats) -> None:
    """Refuse a model that draws all its weights: nothing that was learned comes along with it."""
    if not isinstance(part, Torch | ModelPart):
        raise PlanError(
            "a built-in model brings no weights along",
            where="[model.start] weights",
            received='"bundled"',
            remedy='name a safetensors file, an exported model or a run; or choose kind = "torch"',
        )
    again = model.init(seeds.generator(0, purpose="init of a model that brings its weights along"))
    drawn = zip(model.layout.split(fresh).values(), model.layout.split(again).values(), strict=True)
    # Zeros and ones, as biases and gains begin, are the same each time and yet nothing that was learned.
    if not any(one.tobytes() == other.tobytes() and not np.isin(one, (0.0, 1.0)).all() for one, other in drawn):
        raise PlanError(
            f"{_maker(part)} draws its weights at random: it brings none along",
            where="[model.start] weights",
            received='"bundled"',
            remedy="let it load its weights, name a safetensors file, or leave [model.start] out",
        )


def _maker(part: Torch | ModelPart) -> str:
    return f'the torch factory "{part.name}"' if isinstance(part, Torch) else f"the model {part.kind}"
