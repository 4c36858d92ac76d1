"""A first layer rewritten for other scales and columns gives the same scores for the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medfl.errors import PlanError
from medfl.learn.data.clean import clean
from medfl.learn.data.harmonise import harmonise
from medfl.learn.data.preprocess import fit, localise, sums
from medfl.learn.data.recipe import apply
from medfl.learn.data.schema import infer
from medfl.learn.model import Floats, Model
from medfl.learn.models import build
from medfl.learn.transfer.fitting import Fitted, fitted
from medfl.learn.transfer.source import Made, Source
from medfl.spec.data import Data
from medfl.spec.model import MLP, Linear, Logistic
from medfl.spec.model import Model as ModelPart
from medfl.spec.preprocess import Preprocess

COLOURS = ("amber", "blue", "clear", "dun")
NET = MLP(hidden=(5, 3), activation="tanh")
Columns = dict[str, Any]


def table(rows: int, seed: int, *, shift: float = 0.0, colours: tuple[str, ...] = COLOURS) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    columns: Columns = {
        "age": draw.normal(60 + shift, 10 + shift, rows),
        "dose": draw.gamma(2.0, 1.0 + shift, rows),
        "colour": [colours[place % len(colours)] for place in draw.permutation(rows)],
    }
    return pd.DataFrame(columns | {"sick": (np.arange(rows) % 2).astype(str)})


def made(frame: pd.DataFrame, part: ModelPart = NET, **keys: Any) -> Made:
    """Return what a study of this table alone would have fitted."""
    data = Data.model_validate({"target": "sick", "units": keys.pop("units", {})})
    how = Preprocess.model_validate(keys)
    agreement = harmonise({"here": infer(frame, data)}, data, model_kind=part.kind)
    rows = clean(frame, agreement, data=data, preprocess=how)
    recipe = fit(sums(rows, agreement, preprocess=how), agreement, preprocess=how, model_kind=part.kind)
    return Made(part, agreement, recipe)


def model_of(what: Made) -> Model:
    return build(what.part, features=len(what.recipe.feature_names), outcome=what.agreement.outcome)


def taken(source: Made, target: Made, *, new_head: bool = False, seed: int = 0) -> tuple[Floats, Fitted]:
    """Return random weights of the source's model, and what the target starts from."""
    model = model_of(source)
    weights = model.init(np.random.default_rng(seed))
    layout = model_of(target).layout
    fresh = model_of(target).init(np.random.default_rng(seed + 1))
    origin = Source("the source", "0" * 64, model.layout.split(weights), source)
    return weights, fitted(origin, target, layout=layout, fresh=fresh, new_head=new_head)


def scores(what: Made, weights: Floats, frame: pd.DataFrame, **keys: Any) -> Floats:
    how = Preprocess.model_validate({"impute": what.recipe.impute, "scale": what.recipe.scale} | keys)
    rows = clean(frame, what.agreement, data=Data(target="sick"), preprocess=how)
    recipe = localise(what.recipe, rows, agreement=what.agreement, preprocess=how)
    restored: Floats = what.recipe.restored(model_of(what).scores(weights, apply(recipe, rows)))
    return restored


WAYS = st.fixed_dictionaries(
    {
        "scale": st.sampled_from(["none", "standard", "min-max"]),
        "impute": st.sampled_from(["none", "mean", "median"]),
        "encode": st.sampled_from(
            [{"kind": "one-hot", "drop_first": True}, {"kind": "one-hot", "drop_first": False}, {"kind": "one-hot"}]
        ),
    }
)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([NET, Logistic(), MLP(hidden=(4,), layer_norm=True)]), WAYS, WAYS, st.integers(0, 10_000))
def test_scores_are_the_same_whatever_the_two_scalings(
    part: ModelPart, there: Columns, here: Columns, seed: int
) -> None:
    """Full overlap: same scores to float32 rounding, in other units of scale, other codes, another order."""
    theirs, ours = table(40, seed), table(60, seed + 1, shift=7.0)[["colour", "sick", "dose", "age"]]
    source, target = made(theirs, part, **there), made(ours, part, **here)
    weights, first = taken(source, target, seed=seed)
    assert set(first.matched) == {"age", "dose", "colour"} and not first.new and not first.dropped
    for frame in (theirs, ours):
        expected, found = scores(source, weights, frame), scores(target, first.weights, frame)
        # Unscaled columns are 60 times larger than scaled ones, and so is what float32 rounds off.
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)


def test_the_same_columns_and_scales_change_no_bit() -> None:
    source = made(table(40, 1))
    weights, first = taken(source, source)
    assert first.weights.tobytes() == weights.tobytes()


def test_a_new_column_starts_without_effect_and_an_absent_one_counts_as_usual() -> None:
    theirs = table(40, 1)
    ours = table(50, 2, shift=3.0).assign(height=np.linspace(150, 190, 50)).drop(columns="dose")
    source, target = made(theirs, impute="median"), made(ours)
    weights, first = taken(source, target)
    assert (first.matched, first.new, first.dropped) == (("age", "colour"), ("height",), ("dose",))
    usual = ours.assign(dose=np.median(theirs["dose"])).drop(columns="height")
    # The median is read from a histogram, exact to one of its 1 024 bins.
    np.testing.assert_allclose(scores(target, first.weights, ours), scores(source, weights, usual), atol=2e-3)
    moved = ours.assign(height=ours["height"] + 100)
    assert scores(target, first.weights, moved).tobytes() == scores(target, first.weights, ours).tobytes()
    told = " ".join(first.notes)
    assert "age and colour" in told and "height" in told and "dose" in told


def test_without_a_fill_the_usual_value_is_the_mean() -> None:
    theirs, ours = table(40, 1), table(50, 2).drop(columns=["dose", "colour"])
    source, target = made(theirs), made(ours)
    weights, first = taken(source, target)
    model, columns = model_of(source), np.zeros((50, 6), np.float32)
    columns[:, 0] = (ours["age"] - theirs["age"].mean()) / theirs["age"].std()
    np.testing.assert_allclose(scores(target, first.weights, ours), model.scores(weights, columns), atol=1e-5)


def test_a_category_the_source_never_saw_counts_as_a_missing_one_or_as_nothing() -> None:
    theirs, ours = table(40, 1, colours=("amber", "blue", "blue")), table(60, 2)
    likely = made(theirs, impute="mean")
    weights, first = taken(likely, made(ours))
    as_blue = ours.assign(colour=ours["colour"].replace({"clear": "blue", "dun": "blue"}))
    found = scores(made(ours), first.weights, ours)
    np.testing.assert_allclose(found, scores(likely, weights, as_blue), rtol=1e-4, atol=1e-4)
    assert any("clear and dun" in note and "missing" in note for note in first.notes)
    _, other = taken(made(theirs), made(ours))
    assert any("without effect" in note for note in other.notes)


def test_positions_in_order_hold_what_lies_on_a_line_and_refuse_the_rest() -> None:
    theirs, ours = table(40, 1), table(60, 2, shift=4.0)
    source, target = made(theirs, encode="ordinal"), made(ours, encode="ordinal", scale="min-max")
    weights, first = taken(source, target)
    np.testing.assert_allclose(scores(target, first.weights, ours), scores(source, weights, ours), rtol=1e-4, atol=1e-4)
    _, hot = taken(source, made(ours))
    np.testing.assert_allclose(
        scores(made(ours), hot.weights, ours), scores(source, weights, ours), rtol=1e-4, atol=1e-4
    )
    with pytest.raises(PlanError, match='encode = "one-hot"'):
        taken(made(theirs), target)


def test_a_number_is_predicted_on_its_own_scale() -> None:
    theirs, ours = table(40, 1), table(60, 2, shift=4.0)
    theirs["sick"], ours["sick"] = theirs["age"] * 3 + 100, ours["age"] - 20
    for part in (Linear(), NET):
        source, target = made(theirs, part), made(ours, part)
        weights, first = taken(source, target)
        np.testing.assert_allclose(scores(target, first.weights, ours), scores(source, weights, ours), rtol=1e-4)


def test_sites_that_scale_by_their_own_numbers_take_weights_as_they_are() -> None:
    theirs, ours = table(40, 1), table(60, 2, shift=4.0)
    source, target = made(theirs, scale="standard-per-site"), made(ours, scale="standard-per-site")
    weights, first = taken(source, target)
    np.testing.assert_allclose(scores(target, first.weights, ours), scores(source, weights, ours), rtol=1e-5, atol=1e-5)
    assert any("own numbers" in note for note in first.notes)
    for other in ("standard", "min-max-per-site"):
        with pytest.raises(PlanError, match="trained on another scale"):
            taken(made(theirs, scale=other), target)
        with pytest.raises(PlanError, match="trained on another scale"):
            taken(target, made(theirs, scale=other))


@pytest.mark.parametrize(
    ("there", "here", "what"),
    [
        ({"units": {"age": "years"}}, {"units": {"age": "months"}}, "months here, years there"),
        ({"units": {"age": "years"}}, {}, ""),
        ({}, {"units": {"age": "months"}}, ""),
    ],
)
def test_a_unit_is_compared_where_both_have_one(there: Columns, here: Columns, what: str) -> None:
    source, target = made(table(40, 1), **there), made(table(40, 2), **here)
    if not what:
        assert "age" in taken(source, target)[1].matched
        return
    with pytest.raises(PlanError, match="another unit") as caught:
        taken(source, target)
    assert what in str(caught.value) and "convert" in str(caught.value)


def test_columns_that_cannot_be_matched_are_refused() -> None:
    theirs = table(40, 1)
    coded = theirs.assign(age=[f"group {int(age) // 20}" for age in theirs["age"]])
    with pytest.raises(PlanError, match="another kind"):
        taken(made(theirs), made(coded))
    with pytest.raises(PlanError, match="none of this study's columns"):
        taken(made(theirs), made(theirs.rename(columns=lambda name: name if name == "sick" else f"{name}2")))
    with pytest.raises(PlanError, match="usual value"):
        taken(made(theirs, scale="none"), made(theirs.drop(columns="dose")))
