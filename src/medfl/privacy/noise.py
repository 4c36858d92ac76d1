"""Noise that only a site can draw: a keyed stream instead of the run's seed, which everybody knows.

The stream is SHAKE-256 of a secret key and a counter. Whoever does not have the key cannot tell it from chance; whoever
has it draws the same again, so that a request that comes twice is answered twice the same.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

SUMMED = 4
"""Normal numbers that are added up for one."""
BLOCK = 1 << 12
"""Words of a block; each block has its own counter."""


class Keystream(np.random.Generator):
    """A generator whose uniform and normal numbers come from a key.

    Whatever else is drawn comes from a stream that is seeded by the key, and is no secret from a patient adversary.

    Parameters
    ----------
    key
        At least 128 bits that nobody else knows.
    """

    def __init__(self, key: bytes) -> None:
        super().__init__(np.random.PCG64(int.from_bytes(hashlib.sha256(b"other\x1f" + key).digest()[:16], "big")))
        self._key = key
        self._blocks = 0
        self._left = np.zeros(0, np.uint64)

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Return numbers between 0 and 1, of 52 bits."""
        return _given(self._uniform(_count(size)), size, dtype, out)

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Return standard normal numbers, each the sum of four halves by inversion.

        A single one would leave gaps among floating-point numbers that give it away (Mironov 2012); the sum of four
        leaves, in practice, none to go by (Holohan & Braghin 2021, section 4).
        """
        # In the middle of their cells, so that neither 0 nor 1 comes up.
        normal = ndtri(self._uniform(SUMMED * _count(size)) + 2.0**-53)
        return _given(normal.reshape(SUMMED, -1).sum(axis=0) / SUMMED**0.5, size, dtype, out)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """Return normal numbers of this mean and standard deviation."""
        return loc + scale * self.standard_normal(np.broadcast(loc, scale).shape or None if size is None else size)

    def _uniform(self, count: int) -> NDArray[np.float64]:
        parts, have = [self._left], len(self._left)
        while have < count:
            parts.append(self._block())
            have += BLOCK
        words = np.concatenate(parts)
        self._left = words[count:]
        return np.asarray((words[:count] >> np.uint64(12)) * 2.0**-52)

    def _block(self) -> NDArray[np.uint64]:
        body = hashlib.shake_256(b"noise\x1f" + self._key + self._blocks.to_bytes(8, "big")).digest(8 * BLOCK)
        self._blocks += 1
        return np.frombuffer(body, "<u8").astype(np.uint64)


def stream(secret: bytes, *names: str) -> Keystream:
    """Return the stream of a secret that belongs to these names; another name gives another one."""
    return Keystream(hmac.new(secret, "\x1f".join(names).encode(), hashlib.sha256).digest())


def simulated(seed: int, site: str) -> bytes:
    """Return what stands for a site's secret in a simulation, where there is nothing to hide and all must come again.

    It follows from the run's seed, so it protects nobody: a deployed site draws its own once and keeps it in a file.
    """
    return hashlib.sha256(f"a simulated site's secret\x1f{seed}\x1f{site}".encode()).digest()


def _count(size: Any) -> int:
    return 1 if size is None else int(np.prod(size))


def _given(flat: NDArray[np.float64], size: Any, dtype: Any, out: Any) -> Any:
    if size is None and out is None:
        return dtype(flat[0]) if callable(dtype) else flat.astype(dtype)[0]
    shaped = flat.reshape(size).astype(dtype, copy=False)
    if out is None:
        return shaped
    out[...] = shaped
    return out
