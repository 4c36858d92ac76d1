"""Updates of whole sites: clipped whatever they are, and noise of the right size wherever it is added."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.learn.algorithms.fedavg import FedAvg
from medfl.learn.statistic import Statistic, total
from medfl.privacy.accountant import Mechanism, epsilon
from medfl.privacy.budget import between
from medfl.privacy.clipping import HALVES, NORM, Following, following
from medfl.privacy.updates import clipped, outgoing, shares_of, with_noise
from medfl.spec.privacy import DifferentialPrivacy

ROUNDS = 10
DRAW = np.random.default_rng(0)


def dp(**changes: Any) -> DifferentialPrivacy:
    return DifferentialPrivacy.model_validate({"unit": "site", "epsilon": 2.0, "clip_norm": 0.5, **changes})


def update(delta: np.ndarray, rows: float) -> Statistic:
    return Statistic({"delta": delta * rows, "weight": np.array(rows), "loss": np.array(0.3 * rows)})


def sent(one: Statistic, how: DifferentialPrivacy, seed: int = 0) -> Statistic:
    shares = () if how.within_sites else shares_of(how, rounds=ROUNDS, fewest=4, most=4)
    return outgoing(one, how, norm=0.5, shares=shares, noise=np.random.default_rng(seed))


def whole(how: DifferentialPrivacy) -> float:
    """Return the noise multiplier of the sum of a round."""
    return between(how, times=ROUNDS).noise_multiplier


@given(size=st.floats(1e-3, 1e6), rows=st.floats(1, 1e6))
def test_no_update_is_longer_than_the_clip_norm_and_none_counts_more_than_another(size: float, rows: float) -> None:
    delta = np.full(16, size / 4)
    found = sent(update(delta, rows), dp(noise="central"))
    assert float(np.linalg.norm(found["delta"])) <= 0.5 * (1 + 1e-12)
    assert found["weight"] == 1.0
    assert found["delta"] @ delta > 0


def test_a_short_update_stays_as_it_is() -> None:
    delta = np.array([0.1, -0.2])
    assert (clipped(delta, 0.5) == delta).all()


@pytest.mark.parametrize("how", [dp(), dp(noise="central"), dp(unit="record", noise=None)], ids=lambda one: one.unit)
def test_no_training_loss_leaves(how: DifferentialPrivacy) -> None:
    assert "loss" not in sent(update(np.ones(3), 5.0), how).arrays


def test_the_shares_of_the_fewest_sites_make_the_whole_noise() -> None:
    """Four sites each add a quarter of the variance: together what the accountant asks for, to two per cent."""
    zero = update(np.zeros(40_000), 10.0)
    summed = total([sent(zero, dp(), seed) for seed in range(4)])
    assert float(summed["delta"].std()) == pytest.approx(0.5 * whole(dp()), rel=0.02)


def test_a_trusted_hub_adds_the_same() -> None:
    how = dp(noise="central")
    summed = total([sent(update(np.zeros(40_000), 10.0), how) for _ in range(4)])
    assert not summed["delta"].any()
    noisy = with_noise(summed, norm=0.5, multiplier=whole(how), noise=np.random.default_rng(0))
    assert float(noisy["delta"].std()) == pytest.approx(0.5 * whole(how), rel=0.02)
    assert noisy["weight"] == 4.0


def test_the_noise_keeps_to_the_budget_over_all_rounds() -> None:
    noise = whole(dp())
    assert epsilon([Mechanism(noise, count=ROUNDS)], 1e-5) <= 2.0
    assert epsilon([Mechanism(0.99 * noise, count=ROUNDS)], 1e-5) > 2.0


def test_following_the_updates_costs_what_updates_alone_would() -> None:
    """Theorem 1: 1/z² = 1/z_Δ² + 1/(2σ_b)², for any noise z."""
    z = 1.7
    assert (1.05 * z) ** -2 + (2 * HALVES * z) ** -2 == pytest.approx(z**-2)
    how = dp(noise="central", clip_quantile=0.5)
    sums = [
        with_noise(sent(update(np.zeros(1000), 1.0), how), norm=0.5, multiplier=z, noise=np.random.default_rng(seed))
        for seed in range(400)
    ]
    assert float(np.std([one["delta"] for one in sums])) == pytest.approx(1.05 * z * 0.5, rel=0.02)
    assert float(np.std([one["short"] for one in sums])) == pytest.approx(HALVES * z, rel=0.1)


def test_the_clip_norm_finds_the_quantile_that_is_asked_for() -> None:
    """Lengths from 1 to 9, no noise: from far below, it comes to rest where half of them are shorter."""
    how = dp(noise="central", clip_quantile=0.5, clip_norm=0.1)
    rule = following(FedAvg(kind="fedavg"), how)
    assert isinstance(rule, Following)
    state = rule.init(np.zeros(4, np.float32), 9)
    for _ in range(80):
        norm = float(state.shared[NORM])
        deltas = [np.full(4, length / 2.0) for length in range(1, 10)]
        updates = [outgoing(update(each, 3.0), how, norm=norm, noise=DRAW) for each in deltas]
        state = rule.at_hub(state, total(updates))
    assert 4.5 < float(state.shared[NORM]) < 5.5


def test_a_fixed_clip_norm_leaves_the_rule_as_it_is() -> None:
    rule = FedAvg(kind="fedavg")
    assert following(rule, dp()) is rule
    assert following(rule, None) is rule
