from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from medfl.learn.metrics import judge
from medfl.learn.model import Outcome
from medfl.learn.statistic import ZERO
from medfl.spec.metrics import METRICS

OUTCOMES = (Outcome("binary", ("no", "yes")), Outcome("multiclass", ("a", "b", "c")), Outcome("regression"))


def test_every_metric_has_words_and_no_words_are_without_a_metric() -> None:
    computed = {name for outcome in OUTCOMES for name in judge.metrics(outcome, ZERO)}

    assert computed == set(METRICS)


def test_words_are_sentences_about_a_range_that_holds_the_ideal() -> None:
    for metric in METRICS.values():
        assert metric.meaning.endswith(".")
        if metric.ideal is not None:
            assert metric.low is None or metric.low <= metric.ideal
            assert metric.high is None or metric.ideal <= metric.high


def test_better_is_higher_lower_or_neither() -> None:
    better = {name: metric.higher_is_better for name, metric in METRICS.items()}

    assert better["auc"] is better["r2"] is True
    assert better["brier"] is better["rmse"] is better["ece"] is False
    assert better["calibration_slope"] is better["mean_error"] is better["prevalence"] is None


def test_words_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        METRICS["auc"].label = "AUROC"  # type: ignore[misc]
    with pytest.raises(TypeError):
        METRICS["auc"] = METRICS["f1"]  # type: ignore[index]
