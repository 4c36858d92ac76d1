"""A run's state between two rounds, as two artefacts: the model, and the rest of the algorithm's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from safetensors.numpy import load, save

from medfl.learn.algorithm import State
from medfl.learn.model import Layout

Keep: TypeAlias = Callable[[bytes], str]
"""Stores a body durably and returns its sha256."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where an interrupted run goes on.

    Parameters
    ----------
    round
        The last finished round.
    model, state
        The bodies of its two artefacts.
    sites
        Who took part; all sites where empty.
    agreement, recipe
        What they agreed on and how their tables are prepared, as JSON, for when one of them is not there to be asked;
        None where that is not known.
    largest
        Training rows of the largest of them.
    dropped
        Sites that were not asked any more, as the journal says.
    """

    round: int
    model: bytes
    state: bytes
    sites: tuple[str, ...] = ()
    agreement: Mapping[str, Any] | None = None
    recipe: Mapping[str, Any] | None = None
    largest: int = 0
    dropped: tuple[str, ...] = ()


def stored(state: State, layout: Layout, keep: Keep) -> tuple[str, str]:
    """Store a state; return the digests of its model and of the rest."""
    rest = {f"shared/{name}": array for name, array in state.shared.items() if name != "weights"}
    rest |= {f"kept/{name}": array for name, array in state.kept.items()}
    named = {name: np.asarray(array, order="C") for name, array in layout.split(state.weights).items()}
    return keep(save(named)), keep(save(rest))


def restored(checkpoint: Checkpoint, layout: Layout) -> State:
    """Return the state that was stored."""
    rest = load(checkpoint.state)
    parts: dict[str, dict[str, np.ndarray]] = {"shared": {}, "kept": {}}
    for name, array in rest.items():
        part, _, key = name.partition("/")
        parts[part][key] = array
    return State(parts["shared"] | {"weights": layout.join(load(checkpoint.model))}, parts["kept"])
