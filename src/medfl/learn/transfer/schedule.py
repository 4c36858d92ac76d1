"""How fast each layer learns in a round: frozen ones, rates of their own, and layers that join in later.

Gradual unfreezing (Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification", section 3.3)
trains the last layer first and lets one more join in at a time; discriminative rates are their section 3.2. Linear
probing, then fine-tuning is Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform
Out-of-Distribution", section 3.4.

A layer is the module that owns parameters: ``layer1`` of a built-in network, ``encoder.0`` of a torch module, which
may also be named by the modules around it, ``encoder``. The head is the last of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from medfl.errors import Complaint, PlanError, did_you_mean, listed
from medfl.learn.algorithm import Stage
from medfl.learn.model import Floats, Layout
from medfl.spec.start import ALL_BUT_HEAD, Freeze, Start
from medfl.spec.training import LocalTraining

How = TypeVar("How", bound=LocalTraining)


def rates(start: Start | None, layout: Layout, *, round: int) -> Floats | None:
    """Return the factor of the learning rate for each weight in a round, flat; None where all are 1.

    Parameters
    ----------
    start
        What the study asks for.
    layout
        Names and shapes of the model's weights.
    round
        From 1.
    """
    if start is None or not start.steers:
        return None
    factors = _factors(start, layout, round)
    if all(factor == 1.0 for factor in factors):
        return None
    parts = [np.full(shape, factor, np.float32) for (_, shape), factor in zip(layout.shapes, factors, strict=True)]
    return np.concatenate([part.reshape(-1) for part in parts])


def stages(
    start: Start | None, layout: Layout, *, how: LocalTraining, first: int = 1, rounds: int = 1
) -> tuple[Stage, ...]:
    """Return the parts of a training that stands for some rounds; empty where all layers learn alike throughout.

    A baseline trains in one go what a federation trains in all its rounds, and so walks through the same schedule: its
    epochs or steps are shared out to the parts by the rounds they stand for.

    Parameters
    ----------
    start, layout
        As for :func:`rates`.
    how
        The optimiser's settings, for all of these rounds together.
    first, rounds
        The first of them, and how many there are.
    """
    if start is None or not start.steers:
        return ()
    begins = [number for number in range(rounds) if number == 0 or _changes(start, layout, first + number)]
    parts = []
    for begin, end in zip(begins, [*begins[1:], rounds], strict=True):
        share = _share(how, begin, end, of=rounds)
        if share is not None:
            parts.append(Stage(share, rates(start, layout, round=first + begin)))
    return tuple(parts)


def held_still(freeze: Freeze, layout: Layout) -> Floats | None:
    """Return 0 for each weight of the layers named and 1 for the others, flat; None where none is named."""
    if not freeze:
        return None
    parts = [np.full(shape, not _named(name, freeze, layout), np.float32).reshape(-1) for name, shape in layout.shapes]
    return np.concatenate(parts)


def require_layers(freeze: Freeze, layout: Layout, *, place: str) -> None:
    """Refuse to freeze layers that the model does not have, or all that it has.

    Raises
    ------
    PlanError
        With all that is wrong.
    """
    complaints = [] if freeze == ALL_BUT_HEAD else [*_strange(freeze, layout, place)]
    frozen = [_named(name, freeze, layout) for name, _ in layout.shapes]
    if not complaints and all(frozen):
        complaints.append(Complaint("every layer is frozen", place, listed(freeze, 12), "leave one of them out"))
    if freeze == ALL_BUT_HEAD and not any(frozen):
        what = "the model has one layer, its head: there is nothing else to freeze"
        complaints.append(Complaint(what, place, f'"{ALL_BUT_HEAD}"', "leave freeze out"))
    if complaints:
        raise PlanError.of(complaints)


def head_of(layout: Layout) -> str:
    """Return the name of the last layer."""
    return _layer(layout.shapes[-1][0])


def in_layer(parameter: str, layer: str) -> bool:
    """Say whether a parameter belongs to a layer, or to a module within it."""
    return parameter == layer or parameter.startswith(f"{layer}.")


def require(start: Start, layout: Layout, *, rounds: int) -> None:
    """Refuse a schedule that the model cannot follow, or in which nothing would be learned.

    Raises
    ------
    PlanError
        With all that is wrong.
    """
    complaints = [*_unknown(start, layout)] or [*_idle(start, layout, rounds)]
    if complaints:
        raise PlanError.of(complaints)


def never_trained(start: Start, layout: Layout, *, rounds: int) -> tuple[str, ...]:
    """Return the layers that learn nothing in any of the rounds."""
    factors = zip(layout.shapes, _factors(start, layout, rounds), strict=True)
    trained = {_layer(name) for (name, _), factor in factors if factor}
    return tuple(dict.fromkeys(_layer(name) for name, _ in layout.shapes if _layer(name) not in trained))


def _factors(start: Start, layout: Layout, round: int) -> list[float]:
    """Return the factor of each parameter in a round, in the layout's order."""
    live = _live(start, layout, round)
    return [0.0 if not _trains(start, name, live) else _rate(start, name) for name, _ in layout.shapes]


def _trains(start: Start, name: str, live: Sequence[str]) -> bool:
    frozen = () if start.freeze == ALL_BUT_HEAD else start.freeze
    return _layer(name) in live and not any(in_layer(name, layer) for layer in frozen)


def _rate(start: Start, name: str) -> float:
    """Return the rate of the innermost module that has one."""
    named = [layer for layer in start.rates if in_layer(name, layer)]
    return start.rates[max(named, key=len)] if named else 1.0


def _live(start: Start, layout: Layout, round: int) -> tuple[str, ...]:
    """Return the layers that the schedule lets learn in a round."""
    steps = _steps(layout)
    if start.freeze == ALL_BUT_HEAD or (start.probe_rounds is not None and round <= start.probe_rounds):
        return (head_of(layout),)
    if start.unfreeze_every is None:
        return tuple(layer for step in steps for layer in step)
    joined = 1 + (round - 1) // start.unfreeze_every
    return tuple(layer for step in steps[-joined:] for layer in step)


def _steps(layout: Layout) -> list[tuple[str, ...]]:
    """Return the layers from the input on; a built-in network's normalisation joins in together with its layer."""
    steps: dict[str, list[str]] = {}
    for layer in dict.fromkeys(_layer(name) for name, _ in layout.shapes):
        number = layer.removeprefix("norm")
        steps.setdefault(f"layer{number}" if number.isdigit() and number != layer else layer, []).append(layer)
    return [tuple(step) for step in steps.values()]


def _changes(start: Start, layout: Layout, round: int) -> bool:
    return _factors(start, layout, round) != _factors(start, layout, round - 1)


def _share(how: How, begin: int, end: int, *, of: int) -> How | None:
    """Return the settings with the epochs or steps of some rounds of so many; None where none fall to them."""
    key, whole = ("local_epochs", how.epochs) if how.local_steps is None else ("local_steps", how.local_steps)
    count = round(whole * end / of) - round(whole * begin / of)
    return how.model_copy(update={key: count}) if count else None


def _unknown(start: Start, layout: Layout) -> Iterator[Complaint]:
    frozen = () if start.freeze == ALL_BUT_HEAD else start.freeze
    for key, names in (("freeze", frozen), ("rates", tuple(start.rates))):
        yield from _strange(names, layout, f"[model.start] {key}")
    for name in start.rates:
        of_it = [parameter for parameter, _ in layout.shapes if in_layer(parameter, name)]
        if of_it and all(_named(parameter, start.freeze, layout) for parameter in of_it):
            yield Complaint(
                f"{name} is frozen and has a rate", "[model.start] rates", name, "take it out of freeze or of rates"
            )


def _strange(names: Iterable[str], layout: Layout, place: str) -> Iterator[Complaint]:
    """Find names of layers that the model does not have."""
    layers = list(dict.fromkeys(_layer(name) for name, _ in layout.shapes))
    for name in names:
        if not any(in_layer(parameter, name) for parameter, _ in layout.shapes):
            hint = did_you_mean(name, [*layers, *([ALL_BUT_HEAD] if place.endswith("freeze") else [])])
            remedy = f"{hint} The layers are {listed(layers, 12)}".strip()
            yield Complaint("the model has no such layer", place, name, remedy)


def _named(parameter: str, freeze: Freeze, layout: Layout) -> bool:
    """Say whether a parameter belongs to what is frozen."""
    if freeze == ALL_BUT_HEAD:
        return not in_layer(parameter, head_of(layout))
    return any(in_layer(parameter, layer) for layer in freeze)


def _idle(start: Start, layout: Layout, rounds: int) -> Iterator[Complaint]:
    """Find what would leave nothing to learn, or nothing to unfreeze."""
    asked = {"unfreeze_every": start.unfreeze_every, "probe_rounds": start.probe_rounds}
    stepwise = next((name for name, value in asked.items() if value is not None), None)
    head, place = head_of(layout), f"[model.start] {stepwise or 'freeze'}"
    if (stepwise or start.freeze == ALL_BUT_HEAD) and len(_steps(layout)) == 1:
        what = "the model has one layer, its head: there is nothing else to freeze"
        yield Complaint(what, place, f"{stepwise or 'freeze'} = {_spelled(start)}", f"leave {stepwise or 'freeze'} out")
        return
    if not any(_factors(start, layout, 1)):
        what = "nothing would be learned: every layer that is to train first is frozen"
        remedy = f'leave a layer out of freeze; to train the head ({head}) alone, write freeze = "{ALL_BUT_HEAD}"'
        yield Complaint(what, "[model.start] freeze", listed(start.freeze, 12), remedy)
    elif start.new_head and not any(_trains(start, name, (head,)) for name, _ in layout.shapes):
        yield Complaint(
            "the new head is frozen: it would stay as it was drawn",
            "[model.start] freeze",
            head,
            f"take {head} out of freeze, or leave new_head out",
        )
    if start.probe_rounds is not None and start.probe_rounds >= rounds:
        yield Complaint(
            "the head is probed in every round: nothing would be fine-tuned",
            place,
            f"{start.probe_rounds} of {rounds} rounds",
            f'choose fewer than {rounds}, or write freeze = "{ALL_BUT_HEAD}" instead',
        )


def _spelled(start: Start) -> str:
    return str(start.unfreeze_every or start.probe_rounds or f'"{ALL_BUT_HEAD}"')


def _layer(parameter: str) -> str:
    """Return the module that owns a parameter; a parameter of the outermost module is one by itself."""
    return parameter.rpartition(".")[0] or parameter
