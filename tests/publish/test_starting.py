"""The methods section says what training started from, and what each key of it means."""

from __future__ import annotations

from typing import Any

import pytest

from medfl.publish.starting import start_in_words
from medfl.run.explain_start import start_sentence
from medfl.spec.start import Start

TOLD: list[tuple[dict[str, Any], str, str]] = [
    ({"model": "cohort"}, "the exported model cohort, not from random weights", "the exported model cohort"),
    ({"run": "ab-1"}, "what run ab-1 had learned", "what run ab-1 has learned"),
    ({"weights": "w.safetensors"}, "the weights in w.safetensors", "the weights in w.safetensors"),
    ({"weights": "bundled"}, "pre-trained weights of the module itself", "that the torch factory brings along"),
    ({"model": "m", "new_head": True}, "its last layer was drawn anew", "the last layer is drawn anew"),
    ({"model": "m", "freeze": ("layer1",)}, "Layer layer1 was frozen.", "layer1 stays as it is"),
    ({"model": "m", "freeze": ("a", "b")}, "The layers a and b were frozen.", "a and b stay as they are"),
    ({"model": "m", "freeze": "all-but-head"}, "All layers but the last were frozen.", "every layer but the last"),
    ({"model": "m", "rates": {"a": 0.25}}, "as factors of the learning rate: a 0.25.", "a at 0.25 times the learning"),
    ({"model": "m", "unfreeze_every": 2}, "Howard & Ruder 2018", "one more joins in after every 2 rounds"),
    ({"model": "m", "unfreeze_every": 1}, "after every round ", "after every round"),
    ({"model": "m", "probe_rounds": 3}, "alone for three rounds, then all layers", "alone in the first 3 rounds"),
]


@pytest.mark.parametrize(("keys", "methods", "check"), TOLD, ids=lambda value: "")
def test_every_key_is_told(keys: dict[str, Any], methods: str, check: str) -> None:
    start = Start.model_validate(keys)
    model = {"kind": "mlp", "start": start.model_dump(mode="json", exclude_none=True)}
    assert methods in start_in_words(model)
    assert check in start_sentence(start)


def test_a_first_layer_is_rewritten_where_columns_are_known_and_the_model_is_built_in() -> None:
    for kind, start, rewritten in (
        ("mlp", {"model": "m"}, True),
        ("mlp", {"run": "r"}, True),
        ("mlp", {"weights": "w"}, False),
        ("torch", {"model": "m"}, False),
    ):
        assert ("matched by name and unit" in start_in_words({"kind": kind, "start": start})) == rewritten
    assert start_in_words({"kind": "mlp"}) == ""
