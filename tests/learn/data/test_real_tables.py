"""The published rows of real data come out: FLamby's heart disease split, and the size of the diabetes matrix."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
from numpy.testing import assert_allclose
from sklearn.model_selection import train_test_split

from medfl.learn.data.clean import clean
from medfl.learn.data.harmonise import harmonise
from medfl.learn.data.preprocess import fit, localise, sums
from medfl.learn.data.recipe import apply
from medfl.learn.data.schema import infer
from medfl.learn.data.split import split
from medfl.learn.data.tables import read_table
from medfl.learn.statistic import total
from medfl.spec.data import Data
from medfl.spec.preprocess import Preprocess

FLAMBY = {"cleveland": (199, 104), "hungary": (172, 89), "switzerland": (30, 16), "va-long-beach": (85, 45)}
THIRTEEN = (
    *("age", "sex", "cp=2", "cp=3", "cp=4", "trestbps", "chol", "fbs"),
    *("restecg=1", "restecg=2", "thalach", "exang", "oldpeak"),
)


def test_heart_disease_is_split_and_scaled_as_flamby_does(shared: Path) -> None:
    spec = tomllib.loads((shared / "studies" / "heart.toml").read_text(encoding="utf-8"))
    data, how = (
        Data.model_validate(spec["data"]),
        Preprocess.model_validate({"impute": "drop", "scale": "standard-per-site"}),
    )
    files = data.sites or {}
    frames = {
        site: read_table(shared / "studies" / file, columns=data.columns, missing=data.missing)
        for site, file in files.items()
    }
    agreement = harmonise({site: infer(f, data) for site, f in frames.items()}, data, model_kind="logistic")
    assert agreement.rows == {"cleveland": 303, "hungary": 294, "switzerland": 123, "va-long-beach": 200}
    parts = {}
    for site, frame in frames.items():
        rows = clean(frame, agreement, data=data, preprocess=how)
        outcome = rows.outcome
        assert outcome is not None
        train, test = split(outcome, len(rows), fraction=0.34, seed=43)
        assert (len(train), len(test)) == FLAMBY[site]
        stratify = None if site == "switzerland" else outcome
        expected = train_test_split(np.arange(len(rows)), test_size=0.34, random_state=43, stratify=stratify)
        assert np.array_equal(train, expected[0])
        assert np.array_equal(test, expected[1])
        parts[site] = rows.take(train)
    whole = total(sums(part, agreement, preprocess=how) for part in parts.values())
    recipe = fit(whole, agreement, preprocess=how, model_kind="logistic")
    assert recipe.feature_names == THIRTEEN
    for part in parts.values():
        matrix = apply(localise(recipe, part, agreement=agreement, preprocess=how), part).astype(np.float64)
        assert_allclose(matrix.mean(axis=0), 0.0, atol=1e-6)
        varies = matrix.any(axis=0)
        assert_allclose(matrix[:, varies].std(axis=0, ddof=1), 1.0, atol=1e-6)


def test_diabetes_becomes_fifteen_finite_columns(shared: Path) -> None:
    frame = read_table(shared / "data" / "diabetes100k.csv")
    data, how = Data(target="diabetes"), Preprocess(impute="median")
    agreement = harmonise({"all": infer(frame, data)}, data, model_kind="mlp")
    rows = clean(frame, agreement, data=data, preprocess=how)
    matrix = apply(fit(sums(rows, agreement, preprocess=how), agreement, preprocess=how, model_kind="mlp"), rows)
    assert matrix.shape == (100_000, 15)
    assert_allclose(matrix.mean(axis=0, dtype=np.float64), 0.0, atol=1e-5)
    assert_allclose(matrix.std(axis=0, dtype=np.float64), 1.0, atol=1e-4)
