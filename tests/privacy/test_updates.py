"""Updates of whole sites: clipped whatever they are, and noise of the right size wherever it is added."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.learn.statistic import Statistic, total
from medfl.privacy.accountant import Mechanism, epsilon
from medfl.privacy.updates import clipped, deviation, outgoing, with_noise
from medfl.spec.privacy import DifferentialPrivacy

ROUNDS = 10


def dp(**changes: Any) -> DifferentialPrivacy:
    return DifferentialPrivacy.model_validate({"unit": "site", "epsilon": 2.0, "clip_norm": 0.5, **changes})


def update(delta: np.ndarray, rows: float) -> Statistic:
    return Statistic({"delta": delta * rows, "weight": np.array(rows), "loss": np.array(0.3 * rows)})


def sent(one: Statistic, how: DifferentialPrivacy, seed: int = 0) -> Statistic:
    return outgoing(one, how, rounds=ROUNDS, fewest=4, noise=np.random.default_rng(seed))


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
    asked = deviation(dp(), times=ROUNDS)
    assert float(summed["delta"].std()) == pytest.approx(asked, rel=0.02)


def test_a_trusted_hub_adds_the_same() -> None:
    how = dp(noise="central")
    summed = total([sent(update(np.zeros(40_000), 10.0), how) for _ in range(4)])
    assert not summed["delta"].any()
    noisy = with_noise(summed, how, times=ROUNDS, noise=np.random.default_rng(0))
    assert float(noisy["delta"].std()) == pytest.approx(deviation(how, times=ROUNDS), rel=0.02)
    assert noisy["weight"] == 4.0


def test_the_noise_keeps_to_the_budget_over_all_rounds() -> None:
    noise = deviation(dp(), times=ROUNDS) / 0.5
    assert epsilon([Mechanism(noise, count=ROUNDS)], 1e-5) <= 2.0
    assert epsilon([Mechanism(0.99 * noise, count=ROUNDS)], 1e-5) > 2.0
