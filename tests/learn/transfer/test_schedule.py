"""Which layer learns how fast in which round."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from medfl.errors import PlanError
from medfl.learn.model import Layout, Outcome
from medfl.learn.models import build
from medfl.learn.transfer import schedule
from medfl.spec.model import MLP, Logistic
from medfl.spec.start import Start
from medfl.spec.training import SGD

BINARY = Outcome("binary", ("no", "yes"))
MLP_3 = build(MLP(hidden=(4, 3), layer_norm=True), features=2, outcome=BINARY).layout
ONE_LAYER = build(Logistic(), features=2, outcome=BINARY).layout
TORCH = Layout((("encoder.0.weight", (4, 2)), ("encoder.2.weight", (3, 4)), ("scale", (1,)), ("head.weight", (1, 3))))


def start(**keys: Any) -> Start:
    return Start.model_validate({"weights": "w.safetensors"} | keys)


def factors(asked: Start, layout: Layout, *, round: int = 1) -> dict[str, float]:
    rates = schedule.rates(asked, layout, round=round)
    assert rates is not None
    return {name: float(part.min()) for name, part in layout.split(rates).items() if part.min() == part.max()}


def live(asked: Start, layout: Layout, round: int) -> list[str]:
    rates = schedule.rates(asked, layout, round=round)
    every = layout.split(np.ones(layout.size, np.float32) if rates is None else rates)
    return sorted({name.rpartition(".")[0] or name for name, part in every.items() if part.any()})


def test_without_a_start_nothing_is_steered() -> None:
    for asked in (None, start(), start(new_head=True)):
        assert schedule.rates(asked, MLP_3, round=1) is None
        assert schedule.stages(asked, MLP_3, how=SGD(), rounds=10) == ()


def test_frozen_layers_have_the_rate_zero_and_named_ones_their_own() -> None:
    found = factors(start(freeze=("layer1", "norm1"), rates={"layer2": 0.1}), MLP_3)
    assert found == {
        "layer1.weight": 0,
        "layer1.bias": 0,
        "norm1.gain": 0,
        "norm1.bias": 0,
        "layer2.weight": pytest.approx(0.1),
        "layer2.bias": pytest.approx(0.1),
        "norm2.gain": 1,
        "norm2.bias": 1,
        "layer3.weight": 1,
        "layer3.bias": 1,
    }
    assert live(start(freeze="all-but-head"), MLP_3, 9) == ["layer3"]


def test_a_module_speaks_for_what_lies_in_it_and_the_innermost_name_counts() -> None:
    found = factors(start(rates={"encoder": 0.5, "encoder.0": 0.25}), TORCH)
    assert list(found.values()) == [0.25, 0.5, 1, 1]
    assert live(start(freeze=("encoder",)), TORCH, 1) == ["head", "scale"]


def test_layers_join_in_from_the_head_on() -> None:
    gradual = start(unfreeze_every=2)
    assert [live(gradual, MLP_3, round) for round in (1, 2, 3, 4, 5, 6)] == [
        ["layer3"],
        ["layer3"],
        ["layer2", "layer3", "norm2"],
        ["layer2", "layer3", "norm2"],
        ["layer1", "layer2", "layer3", "norm1", "norm2"],
        ["layer1", "layer2", "layer3", "norm1", "norm2"],
    ]
    assert schedule.never_trained(gradual, MLP_3, rounds=4) == ("layer1", "norm1")
    assert schedule.never_trained(gradual, MLP_3, rounds=5) == ()
    probing = start(probe_rounds=3, freeze=("layer1",))
    assert [live(probing, MLP_3, round) for round in (3, 4)] == [
        ["layer3"],
        ["layer2", "layer3", "norm1", "norm2"],
    ]


@pytest.mark.parametrize("rounds", [3, 6, 7])
@pytest.mark.parametrize("share", [1, 2, 5])
def test_a_baseline_walks_through_the_rounds_it_stands_for(rounds: int, share: int) -> None:
    """Each part has the epochs of its rounds, and together they make the whole budget."""
    asked, how = start(unfreeze_every=2), SGD(local_epochs=share * rounds)
    parts = schedule.stages(asked, MLP_3, how=how, rounds=rounds)
    begins = range(0, min(rounds, 6), 2)
    lengths = [min(begin + 2, rounds) - begin if begin < 4 else rounds - begin for begin in begins]
    assert [part.how.local_epochs for part in parts] == [share * length for length in lengths]
    expected = [schedule.rates(asked, MLP_3, round=begin + 1) for begin in begins]
    for part, rates in zip(parts, expected, strict=True):
        np.testing.assert_array_equal(part.rates, rates)


def test_steps_are_shared_out_too_and_a_part_without_any_is_left_out() -> None:
    parts = schedule.stages(start(unfreeze_every=1), MLP_3, how=SGD(local_steps=2), rounds=3)
    assert sum(part.how.local_steps or 0 for part in parts) == 2 and len(parts) == 2


def test_a_round_of_the_federation_has_one_part() -> None:
    for number in range(1, 5):
        (part,) = schedule.stages(start(probe_rounds=2), MLP_3, how=SGD(), first=number)
        assert (part.rates is None) == (number > 2) and part.how == SGD(local_epochs=1)


@pytest.mark.parametrize(
    ("keys", "layout", "what", "remedy"),
    [
        ({"freeze": ("layer9",)}, MLP_3, "no such layer", "did you mean 'layer"),
        ({"freeze": ("all_but_head",)}, MLP_3, "no such layer", "did you mean 'all-but-head'?"),
        ({"rates": {"ancoder": 0.1}}, TORCH, "no such layer", "The layers are"),
        ({"freeze": ("layer1",), "rates": {"layer1": 0.1}}, MLP_3, "is frozen and has a rate", "take it out"),
        ({"freeze": "all-but-head", "rates": {"layer1": 0.1}}, MLP_3, "is frozen and has a rate", "take it out"),
        ({"freeze": ("layer1", "layer2", "layer3", "norm1", "norm2")}, MLP_3, "nothing would be learned", "all-but-"),
        ({"freeze": ("encoder", "scale", "head")}, TORCH, "nothing would be learned", "all-but-head"),
        ({"freeze": ("layer3",), "probe_rounds": 2}, MLP_3, "nothing would be learned", "leave a layer out"),
        ({"freeze": ("layer3",), "new_head": True}, MLP_3, "the new head is frozen", "take layer3 out"),
        ({"probe_rounds": 10}, MLP_3, "nothing would be fine-tuned", "fewer than 10"),
        ({"freeze": "all-but-head"}, ONE_LAYER, "one layer, its head", "leave freeze out"),
        ({"probe_rounds": 2}, ONE_LAYER, "one layer, its head", "leave probe_rounds out"),
        ({"unfreeze_every": 2}, ONE_LAYER, "one layer, its head", "leave unfreeze_every out"),
    ],
)
def test_what_cannot_be_followed_is_refused(keys: dict[str, Any], layout: Layout, what: str, remedy: str) -> None:
    with pytest.raises(PlanError) as caught:
        schedule.require(start(**keys), layout, rounds=10)
    assert what in str(caught.value) and remedy in str(caught.value)
    assert "[model.start]" in str(caught.value)


def test_what_can_be_followed_is_not() -> None:
    for keys in ({"freeze": ("layer1",)}, {"unfreeze_every": 99}, {"probe_rounds": 9}, {"rates": {"norm1": 2.0}}):
        schedule.require(start(**keys), MLP_3, rounds=10)
