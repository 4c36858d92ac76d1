"""What an attack on a trained model proves about its privacy: lower bounds on ε, with a stated confidence.

An accountant says that a training is (ε, δ)-private at worst. An attack that succeeds more often than any such training
would let it says that it is not. So a bound from here above the accountant's ε is a bug, with the confidence stated; a
bound far below it says little: the attack may have been a weak one.

Scores are higher the more an attacker believes that something was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom

Doubles = NDArray[np.float64]
Marks = NDArray[np.bool_]

LARGEST = 50.0
"""No ε above this is asked for: more evidence than any audit has."""


@dataclass(frozen=True, slots=True)
class Guesses:
    """How an attacker did who had to tell which canaries were trained on.

    Parameters
    ----------
    canaries
        Rows of which each was trained on or not by a fair coin of its own.
    made
        Canaries the attacker made a guess on; on the others it abstained.
    right
        Guesses that were right.
    """

    canaries: int
    made: int
    right: int

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.made <= self.canaries:
            raise ValueError(
                f"of {self.canaries} canaries {self.made} were guessed and {self.right} right: that cannot be"
            )


def guessed(scores: Doubles, included: Marks, *, made: int) -> Guesses:
    """Guess that those of the highest scores were trained on and those of the lowest were not, half of each.

    Steinke, Nasr & Jagielski 2023, "Privacy Auditing with One (1) Training Run", algorithm 1. How many guesses are made
    must be fixed before the result is seen.

    Parameters
    ----------
    scores, included
        Of each canary: the attacker's score, and whether it was trained on; shape (canaries,).
    made
        Guesses to make.
    """
    order = np.argsort(scores, kind="stable")
    lowest, highest = order[: made // 2], order[len(order) - (made - made // 2) :]
    right = np.count_nonzero(~included[lowest]) + np.count_nonzero(included[highest])
    return Guesses(len(scores), made, int(right))


def one_run_bound(guesses: Guesses, *, delta: float, confidence: float = 0.95) -> float:
    """Return the largest ε that the guesses refute: the training is not (ε, δ)-private for any smaller one.

    Steinke, Nasr & Jagielski 2023, theorem 5.2. 0 where they refute nothing.

    Parameters
    ----------
    guesses
        From one trained model.
    delta
        The δ that the training claims.
    confidence
        Probability that a training that keeps its promise is not accused.
    """
    if guesses.made == 0 or _chance_of(guesses, 0.0, delta) >= 1.0 - confidence:
        return 0.0
    low, high = 0.0, LARGEST
    while high - low > 1e-6:
        middle = (low + high) / 2.0
        low, high = (middle, high) if _chance_of(guesses, middle, delta) < 1.0 - confidence else (low, middle)
    return low


def two_world_bound(
    inside: Doubles, outside: Doubles, *, threshold: float, delta: float, confidence: float = 0.95
) -> float:
    """Return the largest ε that an attack by a threshold refutes.

    Jagielski, Ullman & Oprea 2020, "Auditing Differentially Private Machine Learning", section 4: an (ε, δ)-private
    training holds P(say "in" | in) ≤ e^ε P(say "in" | out) + δ, and the same for "out". Both rates are bounded by
    Clopper and Pearson. Scores must be independent of each other, each from a training of its own (or a canary that the
    others do not disturb), and the threshold chosen on others.

    Parameters
    ----------
    inside, outside
        Scores where the canary was trained on, and where it was not.
    threshold
        The attacker says "in" above it.
    delta
        The δ that the training claims.
    confidence
        Probability that a training that keeps its promise is not accused.
    """
    doubt = (1.0 - confidence) / 4.0  # four bounds, of two inequalities
    caught, alarms = int(np.count_nonzero(inside > threshold)), int(np.count_nonzero(outside > threshold))
    bounds = [
        _ratio(_at_least(caught, len(inside), doubt) - delta, _at_most(alarms, len(outside), doubt)),
        _ratio(
            _at_least(len(outside) - alarms, len(outside), doubt) - delta,
            _at_most(len(inside) - caught, len(inside), doubt),
        ),
    ]
    return max(0.0, *bounds)


def best_threshold(inside: Doubles, outside: Doubles) -> float:
    """Return the threshold that proves most about these scores; it is to be used on *others*, or it proves nothing."""
    candidates = np.quantile(np.concatenate([inside, outside]), np.linspace(0.02, 0.98, 49))
    bounds = [two_world_bound(inside, outside, threshold=float(each), delta=0.0) for each in candidates]
    return float(candidates[int(np.argmax(bounds))])


def _chance_of(guesses: Guesses, epsilon: float, delta: float) -> float:
    """Return at most how probable so many right guesses are against an (ε, δ)-private training.

    Without δ each guess is right with probability e^ε / (e^ε + 1) at most, as in randomised response, and they are no
    more often right together than if they were independent (theorem 5.1). δ adds 2 m δ max_i P[v − i ≤ W < v] / i.
    """
    right, made = guesses.right, guesses.made
    each = 1.0 / (1.0 + np.exp(-epsilon))
    tail = float(binom.sf(right - 1, made, each))
    if delta == 0.0 or right == 0:
        return min(1.0, tail)
    steps = np.arange(1, right + 1)
    below = binom.cdf(right - 1, made, each) - binom.cdf(right - 1 - steps, made, each)
    return min(1.0, tail + 2.0 * guesses.canaries * delta * float(np.max(below / steps)))


def _ratio(over: float, under: float) -> float:
    if over <= 0.0:
        return 0.0
    return log(over / under) if under > 0.0 else inf


def _at_least(hits: int, trials: int, doubt: float) -> float:
    return 0.0 if hits == 0 else float(beta.ppf(doubt, hits, trials - hits + 1))


def _at_most(hits: int, trials: int, doubt: float) -> float:
    return 1.0 if hits == trials else float(beta.ppf(1.0 - doubt, hits + 1, trials - hits))
