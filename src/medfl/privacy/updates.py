"""Updates as they leave under differential privacy, and the noise that hides whole sites in their sum.

McMahan et al. 2018, "Learning differentially private recurrent language models", algorithm 1, with a site in the place
of a user: each site's update is clipped and counts once, whatever its rows.
"""

from __future__ import annotations

import numpy as np

from medfl.learn.statistic import Array, Statistic
from medfl.privacy.budget import between
from medfl.privacy.clipping import DEARER, HALVES, SHORT
from medfl.spec.privacy import DifferentialPrivacy


def outgoing(
    update: Statistic, dp: DifferentialPrivacy, *, norm: float, share: float, noise: np.random.Generator
) -> Statistic:
    """Return what leaves of a site's update: no training loss; where the unit is a site, clipped and with its noise.

    Parameters
    ----------
    update
        What the algorithm would send: ``delta`` times ``weight``, ``weight``, ``loss``.
    dp
        The study's differential privacy.
    norm
        The clip norm of the round.
    share
        Noise multiplier of the noise that the site adds itself; 0 for none.
    noise
        Draws it.
    """
    kept = Statistic({name: array for name, array in update.arrays.items() if name != "loss"})
    if dp.within_sites:
        return kept
    delta = kept["delta"] / kept["weight"]
    arrays: dict[str, Array] = {"delta": clipped(delta, norm), "weight": np.array(1.0)}
    if dp.clip_quantile is not None:
        arrays[SHORT] = np.array(0.5 if np.linalg.norm(delta) <= norm else -0.5)
    return with_noise(Statistic(arrays), norm=norm, multiplier=share, noise=noise) if share else Statistic(arrays)


def share_of(dp: DifferentialPrivacy, *, rounds: int, fewest: int | None) -> float:
    """Return the noise multiplier of a site's own share, if so many sites must answer; 0 where the hub adds it all."""
    return 0.0 if dp.at_hub else between(dp, times=rounds).noise_multiplier / max(fewest or 1, 1) ** 0.5


def clipped(delta: Array, most: float) -> Array:
    """Return an update scaled down to this Euclidean norm where it is longer."""
    norm = float(np.linalg.norm(delta))
    return delta if norm <= most else delta * (most / norm)


def with_noise(sent: Statistic, *, norm: float, multiplier: float, noise: np.random.Generator) -> Statistic:
    """Return one clipped update, or a sum of several, with noise of this multiplier of the clip norm.

    Where the clip norm follows the updates, what is sent for that has noise of its own, and the update 5 % more.
    """
    arrays, dearer = dict(sent.arrays), DEARER if SHORT in sent.arrays else 1.0
    arrays["delta"] = arrays["delta"] + dearer * multiplier * norm * noise.standard_normal(arrays["delta"].shape)
    if SHORT in arrays:
        arrays[SHORT] = arrays[SHORT] + HALVES * multiplier * noise.standard_normal()
    return Statistic(arrays)
