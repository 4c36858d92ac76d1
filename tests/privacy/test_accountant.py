"""The accountant says what dp-accounting says, and what closed forms say where there are any."""

from __future__ import annotations

import builtins
import math
from typing import Any

import dp_accounting
import pytest
from dp_accounting import pld, rdp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from medfl.errors import MissingExtraError, PlanError
from medfl.privacy import accountant
from medfl.privacy.accountant import INTERVAL, Mechanism, epsilon, gathered, solve

STEPS = (Mechanism(1.1, 0.1, 40), Mechanism(8.0))


def test_it_is_the_answer_of_dp_accounting() -> None:
    """The same events, put to Google's accountant directly on a grid ten times finer."""
    own = pld.PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE, value_discretization_interval=1e-4)
    own.compose(dp_accounting.PoissonSampledDpEvent(0.1, dp_accounting.GaussianDpEvent(1.1)), 40)
    own.compose(dp_accounting.GaussianDpEvent(8.0))
    exact = own.get_epsilon(1e-5)
    assert exact <= epsilon(STEPS, 1e-5) <= exact + 2 * INTERVAL


def test_the_renyi_bound_is_that_of_dp_accounting_and_looser() -> None:
    own = rdp.RdpAccountant(list(accountant.ORDERS))
    own.compose(dp_accounting.PoissonSampledDpEvent(0.1, dp_accounting.GaussianDpEvent(1.1)), 40)
    own.compose(dp_accounting.GaussianDpEvent(8.0))
    found = epsilon(STEPS, 1e-5, accountant="rdp")
    assert found == pytest.approx(own.get_epsilon(1e-5), rel=1e-9)
    assert found > epsilon(STEPS, 1e-5)


@pytest.mark.parametrize("noise", [0.7, 1.0, 3.0, 20.0])
@pytest.mark.parametrize("count", [1, 30])
def test_a_gaussian_costs_what_its_closed_form_says(noise: float, count: int) -> None:
    """Balle & Wang 2018, theorem 8: the analytic Gaussian mechanism; n of them are one with noise σ/√n."""
    found = epsilon([Mechanism(noise, count=count)], 1e-5)
    sigma = noise / math.sqrt(count)
    assert analytic_delta(sigma, found) <= 1e-5
    assert analytic_delta(sigma, found - 3 * INTERVAL) > 1e-5


def test_laplace_noise_costs_one_over_its_scale() -> None:
    assert epsilon([Mechanism(2.0, kind="laplace")], 1e-9) == pytest.approx(0.5, abs=2 * INTERVAL)


def test_nothing_costs_nothing_and_no_noise_costs_everything() -> None:
    assert epsilon([], 1e-5) == 0.0
    assert epsilon([Mechanism(0.0)], 1e-5) == math.inf


def test_equal_mechanisms_are_counted_together_in_any_order() -> None:
    one, other = Mechanism(2.0, 0.5, 3), Mechanism(1.0)
    assert gathered([one, other, one]) == gathered([other, Mechanism(2.0, 0.5, 6)])


@settings(max_examples=15, deadline=None)
@given(noise=st.floats(0.8, 8.0), rate=st.floats(0.01, 1.0), count=st.integers(1, 200), more=st.floats(1.05, 2.0))
def test_more_noise_costs_less_and_more_rows_or_steps_cost_more(
    noise: float, rate: float, count: int, more: float
) -> None:
    here = epsilon([Mechanism(noise, rate, count)], 1e-5)
    slack = 2 * INTERVAL
    assert epsilon([Mechanism(noise * more, rate, count)], 1e-5) <= here + slack
    assert epsilon([Mechanism(noise, min(1.0, rate * more), count)], 1e-5) >= here - slack
    assert epsilon([Mechanism(noise, rate, count + 10)], 1e-5) >= here - slack
    assert epsilon([Mechanism(noise, rate, count)], 1e-7) >= here - slack


@settings(max_examples=12, deadline=None)
@given(target=st.floats(0.3, 12.0), rate=st.sampled_from([0.02, 0.2, 1.0]), count=st.integers(1, 300))
def test_the_noise_that_is_solved_for_keeps_to_the_budget_and_no_more(target: float, rate: float, count: int) -> None:
    noise = solve(target, 1e-5, sample_rate=rate, count=count)
    assert epsilon([Mechanism(noise, rate, count)], 1e-5) <= target
    assert epsilon([Mechanism(noise * 0.99, rate, count)], 1e-5) > target


@pytest.mark.parametrize("target", [0.001, 0.05, 60.0])
def test_budgets_at_either_end_are_kept_too(target: float) -> None:
    for sampled, count in ((1.0, 1), (0.1, 200)):
        noise = solve(target, 1e-5, sample_rate=sampled, count=count)
        assert epsilon([Mechanism(noise, sampled, count)], 1e-5) <= target


def test_what_is_released_besides_leaves_less() -> None:
    beside = (Mechanism(6.0),)
    alone, shared = (solve(2.0, 1e-5, count=20, beside=other) for other in ((), beside))
    assert shared > alone
    assert epsilon([Mechanism(shared, count=20), *beside], 1e-5) <= 2.0


def test_what_the_looser_bound_sees_no_way_for_is_solved_all_the_same() -> None:
    beside = (Mechanism(solve(1.9, 1e-5)),)
    with pytest.raises(PlanError):
        solve(2.0, 1e-5, beside=beside, accountant="rdp")
    assert epsilon([Mechanism(solve(2.0, 1e-5, beside=beside)), *beside], 1e-5) <= 2.0


def test_a_budget_that_is_used_up_is_said_so() -> None:
    with pytest.raises(PlanError, match="no noise is enough"):
        solve(1.0, 1e-5, beside=(Mechanism(1.0),))


def test_without_the_package_the_line_to_type_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("dp_accounting"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'medfl\[dp\]'"):
        epsilon([Mechanism(1.2345)], 1e-5)


def analytic_delta(sigma: float, epsilon: float) -> float:
    """Return the δ of a Gaussian mechanism of sensitivity 1 (Balle & Wang 2018, equation 6)."""
    left = norm.cdf(0.5 / sigma - epsilon * sigma)
    return float(left - math.exp(epsilon) * norm.cdf(-0.5 / sigma - epsilon * sigma))
