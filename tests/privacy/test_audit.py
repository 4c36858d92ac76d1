"""The audit's arithmetic: closed forms, and how often it accuses a mechanism whose ε is known."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest

from medfl.privacy.audit import Guesses, best_threshold, guessed, one_run_bound, two_world_bound


@pytest.mark.parametrize("count", [10, 100, 1000])
def test_guesses_that_are_all_right(count: int) -> None:
    """P(all right) = p^r = 5 %, so that ε is the log odds of 0.05^(1/r)."""
    p = 0.05 ** (1 / count)
    assert one_run_bound(Guesses(count, count, count), delta=0.0) == pytest.approx(log(p / (1 - p)), abs=1e-4)


def test_guesses_no_better_than_coins_prove_nothing() -> None:
    assert one_run_bound(Guesses(1000, 200, 104), delta=0.0) == 0.0
    assert one_run_bound(Guesses(1000, 0, 0), delta=0.0) == 0.0
    assert one_run_bound(Guesses(1000, 200, 0), delta=1e-5) == 0.0


def test_delta_weakens_what_is_proved_and_more_right_guesses_strengthen_it() -> None:
    bounds = [one_run_bound(Guesses(1000, 200, 170), delta=delta) for delta in (0.0, 1e-6, 1e-5, 1e-4, 1e-3)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] - bounds[2] < 0.1
    assert bounds[-1] < bounds[0] - 0.3
    more = [one_run_bound(Guesses(1000, 200, right), delta=1e-5) for right in range(110, 201, 10)]
    assert more == sorted(more)
    assert one_run_bound(Guesses(1000, 200, 170), delta=1e-5, confidence=0.999) < bounds[2]


def test_delta_enters_as_the_theorem_says() -> None:
    """Theorem 5.2 written out for a case small enough to add up by hand."""
    right, made, canaries, delta, epsilon = 9, 10, 20, 0.004, 0.5
    p = 1 / (1 + exp(-epsilon))
    chances = [_binomial(made, k, p) for k in range(made + 1)]
    alpha = max(2 / i * sum(chances[right - i : right]) for i in range(1, right + 1))
    level = sum(chances[right:]) + alpha * canaries * delta
    bound = one_run_bound(Guesses(canaries, made, right), delta=delta, confidence=1 - level)
    assert bound == pytest.approx(epsilon, abs=1e-4)


def _binomial(trials: int, hits: int, p: float) -> float:
    from math import comb

    return comb(trials, hits) * p**hits * (1 - p) ** (trials - hits)


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_randomised_response_is_seldom_accused_and_nearly_found_out(epsilon: float) -> None:
    """The worst mechanism of this ε: bits told truly with probability e^ε / (e^ε + 1)."""
    draw, bounds = np.random.default_rng(1), []
    for _ in range(400):
        included = draw.random(500) < 0.5
        truly = draw.random(500) < 1 / (1 + exp(-epsilon))
        said = np.where(truly, included, ~included)
        guesses = guessed(said + 1e-3 * draw.random(500), included, made=300)
        bounds.append(one_run_bound(guesses, delta=0.0))
    accused = np.mean(np.array(bounds) > epsilon)
    assert accused <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert np.median(bounds) > epsilon - 0.5


def test_the_gaussian_mechanism_is_seldom_accused_by_a_threshold() -> None:
    """N(0, 1) against N(1, 1): ε = 4.38 at δ = 10⁻⁵ (Balle & Wang 2018, theorem 8)."""
    draw, bounds = np.random.default_rng(2), []
    for _ in range(200):
        inside, outside = draw.normal(1, 1, 2000), draw.normal(0, 1, 2000)
        threshold = best_threshold(inside[:1000], outside[:1000])
        bounds.append(two_world_bound(inside[1000:], outside[1000:], threshold=threshold, delta=1e-5))
    assert max(bounds) < 4.38
    assert np.median(bounds) > 1.0


def test_both_sides_of_a_threshold_count() -> None:
    """An attack that is only sure of who was *not* there proves as much."""
    inside, outside = np.ones(1000), np.where(np.arange(1000) < 500, 0.0, 1.0)
    one, other = (two_world_bound(inside, outside, threshold=t, delta=0.0) for t in (0.5, 2.0))
    assert one > 4.0
    assert other == 0.0
    mirrored = two_world_bound(1 - outside, 1 - inside, threshold=0.5, delta=0.0)
    assert mirrored == pytest.approx(one, rel=1e-9)


def test_scores_of_no_use_prove_nothing() -> None:
    draw = np.random.default_rng(3)
    assert two_world_bound(draw.normal(size=500), draw.normal(size=500), threshold=0.0, delta=0.0) < 0.3
    assert two_world_bound(np.zeros(0), np.zeros(0), threshold=0.0, delta=0.0) == 0.0


def test_numbers_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="of 10 canaries 20 were guessed"):
        Guesses(10, 20, 5)
    with pytest.raises(ValueError, match="21 right"):
        Guesses(30, 20, 21)


def test_an_odd_number_of_guesses() -> None:
    included = np.array([True, False, True, False])
    assert guessed(np.array([4.0, 1.0, 3.0, 2.0]), included, made=3) == Guesses(4, 3, 3)
