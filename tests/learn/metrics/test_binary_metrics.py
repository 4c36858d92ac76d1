from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn import metrics as exact
from sklearn.linear_model import LogisticRegression

from medfl.errors import DivergedError
from medfl.learn.metrics import judge, ranking
from medfl.learn.model import Floats, Outcome
from medfl.learn.statistic import ZERO, total

BINARY = Outcome("binary", ("no", "yes"))
some = settings(max_examples=60, deadline=None, derandomize=True)


@dataclass(frozen=True)
class Case:
    scores: Floats
    truth: Floats

    @property
    def probabilities(self) -> Any:
        return expit(self.scores.astype(np.float64))

    def metrics(self, threshold: float | None = 0.5) -> dict[str, float | None]:
        return judge.metrics(BINARY, self.statistic(threshold), threshold=threshold)

    def statistic(self, threshold: float | None = 0.5) -> Any:
        return judge.measure(BINARY, self.scores, self.truth, threshold=threshold)


def drawn(seed: int, rows: int, centre: float = 0.0, spread: float = 2.0, *, slope: float = 1.0) -> Case:
    """Normal logits, outcomes that follow them; both classes are there."""
    random = np.random.default_rng(seed)
    scores = random.normal(centre, spread, rows).astype(np.float32)
    truth = (random.random(rows) < expit(slope * scores)).astype(np.float32)
    truth[:2] = 0.0, 1.0
    return Case(scores, truth)


def cases() -> st.SearchStrategy[Case]:
    return st.builds(
        drawn,
        st.integers(0, 10_000),
        st.integers(2, 400),
        st.floats(-6, 6),
        st.sampled_from([0.01, 0.3, 2.0, 20.0]),
        slope=st.floats(-1, 2),
    )


def near(value: float | None, expected: float, tolerance: float = 1e-9) -> bool:
    return value is not None and math.isclose(value, expected, rel_tol=tolerance, abs_tol=tolerance)


@some
@given(cases())
def test_auc_is_off_by_no_more_than_half_the_pairs_that_share_a_bin(case: Case) -> None:
    negatives, positives = case.statistic()["scores"]
    shared = (negatives * positives).sum() / (negatives.sum() * positives.sum())

    assert near(case.metrics()["auc"], exact.roc_auc_score(case.truth, case.scores), shared / 2 + 1e-12)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(drawn(1, 2000), id="well spread"),
        pytest.param(drawn(2, 2000, spread=0.2), id="timid"),
        pytest.param(drawn(3, 2000, spread=50.0), id="over-confident"),
        pytest.param(
            Case(np.clip(drawn(4, 2000, spread=80.0).scores, -100, 100), drawn(4, 2000).truth), id="saturated"
        ),
        pytest.param(drawn(5, 50_000, centre=-7.2, spread=0.7), id="one in a thousand"),
        pytest.param(drawn(6, 2000, centre=30.0, spread=10.0, slope=0.02), id="all called positive"),
        pytest.param(Case(np.full(100, -6.9, np.float32), drawn(7, 100).truth), id="constant"),
    ],
)
def test_auc_is_within_a_thousandth_and_auprc_within_a_hundredth(case: Case) -> None:
    found = case.metrics()

    assert near(found["auc"], exact.roc_auc_score(case.truth, case.scores), 1e-3)
    assert near(found["auprc"], exact.average_precision_score(case.truth, case.scores), 1e-2)


@some
@given(cases(), st.floats(0.01, 0.99))
def test_what_is_counted_at_the_site_equals_scikit_learn(case: Case, threshold: float) -> None:
    called = case.scores.astype(np.float64) >= np.log(threshold) - np.log1p(-threshold)
    found = case.metrics(threshold)

    assert near(found["accuracy"], exact.accuracy_score(case.truth, called))
    assert near(found["sensitivity"], exact.recall_score(case.truth, called))
    assert near(found["specificity"], exact.recall_score(case.truth, called, pos_label=0))
    assert near(found["f1"], exact.f1_score(case.truth, called))
    assert near(found["prevalence"], case.truth.mean(dtype=np.float64))
    assert near(found["brier"], exact.brier_score_loss(case.truth, case.probabilities))
    assert found["threshold"] == threshold
    assert (found["ppv"] is None) == (not called.any())
    assert (found["npv"] is None) == bool(called.all())
    if called.any():
        assert near(found["ppv"], exact.precision_score(case.truth, called))
    if not called.all():
        assert near(found["npv"], exact.precision_score(case.truth, called, pos_label=0))


@some
@given(cases())
def test_log_loss_equals_scikit_learn_where_probabilities_can_be_written(case: Case) -> None:
    written = Case(np.clip(case.scores, -30, 30), case.truth)

    assert near(written.metrics()["log_loss"], exact.log_loss(case.truth, written.probabilities), 1e-4)


@some
@given(cases())
def test_calibration_error_is_the_textbook_sum(case: Case) -> None:
    p, share = case.probabilities, np.minimum((case.probabilities * 20).astype(int), 19)
    gaps = [abs((case.truth - p)[share == bar].sum()) for bar in range(20)]

    assert near(case.metrics()["ece"], sum(gaps) / len(p), 1e-9)


@pytest.mark.parametrize(
    ("spread", "centre", "slope"), [(2, 0, 1), (2, 0, 0.5), (1, -3, 1), (0.3, 1, 2), (30, 0, 0.1), (2, 0, -0.4)]
)
def test_recalibration_equals_logistic_regression_on_the_logits(spread: float, centre: float, slope: float) -> None:
    case = drawn(11, 3000, centre, spread, slope=slope)
    fit = LogisticRegression(C=1e9, tol=1e-8, max_iter=1000).fit(case.scores[:, None] / spread, case.truth)
    found = case.metrics()

    assert near(found["calibration_slope"], fit.coef_[0, 0] / spread, 0.01)
    assert near(found["calibration_intercept"], fit.intercept_[0], 0.01)


def test_recalibration_is_found_for_few_positives_far_from_a_normal_shape() -> None:
    random = np.random.default_rng(3)
    for _ in range(200):
        rows = int(random.integers(20, 400))
        scores = random.standard_t(3, rows).astype(np.float32) * random.choice([0.1, 1.0, 10.0])
        truth = np.zeros(rows, np.float32)
        truth[random.permutation(rows)[: random.integers(2, 8)]] = 1.0
        low, high = scores[truth == 0], scores[truth == 1]
        if high.max() - low.min() < 0.5 or low.max() - high.min() < 0.5:
            continue
        assert Case(scores.astype(np.float32), truth).metrics()["calibration_slope"] is not None


def test_recalibration_is_none_when_classes_do_not_overlap() -> None:
    apart = Case(np.array([-2, -1, 1, 2], np.float32), np.array([0, 0, 1, 1], np.float32))
    touching = Case(np.array([-2, 1, 1, 2], np.float32), np.array([0, 0, 1, 1], np.float32))

    for case in (apart, touching):
        assert case.metrics()["calibration_slope"] is None
        assert case.metrics()["calibration_intercept"] is None


def test_one_class_leaves_undefined_what_needs_two() -> None:
    healthy = drawn(1, 50)
    found = Case(healthy.scores, np.zeros(50, np.float32)).metrics()

    assert [name for name, value in found.items() if value is None] == [
        "auc",
        "auprc",
        "sensitivity",
        "calibration_slope",
        "calibration_intercept",
    ]
    assert found["prevalence"] == 0.0


def test_nobody_at_all_leaves_everything_undefined_but_the_threshold() -> None:
    nobody = Case(np.zeros(0, np.float32), np.zeros(0, np.float32)).metrics()

    assert nobody == judge.metrics(BINARY, ZERO)
    assert {name for name, value in nobody.items() if value is not None} == {"threshold"}


@some
@given(
    st.lists(st.tuples(st.floats(width=32, allow_nan=False, allow_infinity=False), st.booleans()), min_size=1),
    st.sampled_from([0.5, 0.031, None]),
)
def test_metrics_are_finite_for_any_finite_scores(rows: list[tuple[float, bool]], threshold: float | None) -> None:
    scores, truth = np.array(rows, np.float32).T
    found = Case(scores.copy(), truth.copy()).metrics(threshold)

    assert all(value is None or math.isfinite(value) for value in found.values())
    assert found["accuracy"] is not None


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused_without_showing_a_row(broken: float) -> None:
    with pytest.raises(DivergedError, match="1 of 3 scores") as caught:
        Case(np.array([0.25, broken, 1], np.float32), np.zeros(3, np.float32)).statistic()

    assert "0.25" not in str(caught.value)


@some
@given(cases())
def test_half_a_probability_is_an_edge_so_the_histogram_counts_there_exactly(case: Case) -> None:
    scores, truth = np.append(case.scores, [-1e-30, 0.0, 1e-30]), np.append(case.truth, [0, 1, 1])
    close = Case(scores.astype(np.float32), truth.astype(np.float32))

    assert close.metrics() == judge.metrics(BINARY, close.statistic(threshold=None), threshold=0.5)


@some
@given(cases())
def test_youdens_point_is_the_best_of_the_roc_to_one_bin(case: Case) -> None:
    found = case.metrics(threshold=None)
    false, true, _ = exact.roc_curve(case.truth, ranking.bins(np.clip(case.scores.astype(np.float64), -29, 29)))

    index = (found["sensitivity"] or 0.0) + (found["specificity"] or 0.0) - 1.0
    # Calling everybody, or nobody, is a point of every ROC but not of every histogram's inner edges.
    assert max((true - false)[1:-1], default=-1.0) - 1e-9 <= index <= max(true - false) + 1e-9


def test_of_equal_points_youden_takes_the_one_nearest_to_a_half() -> None:
    def point(*scores: float) -> float | None:
        return Case(np.array(scores, np.float32), np.array([0, 0, 1, 1], np.float32)).metrics(None)["threshold"]

    assert point(-5, -3, 2, 4) == 0.5
    assert near(point(-5, -3, -2, 4), float(expit(-2)), 0.01)
    assert near(point(-5, 3, 4, 5), float(expit(3)), 0.01)
    assert point(1, 1, 1, 1) == 0.5


def test_every_threshold_that_is_reported_names_the_same_edge_again() -> None:
    for edge in range(ranking.HALF - ranking.NAMED, ranking.HALF + ranking.NAMED + 1):
        assert ranking.edge_near(float(expit(ranking.logits_at(np.array(edge))))) == edge


def test_the_pooled_threshold_is_applied_at_each_site_to_the_same_edge() -> None:
    sites = [drawn(seed, 300, centre=seed - 3.0).statistic(threshold=None) for seed in range(3)]
    pooled = judge.metrics(BINARY, total(sites), threshold=None)
    local = [judge.metrics(BINARY, site, threshold=pooled["threshold"]) for site in sites]

    assert {found["threshold"] for found in local} == {pooled["threshold"]}
    assert near(pooled["accuracy"], sum(found["accuracy"] or 0.0 for found in local) / 3)


def test_sites_that_counted_at_different_thresholds_are_all_judged_at_the_nearest_edge() -> None:
    one, other = drawn(1, 300), drawn(2, 200)
    found = judge.metrics(BINARY, one.statistic(0.3) + other.statistic(0.4), threshold=0.3)
    expected = one.statistic(0.3) + other.statistic(0.3)

    assert near(found["threshold"], 0.3, 1e-3)
    assert near(found["accuracy"], judge.metrics(BINARY, expected, threshold=0.3)["accuracy"] or 0.0, 0.01)


def test_bins_rise_with_the_logit_and_their_middles_lie_inside() -> None:
    places = np.arange(ranking.BINS)
    middles = ranking.logits_at(places + 0.5)

    assert (ranking.bins(middles) == places).all()
    assert (ranking.bins(ranking.logits_at(places[1:])) >= places[1:] - 1).all()
    assert ranking.bins(np.array([-3e38, -1e-300, 0.0, 3e38])).tolist() == [0, 1023, 1024, 2047]
