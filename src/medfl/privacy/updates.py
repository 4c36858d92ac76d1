"""Updates as they leave under differential privacy, and the noise that hides whole sites in their sum.

McMahan et al. 2018, "Learning differentially private recurrent language models", algorithm 1, with a site in the place
of a user: each site's update is clipped and counts once, whatever its rows.
"""

from __future__ import annotations

import numpy as np

from medfl.learn.statistic import Array, Statistic
from medfl.privacy.budget import between
from medfl.spec.privacy import DifferentialPrivacy


def outgoing(
    update: Statistic, dp: DifferentialPrivacy, *, rounds: int, fewest: int | None, noise: np.random.Generator
) -> Statistic:
    """Return what leaves of a site's update: no training loss; where the unit is a site, clipped and with its noise.

    Parameters
    ----------
    update
        What the algorithm would send: ``delta`` times ``weight``, ``weight``, ``loss``.
    dp
        The study's differential privacy.
    rounds
        Rounds in which the site may be asked.
    fewest
        Sites that must answer for a round to count; each adds so many-th of the variance.
    noise
        Draws a site's share, where each adds its own.
    """
    kept = Statistic({name: array for name, array in update.arrays.items() if name != "loss"})
    if dp.within_sites:
        return kept
    delta = clipped(kept["delta"] / kept["weight"], dp.clip_norm)
    if not dp.at_hub:
        share = deviation(dp, times=rounds) / max(fewest or 1, 1) ** 0.5
        delta = delta + share * noise.standard_normal(delta.shape)
    return Statistic({"delta": delta, "weight": np.array(1.0)})


def clipped(delta: Array, most: float) -> Array:
    """Return an update scaled down to this Euclidean norm where it is longer."""
    norm = float(np.linalg.norm(delta))
    return delta if norm <= most else delta * (most / norm)


def with_noise(total: Statistic, dp: DifferentialPrivacy, *, times: int, noise: np.random.Generator) -> Statistic:
    """Return the sum of clipped updates with the whole noise, as a trusted hub adds it."""
    delta = total["delta"] + deviation(dp, times=times) * noise.standard_normal(total["delta"].shape)
    return Statistic({**total.arrays, "delta": delta})


def deviation(dp: DifferentialPrivacy, *, times: int) -> float:
    """Return the standard deviation of the noise in the sum of the sites' updates, for so many rounds."""
    return between(dp, times=times).noise_multiplier * dp.clip_norm
