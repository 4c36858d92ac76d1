"""Updates as they leave under differential privacy, and the noise that hides whole sites in their sum.

McMahan et al. 2018, "Learning differentially private recurrent language models", algorithm 1, with a site in the place
of a user: each site's update is clipped and counts once, whatever its rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medfl.learn.statistic import Array, Statistic
from medfl.privacy.budget import between
from medfl.privacy.clipping import DEARER, HALVES, SHORT
from medfl.spec.privacy import DifferentialPrivacy


def outgoing(
    update: Statistic,
    dp: DifferentialPrivacy,
    *,
    norm: float,
    shares: Sequence[float] = (),
    noise: np.random.Generator,
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
    shares
        Noise multipliers of what the site adds itself, one draw after the other.
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
    sent = Statistic(arrays)
    for share in shares:
        sent = with_noise(sent, norm=norm, multiplier=share, noise=noise)
    return sent


def shares_of(dp: DifferentialPrivacy, *, rounds: int, fewest: int, most: int) -> tuple[float, ...]:
    """Return the noise multipliers of a site's own share, if `fewest` sites are in a sum at least.

    One sum may be asked for again with another such number, where bits did not fit. Two sizes of the same noise would
    give the sum without any: so the share for `most` sites comes first, and what each site less needs is another draw
    on top of it. Then the noisier of two answers is the other one with more noise, and tells nothing more.

    Parameters
    ----------
    dp, rounds
        The budget, and the rounds that it is for.
    fewest, most
        Sites in the sum at least, and the largest number that this may be in any attempt.

    Returns
    -------
    tuple[float, ...]
        Their squares add up to σ² / fewest; none where the hub adds all noise.
    """
    if dp.at_hub:
        return ()
    whole = between(dp, times=rounds).noise_multiplier
    further = (whole * (1.0 / few - 1.0 / (few + 1)) ** 0.5 for few in range(most - 1, fewest - 1, -1))
    return (whole / most**0.5, *further)


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
