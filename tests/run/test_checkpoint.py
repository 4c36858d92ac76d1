"""A run's state is stored and read back exactly, and a run goes on from it to the same end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from safetensors.numpy import load

from medfl.events import Event, RoundFinished, RunStarted
from medfl.learn.algorithm import State
from medfl.learn.model import Layout
from medfl.run.checkpoint import Checkpoint, restored, stored
from medfl.spec.algorithm import AlgorithmPart
from medfl.spec.discover import algorithms, kind_of
from medfl.spec.study import Study
from medfl.testing.algorithm_contract import prints, through_a_checkpoint
from medfl.testing.federation import Kept, in_process, rehearse, sites, study

LAYOUT = Layout((("layer1.weight", (2, 3)), ("layer1.bias", (3,)), ("a/b", ()), ("none", (0,))))
names = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=6).filter(lambda name: name != "weights")
shapes = arrays_of.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)
numbers = st.sampled_from([np.float32, np.float64, np.int64]).flatmap(lambda kind: arrays_of.arrays(kind, shapes))
parts = st.dictionaries(names, numbers, max_size=3)
flat = arrays_of.arrays(np.float32, LAYOUT.size)


@settings(max_examples=60, deadline=None)
@given(flat, parts, parts)
def test_a_state_comes_back_exactly(
    weights: np.ndarray, shared: dict[str, np.ndarray], kept: dict[str, np.ndarray]
) -> None:
    state = State(shared | {"weights": weights}, kept)
    assert prints(through_a_checkpoint(state, LAYOUT)) == prints(state)


def test_the_model_is_a_file_of_named_parameters() -> None:
    kept, weights = Kept(), np.arange(LAYOUT.size, dtype=np.float32)
    model, rest = stored(State({"weights": weights}, {"moment": np.zeros(2)}), LAYOUT, kept.write)
    assert {name: part.shape for name, part in load(kept[model]).items()} == dict(LAYOUT.shapes)
    assert set(load(kept[rest])) == {"kept/moment"}
    assert restored(Checkpoint(3, kept[model], kept[rest]), LAYOUT).weights.flags.c_contiguous


def test_equal_states_have_equal_digests() -> None:
    """However the weights lie in memory: the digest is of the numbers."""
    kept, weights = Kept(), np.arange(2 * LAYOUT.size, dtype=np.float32)
    first, second = (
        stored(State({"weights": one}, {}), LAYOUT, kept.write) for one in (weights[::2], weights[::2].copy())
    )
    assert first == second
    other = stored(State({"weights": weights[1::2]}, {}), LAYOUT, kept.write)
    assert other[0] != first[0]
    assert other[1] == first[1]


@pytest.mark.parametrize("part", algorithms(), ids=kind_of)
def test_a_run_goes_on_from_any_round_to_the_same_models(tmp_path: Path, part: type[AlgorithmPart]) -> None:
    # Three sites are too few to distrust one of them.
    trust = {"byzantine": 0} if "byzantine" in part.model_fields else {}
    asked = study(algorithm={"kind": kind_of(part), "rounds": 4} | trust, model={"kind": "mlp", "hidden": [4]})
    kept = Kept()
    whole, error = rehearse(asked, in_process(sites(tmp_path / "whole")), kept=kept)
    assert error is None
    for stop in (1, 3):
        rest = _from(stop, asked, tmp_path, kept)
        assert not isinstance(rest[0], RunStarted)
        assert _rounds(rest) == _rounds(whole)[stop:]


def _from(stop: int, asked: Study, folder: Path, kept: Kept) -> list[Event]:
    """Carry out a run up to a round, then the rest with sites that were opened anew, as after a crash."""
    vaults = folder / f"stopped after {stop}"
    first = asked.overridden({"algorithm": {"rounds": stop}})
    before, _ = rehearse(first, in_process(sites(vaults)), kept=kept)
    last = [event for event in before if isinstance(event, RoundFinished)][-1]
    start = Checkpoint(last.round, kept[last.model], kept[last.state])
    events, error = rehearse(asked, in_process(sites(vaults)), kept=kept, start=start)
    assert error is None
    return events


def _rounds(events: list[Event]) -> list[tuple[int, str, str]]:
    return [(event.round, event.model, event.state) for event in events if isinstance(event, RoundFinished)]
