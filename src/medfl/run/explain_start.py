"""Says in plain language what training starts from, and how fast each layer goes on from there."""

from __future__ import annotations

from collections.abc import Iterator

from medfl.errors import listed
from medfl.spec.start import ALL_BUT_HEAD, Start


def start_sentence(start: Start) -> str:
    """Return what an arm starts from, as one sentence without its capital."""
    return "; ".join([f"training starts from {_named(start)}, not from random weights", *_course(start)]) + "."


def _named(start: Start) -> str:
    if start.model is not None:
        return f"the exported model {start.model}"
    if start.run is not None:
        return f"what run {start.run} has learned"
    return "the weights that the torch factory brings along" if start.bundled else f"the weights in {start.weights}"


def _course(start: Start) -> Iterator[str]:
    if start.new_head:
        yield "the last layer is drawn anew"
    if start.freeze == ALL_BUT_HEAD:
        yield "every layer but the last stays as it is"
    elif start.freeze:
        yield f"{listed(start.freeze, 12)} {'stays as it is' if len(start.freeze) == 1 else 'stay as they are'}"
    if start.rates:
        each = [f"{layer} at {rate:g}" for layer, rate in start.rates.items()]
        yield f"{listed(each, 12)} times the learning rate"
    if start.unfreeze_every is not None:
        rounds = "round" if start.unfreeze_every == 1 else f"{start.unfreeze_every} rounds"
        yield f"the last layer learns first, and one more joins in after every {rounds}"
    if start.probe_rounds is not None:
        rounds = "round" if start.probe_rounds == 1 else f"{start.probe_rounds} rounds"
        yield f"the last layer learns alone in the first {rounds}, then all of them"
