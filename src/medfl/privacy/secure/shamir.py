"""Shares of seeds: any quorum of holders can put a seed together, fewer know nothing of it (Shamir 1979).

A seed's 16 numbers are shared one by one in the field of 65 521 elements: small enough that a product of matrices in
double precision is exact (products stay below 2³², sums of fewer than 2²⁰ of them below 2⁵²), so that thousands of
shares cost one call of the linear algebra.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medfl.privacy.secure.stream import LIMBS, PRIME, Seed, uniform


def dealt(seeds: Seed, secret: bytes, *, holders: int, quorum: int) -> Seed:
    """Return every holder's share of every seed.

    Parameters
    ----------
    seeds
        Shape (seeds, 16).
    secret
        32 bytes that the polynomials' other coefficients are drawn from; the same secret is never used for other seeds.
    holders
        How many shares there are. Holder number i, from 0, has the polynomials' values at i + 1.
    quorum
        How many of them put a seed together.

    Returns
    -------
    Seed
        Shape (holders, seeds, 16).
    """
    free = uniform(secret, (quorum - 1) * seeds.size).reshape(quorum - 1, seeds.size)
    coefficients = np.concatenate([seeds.reshape(1, -1), free]).astype(np.float64)
    shares = _powers(holders, quorum) @ coefficients % PRIME
    return shares.astype("<u2").reshape(holders, *seeds.shape)


def weights(places: Sequence[int]) -> np.ndarray:
    """Return what each of these holders' shares counts where a seed is put together, shape (holders,)."""
    points = [place + 1 for place in places]
    factors = []
    for mine in points:
        above = below = 1
        for other in points:
            if other != mine:
                above = above * other % PRIME
                below = below * (other - mine) % PRIME
        factors.append(above * pow(below, -1, PRIME) % PRIME)
    return np.array(factors, np.float64)


def together(shares: Seed, factors: np.ndarray) -> Seed:
    """Return the seeds of which these are shares.

    Parameters
    ----------
    shares
        Shape (holders, seeds, 16), of exactly a quorum of holders.
    factors
        :func:`weights` of the same holders, in the same order.
    """
    flat = shares.reshape(len(shares), -1).astype(np.float64)
    return (factors @ flat % PRIME).astype("<u2").reshape(-1, LIMBS)


def _powers(holders: int, quorum: int) -> np.ndarray:
    """Return the powers 0 to quorum − 1 of the points 1 to holders, in the field, shape (holders, quorum)."""
    points = np.arange(1, holders + 1, dtype=np.int64)
    powers = np.ones((holders, quorum), np.int64)
    for degree in range(1, quorum):
        powers[:, degree] = powers[:, degree - 1] * points % PRIME
    return powers.astype(np.float64)
