"""How much privacy a list of mechanisms costs together, and how much noise a budget asks for.

Everything is added up by Google's dp-accounting: privacy loss distributions (Koskela et al. 2020; Doroshenko et al.
2022, "Connect the dots") or Rényi differential privacy (Mironov 2017) beside them. Nothing here is an approximation
that could promise too much: both are upper bounds.

Two tables are neighbours where one has a unit that the other lacks, its place left empty; so a mean over units may be
divided by their number, which counts as known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from medfl.errors import MissingExtraError, PlanError

Accountant = Literal["pld", "rdp"]

INTERVAL = 1e-3
"""Grid of the privacy loss: ε is right to about this much, from above, at a tenth of the time of 1e-4."""
ORDERS = (*range(2, 65), 80, 96, 128, 192, 256, 512, 1024)
"""Rényi orders that are tried; whole ones, at which sampling has a closed form."""
PRECISION = 1e-4
"""Relative error at which the search for the noise ends, at its safe side."""
NOISIEST, QUIETEST = 2.0**40, 2.0**-10
TINY = 1e-300


@dataclass(frozen=True, slots=True, order=True)
class Mechanism:
    """Something that was released so often, each time with fresh noise.

    Parameters
    ----------
    noise_multiplier
        Standard deviation of Gaussian noise (scale of Laplace noise) over the sensitivity.
    sample_rate
        Probability with which each unit takes part, independently each time (Poisson sampling).
    count
        How often.
    kind
        Which noise; sensitivity is measured in L2 for Gaussian noise, in L1 for Laplace noise.
    """

    noise_multiplier: float
    sample_rate: float = 1.0
    count: int = 1
    kind: Literal["gaussian", "laplace"] = "gaussian"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "kind": self.kind,
            "noise_multiplier": self.noise_multiplier,
            "sample_rate": self.sample_rate,
            "count": self.count,
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> Mechanism:
        """Return what :meth:`to_json` was called on."""
        return Mechanism(value["noise_multiplier"], value["sample_rate"], value["count"], value["kind"])


def epsilon(mechanisms: Iterable[Mechanism], delta: float, *, accountant: Accountant = "pld") -> float:
    """Return the least ε for which all of them together are (ε, δ)-differentially private, as far as can be proven.

    Parameters
    ----------
    mechanisms
        What was released, on the same units, each chosen by whoever knew what came before.
    delta
        Chance that the bound fails.
    accountant
        How it is added up.

    Returns
    -------
    float
        0 where nothing was released; infinity where some noise is 0.

    Raises
    ------
    MissingExtraError
        If dp-accounting is not installed.
    """
    together = gathered(mechanisms)
    if not together:
        return 0.0
    if any(one.noise_multiplier <= 0.0 for one in together):
        return math.inf
    return _epsilon(together, delta, accountant)


def gathered(mechanisms: Iterable[Mechanism]) -> tuple[Mechanism, ...]:
    """Return the same mechanisms with equal ones counted together, in one order, so that equal lists look alike."""
    counts: dict[tuple[float, float, Literal["gaussian", "laplace"]], int] = {}
    for one in mechanisms:
        key = (one.noise_multiplier, one.sample_rate, one.kind)
        counts[key] = counts.get(key, 0) + one.count
    return tuple(sorted(Mechanism(noise, rate, n, kind) for (noise, rate, kind), n in counts.items() if n > 0))


def solve(
    target: float,
    delta: float,
    *,
    sample_rate: float = 1.0,
    count: int = 1,
    beside: Sequence[Mechanism] = (),
    accountant: Accountant = "pld",
) -> float:
    """Return the least noise multiplier of a sampled Gaussian, released `count` times, that keeps to a budget.

    Parameters
    ----------
    target, delta
        The budget (ε, δ) of the whole.
    sample_rate, count
        Of the mechanism in question.
    beside
        What is released from the same units besides.
    accountant
        How it is added up.

    Raises
    ------
    PlanError
        If what is released besides leaves no budget.
    """
    return _solved(target, delta, (sample_rate, count), gathered(beside), accountant)


@lru_cache(maxsize=4096)
def _solved(
    target: float, delta: float, often: tuple[float, int], beside: tuple[Mechanism, ...], accountant: Accountant
) -> float:
    rate, count = often

    def cost(noise: float) -> float:
        return epsilon((*beside, Mechanism(noise, rate, count)), delta, accountant=accountant)

    start, factor = (1.0, 2.0) if accountant == "rdp" else _near(target, delta, often, beside)
    low, high = _bracket(target, cost, start, factor)

    # Both on a logarithmic scale, where ε is nearly a line.
    def excess(logarithm: float) -> float:
        return math.log(max(cost(math.exp(logarithm)), TINY) / target)

    # Here because it weighs 40 MB, which a site that waits for work need not hold.
    from scipy.optimize import brentq

    found = math.exp(brentq(excess, math.log(low), math.log(high), xtol=PRECISION, rtol=PRECISION))
    # A root is found from either side: the promise asks for the one with more noise.
    while cost(found) > target:
        found *= 1.0 + PRECISION
    return min(found, high)


def _near(target: float, delta: float, often: tuple[float, int], beside: tuple[Mechanism, ...]) -> tuple[float, float]:
    """Return where to begin, and in what steps: the Rényi bound is a tenth of the work, and its answer is near."""
    try:
        return _solved(target, delta, often, beside, "rdp"), 1.2
    except PlanError:
        return 1.0, 2.0  # The looser bound may see no way where there is one.


def _bracket(target: float, cost: Callable[[float], float], noise: float, factor: float) -> tuple[float, float]:
    """Return a noise that is too little and one that is enough, this factor apart."""
    if cost(noise) <= target:
        while noise > QUIETEST and cost(noise / factor) <= target:
            noise /= factor
        return noise / factor, noise
    while noise < NOISIEST:
        noise *= factor
        if cost(noise) <= target:
            return noise / factor, noise
    raise PlanError(
        "no noise is enough for this budget: what is released besides uses it up",
        where="[privacy.dp]",
        received=f"ε = {target:g}",
        remedy="raise epsilon, or lower statistics_share",
    )


@lru_cache(maxsize=4096)
def _epsilon(mechanisms: tuple[Mechanism, ...], delta: float, accountant: Accountant) -> float:
    library = _library()
    if accountant == "rdp":
        found = library.rdp.RdpAccountant(list(ORDERS))
    else:
        relation = library.NeighboringRelation.ADD_OR_REMOVE_ONE
        found = library.pld.PLDAccountant(relation, value_discretization_interval=INTERVAL)
    for one in mechanisms:
        found.compose(_event(one, library), one.count)
    return float(found.get_epsilon(delta))


def _event(one: Mechanism, library: Any) -> Any:
    noise = library.LaplaceDpEvent if one.kind == "laplace" else library.GaussianDpEvent
    event = noise(one.noise_multiplier)
    return event if one.sample_rate >= 1.0 else library.PoissonSampledDpEvent(one.sample_rate, event)


def _library() -> Any:
    try:
        import dp_accounting
        import dp_accounting.pld
        import dp_accounting.rdp
    except ImportError as error:
        raise MissingExtraError(
            "differential privacy needs the package dp-accounting, which is not installed",
            where="[privacy.dp]",
            remedy="pip install 'medfl[dp]'",
        ) from error
    return dp_accounting
