"""FedAdagrad, FedYogi and FedAdam against Reddi et al. 2021, algorithm 2, written once more in plain Python."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medfl.learn.algorithms.fedadagrad import FedAdagrad
from medfl.learn.algorithms.fedadam import FedAdam
from medfl.learn.algorithms.fedyogi import FedYogi
from medfl.learn.averaging import AdaptiveServer
from medfl.learn.statistic import Statistic, total

RULES: list[AdaptiveServer] = [
    FedAdagrad(),
    FedAdagrad(beta1=0.5, server_learning_rate=0.3, tau=0.1),
    FedYogi(),
    FedYogi(beta1=0.3, beta2=0.4, tau=0.05, server_learning_rate=0.2),
    FedAdam(),
    FedAdam(beta1=0.3, beta2=0.4, tau=0.05, server_learning_rate=0.2),
]
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind} with tau {rule.tau}")


def second_moment(rule: AdaptiveServer, v: float, square: float) -> float:
    """Lines 12 to 14 of the paper's algorithm."""
    match rule:
        case FedAdagrad():
            return v + square
        case FedYogi():
            return v - (1 - rule.beta2) * square * ((v > square) - (v < square))
        case FedAdam():
            return rule.beta2 * v + (1 - rule.beta2) * square
    raise AssertionError(rule)


def algorithm_2(x: float, rounds: list[list[tuple[float, int]]], rule: AdaptiveServer) -> list[float]:
    """Return one coordinate of the weights after each round; a round is each site's (Δ, rows)."""
    m, v = 0.0, rule.tau**2
    path = []
    for sites in rounds:
        delta = sum(change * rows for change, rows in sites) / sum(rows for _, rows in sites)
        m = rule.beta1 * m + (1 - rule.beta1) * delta
        v = second_moment(rule, v, delta**2)
        x = x + rule.server_learning_rate * m / (sqrt(v) + rule.tau)
        path.append(x)
    return path


UPDATES = [
    [[(0.5, 30), (-0.25, 10)], [(-1.0, 30), (0.0, 10)], [(0.125, 30), (0.125, 10)]],
    [[(0.0, 30), (0.0, 10)], [(1e-4, 30), (3e-4, 10)], [(-20.0, 30), (5.0, 10)]],
]
"""Three rounds of two sites, for each of two coordinates."""
START = [1.0, -2.0]


@every_rule
def test_three_rounds_are_those_of_the_paper(rule: AdaptiveServer) -> None:
    expected = [algorithm_2(x, rounds, rule) for x, rounds in zip(START, UPDATES, strict=True)]
    state = rule.init(np.array(START, np.float32), 1)
    for number in range(3):
        state = rule.at_hub(state, _sent([rounds[number] for rounds in UPDATES]))
        np.testing.assert_allclose(state.weights, [path[number] for path in expected], rtol=2e-7 * (number + 1))


changes = st.floats(-10, 10).filter(lambda change: change == 0 or abs(change) > 1e-6)


@every_rule
@settings(max_examples=40, deadline=None)
@given(rounds=st.lists(st.lists(st.tuples(changes, st.integers(1, 500)), min_size=1, max_size=3), max_size=6))
def test_any_rounds_are_those_of_the_paper(rule: AdaptiveServer, rounds: list[list[tuple[float, int]]]) -> None:
    state = rule.init(np.array([0.25], np.float32), 1)
    for number, x in enumerate(algorithm_2(0.25, rounds, rule)):
        state = rule.at_hub(state, _sent([rounds[number]]))
        assert float(state.weights[0]) == pytest.approx(x, rel=1e-5, abs=1e-6)


@every_rule
def test_moments_start_at_rest_and_at_tau_squared(rule: AdaptiveServer) -> None:
    state = rule.init(np.zeros(3, np.float32), 1)
    assert state.kept["moment1"].tolist() == [0.0] * 3
    assert state.kept["moment2"].tolist() == [rule.tau**2] * 3


def test_defaults_are_those_that_are_documented() -> None:
    assert (FedAdagrad().beta1, FedAdagrad().tau, FedAdagrad().server_learning_rate) == (0.0, 1e-3, 0.1)
    for rule in (FedAdam(), FedYogi()):
        assert (rule.beta1, rule.beta2, rule.tau, rule.server_learning_rate) == (0.9, 0.999, 1e-3, 0.01)


def _sent(coordinates: list[list[tuple[float, int]]]) -> Statistic:
    """Return what the sites of one round send, added up; each coordinate lists every site's (Δ, rows)."""
    contributions = []
    for site in range(len(coordinates[0])):
        rows = coordinates[0][site][1]
        delta = np.array([by_site[site][0] for by_site in coordinates])
        arrays = {"delta": delta * rows, "loss": np.array(0.0), "weight": np.array(float(rows))}
        contributions.append(Statistic(arrays))
    return total(contributions)
