"""Preprocessing fitted from sums is what the pooled rows would have given, for every way to fill and to scale."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from medfl.errors import DataError
from medfl.learn.data.bins import Bins
from medfl.learn.data.clean import Clean, clean
from medfl.learn.data.harmonise import Agreement, harmonise
from medfl.learn.data.preprocess import fit, localise, sums
from medfl.learn.data.recipe import Recipe, apply, examples, explain
from medfl.learn.data.schema import Column, infer
from medfl.learn.statistic import total
from medfl.spec.data import Data
from medfl.spec.preprocess import Impute, Preprocess, Scale

DATA = Data(target="sick")
FILLING: list[Impute] = ["mean", "median", "most-frequent"]


def ward(rows: int, seed: int, *, gaps: float = 0.2) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": draw.integers(20, 95, rows).astype(float),
            "sex": draw.choice(["f", "m"], rows, p=[0.3, 0.7]).astype(object),
            "dose": draw.lognormal(3.0, 1.0, rows),
            "flat": 7.3,
            "grade": draw.choice(["I", "II", "III"], rows, p=[0.2, 0.5, 0.3]).astype(object),
        }
    )
    frame = frame.mask(draw.random(frame.shape) < gaps)
    complete: dict[str, Any] = {"age": 50.0, "sex": "f", "dose": 10.0, "flat": 7.3, "grade": "I"}
    for name, value in complete.items():
        frame.loc[0, name] = value
    frame["sick"] = draw.integers(0, 2, rows)
    frame.loc[:1, "sick"] = [0, 1]
    return frame


@dataclass(frozen=True)
class Study:
    preprocess: Preprocess
    agreement: Agreement
    data: Data = DATA
    model_kind: str = "mlp"

    @classmethod
    def of(cls, frame: pd.DataFrame, data: Data = DATA, model_kind: str = "mlp", **settings: Any) -> Study:
        agreement = harmonise({"all": infer(frame, data)}, data, model_kind=model_kind)
        return cls(Preprocess.model_validate(settings), agreement, data, model_kind)

    def clean(self, frame: pd.DataFrame) -> Clean:
        return clean(frame, self.agreement, data=self.data, preprocess=self.preprocess)

    def fit(self, *parts: Clean) -> Recipe:
        whole = total(sums(part, self.agreement, preprocess=self.preprocess) for part in parts)
        return fit(whole, self.agreement, preprocess=self.preprocess, model_kind=self.model_kind)

    def localise(self, recipe: Recipe, own: Clean) -> Recipe:
        return localise(recipe, own, agreement=self.agreement, preprocess=self.preprocess)


def numbers(recipe: Recipe) -> NDArray[np.float64]:
    fills = [np.nan if feature.fill is None else feature.fill for feature in recipe.features]
    return np.array([*fills, *recipe.offset, *recipe.factor, recipe.centre, recipe.spread])


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(6, 60),
    seed=st.integers(0, 999),
    sites=st.integers(1, 5),
    impute=st.sampled_from(["drop", *FILLING]),
    scale=st.sampled_from(["none", "standard", "min-max"]),
    encode=st.sampled_from([*({"kind": "one-hot", "drop_first": drop} for drop in (True, False)), {"kind": "ordinal"}]),
)
def test_any_partition_gives_the_pooled_fit(
    rows: int, seed: int, sites: int, impute: Impute, scale: Scale, encode: dict[str, Any]
) -> None:
    frame = ward(rows, seed)
    study = Study.of(frame, impute=impute, scale=scale, encode=encode)
    pooled = study.clean(frame)
    owner = np.random.default_rng(seed).integers(0, sites, len(pooled))
    parts = [pooled.take(np.flatnonzero(owner == site)) for site in range(sites)]
    federated, central = study.fit(*parts), study.fit(pooled)
    assert_allclose(numbers(federated), numbers(central), rtol=1e-9, atol=1e-9)
    assert federated.class_counts == central.class_counts
    assert Recipe.from_json(json.loads(json.dumps(federated.to_json()))) == federated
    width = len(federated.feature_names)
    matrix = apply(federated, pooled)
    assert matrix.shape == (len(pooled), width)
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert np.isfinite(matrix).all()


@pytest.mark.parametrize("impute", FILLING)
@pytest.mark.parametrize("scale", ["standard", "min-max"])
@pytest.mark.parametrize("model_kind", ["logistic", "mlp"])
def test_equals_scikit_learn(impute: Impute, scale: Scale, model_kind: str) -> None:
    frame = ward(400, 3).drop(columns="flat")
    if impute != "mean":
        frame["dose"] = frame["dose"].round()
    study = Study.of(frame, model_kind=model_kind, impute=impute, scale=scale, median_bins=4096)
    mine = apply(study.fit(study.clean(frame)), study.clean(frame))

    how = {"mean": "mean", "median": "median", "most-frequent": "most_frequent"}[impute]
    filled = pd.DataFrame(SimpleImputer(strategy=how).fit_transform(frame[["age", "dose"]]), columns=["age", "dose"])
    texts = SimpleImputer(strategy="most_frequent").fit_transform(frame[["sex", "grade"]])
    drop = "first" if model_kind == "logistic" else None
    sex, grade = (OneHotEncoder(drop=drop, sparse_output=False).fit_transform(text[:, None]) for text in texts.T)
    pooled = np.column_stack([filled["age"], sex, filled["dose"], grade])
    scaler = StandardScaler() if scale == "standard" else MinMaxScaler()
    theirs = scaler.fit_transform(pooled)
    if scale == "standard":  # scikit-learn divides by n, we by n − 1
        theirs = theirs * np.sqrt((len(frame) - 1) / len(frame))
    assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model_kind", ["logistic", "linear", "mlp", "torch"])
@pytest.mark.parametrize("written", [None, True, False], ids=str)
def test_the_first_category_is_the_reference_of_linear_models(model_kind: str, written: bool | None) -> None:
    frame = ward(60, 20, gaps=0.0)
    encode = {"kind": "one-hot"} if written is None else {"kind": "one-hot", "drop_first": written}
    pooled = Study.of(frame)
    study = Study(Preprocess.model_validate({"encode": encode}), pooled.agreement, model_kind=model_kind)
    recipe = study.fit(study.clean(frame))
    dropped = model_kind in ("logistic", "linear") if written is None else written
    first = [] if dropped else ["grade=I"]
    assert [name for name in recipe.feature_names if name.startswith("grade=")] == [*first, "grade=II", "grade=III"]
    assert [feature.drop_first for feature in recipe.features if feature.name == "grade"] == [dropped]
    assert ("except the first" in " ".join(explain(recipe))) == dropped


@pytest.mark.parametrize("model_kind", ["logistic", "mlp"])
@pytest.mark.parametrize("encode", ["one-hot", "ordinal"])
def test_features_of_one_category_each_are_nothing_to_learn_from(model_kind: str, encode: str) -> None:
    frame = ward(30, 21, gaps=0.0)[["sex", "sick"]].assign(sex="f")
    study = Study.of(frame, model_kind=model_kind, encode=encode)
    with pytest.raises(DataError, match="one category only"):
        study.fit(study.clean(frame))


@settings(max_examples=80, deadline=None)
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50).map(np.array), bins=st.integers(16, 500))
def test_a_median_is_exact_to_half_a_bin(values: NDArray[np.float64], bins: int) -> None:
    column = Column("x", "numeric", minimum=float(values.min()), maximum=float(values.max()))
    over = Bins.over(column, bins)
    found = over.median(over.histogram(values))
    assert abs(found - np.median(values)) <= over.width / 2 * (1 + 1e-9)


@settings(max_examples=80, deadline=None)
@given(values=st.lists(st.integers(-300, 300), min_size=1, max_size=50).map(lambda v: np.array(v, float)))
def test_a_median_of_whole_numbers_is_exact(values: NDArray[np.float64]) -> None:
    column = Column("x", "numeric", minimum=float(values.min()), maximum=float(values.max()), integral=True)
    over = Bins.over(column, 1024)
    assert over.median(over.histogram(values)) == np.median(values)


def test_the_most_frequent_number() -> None:
    over = Bins.over(Column("x", "numeric", minimum=1.0, maximum=9.0, integral=True), 1024)
    assert over.mode(over.histogram(np.array([1.0, 9.0, 4.0, 9.0, 4.0, np.nan]))) == 4.0


@pytest.mark.parametrize("impute", [f"{how}-per-site" for how in FILLING])
@pytest.mark.parametrize("scale", ["standard-per-site", "min-max-per-site"])
def test_per_site_all_the_way_is_each_site_fitted_alone(impute: Impute, scale: Scale) -> None:
    frame = ward(200, 5)
    study = Study.of(frame, impute=impute, scale=scale)
    alone = Study(
        Preprocess.model_validate(
            {"impute": impute.removesuffix("-per-site"), "scale": scale.removesuffix("-per-site")}
        ),
        study.agreement,
    )
    sites = [study.clean(frame.iloc[:80]), study.clean(frame.iloc[80:])]
    shared = study.fit(*sites)
    for own in sites:
        local = study.localise(shared, own)
        if scale == "standard-per-site":
            assert_allclose(numbers(local), numbers(alone.fit(own)), rtol=1e-12)
        else:
            matrix = apply(local, own)
            assert matrix.min() == 0.0
            assert matrix.max() == 1.0
        assert local.class_counts == shared.class_counts
        assert local.own


@pytest.mark.parametrize("scale", ["standard", "min-max"])
def test_filling_per_site_and_scaling_over_all(scale: Scale) -> None:
    frame = ward(200, 6)
    study = Study.of(frame, impute="mean-per-site", scale=scale)
    sites = [study.clean(frame.iloc[:80]), study.clean(frame.iloc[80:])]
    shared = study.fit(*sites)
    matrix = np.vstack([apply(study.localise(shared, own), own) for own in sites]).astype(np.float64)
    if scale == "standard":
        constant = np.array(shared.feature_names) == "flat"
        assert_allclose(matrix.mean(axis=0), 0.0, atol=1e-5)
        assert_allclose(matrix[:, ~constant].std(axis=0, ddof=1), 1.0, rtol=1e-5)
    else:
        assert matrix.min() >= 0.0
        assert matrix.max() <= 1.0


def test_filling_over_all_and_scaling_per_site() -> None:
    frame = ward(200, 7)
    study = Study.of(frame, impute="median", scale="standard-per-site")
    sites = [study.clean(frame.iloc[:80]), study.clean(frame.iloc[80:])]
    shared = study.fit(*sites)
    for own in sites:
        local = study.localise(shared, own)
        assert [feature.fill for feature in local.features] == [feature.fill for feature in shared.features]
        assert_allclose(apply(local, own).mean(axis=0), 0.0, atol=1e-5)


def test_a_recipe_that_awaits_a_sites_numbers_is_not_applied() -> None:
    frame = ward(50, 8)
    study = Study.of(frame, impute="mean", scale="standard-per-site")
    rows = study.clean(frame)
    with pytest.raises(ValueError, match="localise"):
        apply(study.fit(rows), rows)


def test_a_site_sends_nothing_that_the_fit_does_not_need() -> None:
    frame = ward(50, 9)

    def sent(impute: str, scale: str) -> set[str]:
        study = Study.of(frame, impute=impute, scale=scale)
        return set(sums(study.clean(frame), study.agreement, preprocess=study.preprocess).arrays)

    assert sent("drop", "none") == {"rows", "classes"}
    assert sent("drop", "min-max") == {"rows", "classes"}
    assert sent("median-per-site", "standard-per-site") == {"rows", "classes"}
    assert sent("drop", "standard") == {"rows", "classes", "count", "sum", "squares", "categories"}
    assert sent("mean", "none") == {"rows", "classes", "count", "sum", "squares", "categories"}
    assert sent("median", "none") == {"rows", "classes", "categories", "histograms"}


def test_a_constant_column_becomes_zero() -> None:
    frame = ward(60, 10)
    frame["far"] = [1e9] * 59 + [0.0]
    study = Study.of(frame, impute="mean", scale="standard")
    train = study.clean(frame).take(np.arange(59))
    recipe = study.fit(train)
    matrix = apply(recipe, train)
    for name in ("flat", "far"):
        place = recipe.feature_names.index(name)
        assert recipe.factor[place] == 1.0
        assert_allclose(matrix[:, place], 0.0, atol=1e-6)


def test_small_spread_far_from_zero_is_kept() -> None:
    frame = ward(60, 11, gaps=0.0)
    frame["pressure"] = 1e8 + np.arange(60) / 10
    study = Study.of(frame, scale="standard")
    rows = study.clean(frame)
    assert_allclose(apply(study.fit(rows), rows).std(axis=0, ddof=1)[-1], 1.0, rtol=1e-4)


def test_a_numeric_outcome_is_standardised_and_restored() -> None:
    frame = ward(80, 12, gaps=0.0).assign(sick=np.linspace(100.0, 200.0, 80))
    study = Study.of(frame, scale="standard")
    rows = study.clean(frame)
    recipe = study.fit(rows.take(np.arange(30)), rows.take(np.arange(30, 80)))
    assert (recipe.centre, recipe.spread) == pytest.approx((150.0, frame["sick"].std()), rel=1e-6)
    ready = examples(recipe, rows)
    assert ready.outcome.std(ddof=1) == pytest.approx(1.0, rel=1e-5)
    assert_allclose(recipe.restored(ready.outcome), frame["sick"].to_numpy(), rtol=1e-6)


def test_balanced_class_weights() -> None:
    frame = ward(40, 13, gaps=0.0).assign(sick=[0] * 30 + [1] * 10)
    study = Study.of(frame)
    assert study.fit(study.clean(frame)).class_weights == pytest.approx((40 / 60, 2.0))


def test_clean_counts_what_it_leaves_out() -> None:
    frame = ward(40, 14, gaps=0.0)
    study = Study.of(frame, impute="drop")
    new = frame.copy()
    new["sick"] = new["sick"].astype(float)
    new.loc[3, "sick"] = np.nan
    new.loc[[3, 5, 7], "dose"] = np.nan
    new.loc[9, "grade"] = "IX"
    before = new.copy()
    rows = study.clean(new)
    assert (rows.left_out, rows.dropped, rows.unseen) == (1, 3, {"grade": 1})
    assert rows.kept.tolist() == [row for row in range(40) if row not in {3, 5, 7, 9}]
    pd.testing.assert_frame_equal(new, before)


def test_a_category_nobody_had_counts_as_missing_and_is_filled() -> None:
    frame = ward(40, 15)
    study = Study.of(frame, impute="mean", scale="none")
    recipe = study.fit(study.clean(frame))
    new = frame.head(2).assign(grade=["IX", ""])
    matrix = apply(recipe, study.clean(new.drop(columns="sick")))
    grades = [index for index, name in enumerate(recipe.feature_names) if name.startswith("grade=")]
    assert (matrix[0, grades] == matrix[1, grades]).all()


def test_without_a_target_every_row_is_kept() -> None:
    frame = ward(30, 16, gaps=0.0)
    study = Study.of(frame)
    rows = study.clean(frame.drop(columns="sick"))
    assert rows.outcome is None
    assert len(rows) == 30
    with pytest.raises(ValueError, match="no outcome"):
        examples(study.fit(study.clean(frame)), rows)


@pytest.mark.parametrize("columns", [["age", "dose"], ["sex", "grade"]], ids=["numbers only", "categories only"])
@pytest.mark.parametrize("impute", [*FILLING, "median-per-site"])
def test_features_of_one_kind_only(columns: list[str], impute: Impute) -> None:
    frame = ward(60, 19)[[*columns, "sick"]]
    study = Study.of(frame, impute=impute)
    rows = study.clean(frame)
    matrix = apply(study.localise(study.fit(rows), rows), rows)
    assert_allclose(matrix.mean(axis=0), 0.0, atol=1e-5)


def test_blocks_join_without_a_seam() -> None:
    frame = ward(500, 17)
    study = Study.of(pd.concat([frame] * 80, ignore_index=True), impute="median")
    many, few = study.clean(pd.concat([frame] * 80, ignore_index=True)), study.clean(frame)
    recipe = study.fit(many)
    assert np.array_equal(apply(recipe, many), np.tile(apply(recipe, few), (80, 1)))


@pytest.mark.parametrize("impute", get_args(Impute))
@pytest.mark.parametrize("scale", get_args(Scale))
def test_every_setting_is_explained(impute: Impute, scale: Scale) -> None:
    frame = ward(40, 18, gaps=0.0)
    study = Study.of(frame, impute=impute, scale=scale)
    sentences = explain(study.fit(study.clean(frame)))
    assert all(sentence.endswith((".", "…")) for sentence in sentences)
    text = " ".join(sentences)
    assert ("its site's" in text) == (impute.endswith("per-site") or scale.endswith("per-site"))
