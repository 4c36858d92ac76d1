"""Robust rules against plain Python that tries everything, SciPy's minimiser, and each other."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean, median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from medfl.errors import PlanError
from medfl.learn.algorithms.bulyan import Bulyan
from medfl.learn.algorithms.fedavg import FedAvg
from medfl.learn.algorithms.fedmedian import FedMedian
from medfl.learn.algorithms.krum import Krum
from medfl.learn.algorithms.multi_krum import MultiKrum
from medfl.learn.algorithms.rfa import RFA
from medfl.learn.algorithms.trimmed_mean import TrimmedMean
from medfl.learn.robust import Robust
from medfl.testing.algorithm_contract import ROWS
from medfl.testing.scripted import Answer, answered

Vector = list[float]


def updates(sites: int, size: int, *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(sites, size))


def combined(rule: Robust, changes: np.ndarray, rows: list[int] | None = None) -> np.ndarray:
    return rule.combined(changes, np.array(rows or [1] * len(changes), np.float64))


def score(sites: list[Vector], place: int, byzantine: int) -> float:
    """Return Krum's score: the least sum of squared distances to n − f − 2 others, of all ways to choose them."""
    away = [
        sum((a - b) ** 2 for a, b in zip(sites[place], other, strict=True))
        for number, other in enumerate(sites)
        if number != place
    ]
    return min((sum(chosen) for chosen in combinations(away, max(1, len(sites) - byzantine - 2))), default=0.0)


def krum_by_trying(sites: list[Vector], byzantine: int) -> int:
    return min(range(len(sites)), key=lambda place: score(sites, place, byzantine))


def bulyan_by_trying(sites: list[Vector], byzantine: int) -> Vector:
    left = list(sites)
    picked: list[Vector] = []
    while len(picked) < len(sites) - 2 * byzantine:
        picked.append(left.pop(krum_by_trying(left, byzantine)))
    near = len(picked) - 2 * byzantine
    middle = []
    for values in zip(*picked, strict=True):
        centre = median(values)
        closest = min(combinations(values, near), key=lambda some: sum(abs(one - centre) for one in some))
        middle.append(fmean(closest))
    return middle


@pytest.mark.parametrize(("sites", "byzantine"), [(3, 0), (5, 1), (8, 2), (9, 3)])
def test_krum_is_what_trying_everything_gives(sites: int, byzantine: int) -> None:
    for seed in range(20):
        changes = updates(sites, 4, seed=seed)
        best = krum_by_trying(changes.tolist(), byzantine)
        assert combined(Krum(byzantine=byzantine), changes).tolist() == changes[best].tolist()


@pytest.mark.parametrize(("sites", "byzantine", "keep"), [(5, 1, None), (8, 2, 3), (9, 3, 9)])
def test_multi_krum_averages_the_best_scores(sites: int, byzantine: int, keep: int | None) -> None:
    for seed in range(20):
        changes = updates(sites, 4, seed=seed)
        order = sorted(range(sites), key=lambda place: score(changes.tolist(), place, byzantine))
        best = changes[order[: keep or sites - byzantine]]
        ours = combined(MultiKrum(byzantine=byzantine, keep=keep), changes)
        np.testing.assert_allclose(ours, best.mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize(("sites", "byzantine"), [(3, 0), (7, 1), (8, 1), (11, 2)])
def test_bulyan_is_what_trying_everything_gives(sites: int, byzantine: int) -> None:
    for seed in range(10):
        changes = updates(sites, 3, seed=seed)
        expected = bulyan_by_trying(changes.tolist(), byzantine)
        np.testing.assert_allclose(combined(Bulyan(byzantine=byzantine), changes), expected, rtol=1e-12)


def test_of_equal_scores_krum_takes_the_first_site() -> None:
    changes = np.array([[1.0], [0.0], [0.0], [1.0], [1.0], [0.0]])
    assert combined(Krum(byzantine=1), changes).tolist() == [1.0]


@pytest.mark.parametrize("trim", [0.0, 0.1, 0.25, 0.4])
def test_the_trimmed_mean_is_scipys(trim: float) -> None:
    for sites in (5, 8, 20):
        changes = updates(sites, 6, seed=sites)
        cut = int(np.ceil(trim * sites - 1e-9))
        if 2 * cut < sites:
            # SciPy rounds down: a share in the middle of two whole counts is ours.
            expected = stats.trim_mean(changes, (cut + 1e-6) / sites, axis=0)
            np.testing.assert_allclose(combined(TrimmedMean(trim=trim), changes), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_rfa_finds_what_scipys_minimiser_finds(seed: int) -> None:
    changes = updates(9, 3, seed=seed)
    rows = [int(count) for count in np.random.default_rng(seed).integers(1, 50, 9)]
    shares = np.array(rows) / sum(rows)

    def distance(place: np.ndarray) -> float:
        return float(shares @ np.linalg.norm(changes - place, axis=1))

    rule = RFA(tolerance=0.0, iterations=5000)
    best = optimize.minimize(
        distance, changes.mean(axis=0), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 5000}
    )
    ours = combined(rule, changes, rows)
    assert distance(ours) <= best.fun + 1e-6
    np.testing.assert_allclose(ours, best.x, atol=1e-3)


def test_rfas_settings_do_what_they_say() -> None:
    """One iteration is the formula by hand; a great smoothing gives the mean; a great tolerance stops at once."""
    changes, rows = updates(5, 3, seed=1), [1, 2, 3, 4, 5]
    shares = np.array(rows) / 15
    mean = shares @ changes
    pull = shares / np.maximum(1e-6, np.linalg.norm(changes - np.median(changes, axis=0), axis=1))
    once = pull @ changes / pull.sum()
    np.testing.assert_allclose(combined(RFA(iterations=1), changes, rows), once, rtol=1e-12)
    np.testing.assert_allclose(combined(RFA(tolerance=0.999), changes, rows), once, rtol=1e-12)
    np.testing.assert_allclose(combined(RFA(smoothing=1e6), changes, rows), mean, rtol=1e-9)
    assert np.abs(combined(RFA(), changes, rows) - once).max() > 1e-4


def test_a_median_of_one_line_is_the_middle_one_for_all_medians() -> None:
    line = np.array([[0.0], [1.0], [2.0], [7.0], [9.0]])
    assert combined(FedMedian(), line).tolist() == [2.0]
    np.testing.assert_allclose(combined(RFA(iterations=10_000, tolerance=0.0), line), [2.0], atol=1e-3)


changes_of_sites = st.lists(st.lists(st.floats(-10, 10, width=32), min_size=3, max_size=3), min_size=1, max_size=8)


@settings(deadline=None)
@given(changes_of_sites, st.integers(1, 50))
def test_without_trimming_it_is_fedavg_with_equal_rows(changes: list[Vector], rows: int) -> None:
    answers = [Answer(np.array(change, np.float32), rows) for change in changes]
    start = np.zeros(3, np.float32)
    plain, trimmed = (
        answered(rule, rule.init(start, len(answers)), answers).weights for rule in (FedAvg(), TrimmedMean(trim=0.0))
    )
    np.testing.assert_allclose(trimmed, plain, rtol=1e-6, atol=1e-6)


RULES: list[Robust] = [
    FedMedian(), TrimmedMean(trim=0.2), Krum(), MultiKrum(), Bulyan(), RFA(),
]  # fmt: skip
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)


@every_rule
@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(-1e9, 1e9, width=32).filter(lambda value: abs(value) > 300))
def test_one_site_of_seven_cannot_carry_the_others_away(rule: Robust, seed: int, lie: float) -> None:
    """Whatever one site sends, the result stays as near to the honest as they are to each other."""
    changes = updates(7, 3, seed=seed)
    reach = np.abs(changes[1:]).max()
    changes[0] = lie
    assert np.abs(combined(rule, changes)).max() <= 4 * reach
    assert np.abs(changes.mean(axis=0)).max() > 4 * reach, "a plain mean is carried away"


@every_rule
def test_what_is_not_finite_counts_as_not_sent(rule: Robust) -> None:
    draw = np.random.default_rng(3)
    sound = [Answer(draw.normal(size=4).astype(np.float32), 10) for _ in range(7)]
    state = rule.init(np.zeros(4, np.float32), 8)
    broken = Answer(np.array([np.nan, np.inf, 0, 0], np.float32), 10)
    expected = answered(rule, state, sound).weights
    assert answered(rule, state, [*sound[:3], broken, *sound[3:]]).weights.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("rule", "sites", "what", "remedy"),
    [
        (Krum(byzantine=2), 6, "krum with byzantine = 2 needs 7 contributions", "set byzantine to 1 at most"),
        (MultiKrum(byzantine=1), 4, "multi-krum with byzantine = 1 needs 5", "set byzantine to 0 at most"),
        (MultiKrum(byzantine=0, keep=5), 4, "keep = 5 averages more contributions", "set keep to 4 or less"),
        (Bulyan(byzantine=1), 6, "bulyan with byzantine = 1 needs 7", "set byzantine to 0 at most"),
        (Krum(byzantine=1), 2, "needs 5 contributions", "choose fedmedian"),
        (TrimmedMean(trim=0.4), 2, "leaves out 1 of 2 contributions at either end", "lower trim"),
    ],
)
def test_too_few_sites_are_a_sentence(rule: Robust, sites: int, what: str, remedy: str) -> None:
    answers = [Answer(np.ones(2, np.float32), 1)] * sites
    with pytest.raises(PlanError) as refused:
        answered(rule, rule.init(np.zeros(2, np.float32), sites), answers)
    (complaint,) = refused.value.complaints
    assert what in complaint.what
    assert remedy in complaint.remedy
    assert complaint.received == f"{sites} contributions that can be used"


@every_rule
def test_as_many_as_the_paper_asks_for_will_do(rule: Robust) -> None:
    fewest = {"krum": 5, "multi-krum": 5, "bulyan": 7}.get(rule.kind, 1)
    assert rule.shortfall(fewest) is None or rule.kind == "trimmed-mean"
    if fewest > 1:
        assert rule.shortfall(fewest - 1) is not None


def test_the_contracts_sites_are_enough_for_every_rule() -> None:
    assert all(rule.shortfall(len(ROWS)) is None for rule in RULES)
