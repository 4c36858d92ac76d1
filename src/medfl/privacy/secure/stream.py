"""Seeds and what grows from them: one secret, many names, streams that look like chance.

A seed is 16 numbers below the prime 65 521, so that it can be dealt out in shares; at least 240 of its 256 bits are
unknown to whoever does not have the secret behind it.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TypeAlias

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from numpy.typing import NDArray

PRIME = 65_521
"""The largest prime of 16 bits."""
LIMBS = 16
"""Numbers of a seed."""
Seed: TypeAlias = NDArray[np.uint16]
"""Shape (16,), each below :data:`PRIME`."""
Ring: TypeAlias = NDArray[np.uint64]
"""Integers modulo 2⁶⁴, little-endian."""
_ZEROS = bytes(2**16)


def worded(*words: str | bytes) -> bytes:
    """Return words as bytes that no other words give: each with its length before it."""
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def derived(secret: bytes, *words: str | bytes) -> bytes:
    """Return 32 bytes for a name (HKDF-Expand with SHA-256, RFC 5869, section 2.3).

    Parameters
    ----------
    secret
        32 bytes, uniform.
    words
        What the bytes are for; other words give unrelated bytes.
    """
    return HKDFExpand(SHA256(), 32, worded(*words)).derive(secret)


def extracted(shared: bytes) -> bytes:
    """Return 32 uniform bytes from what two X25519 keys agreed on (HKDF-Extract, RFC 5869, section 2.2)."""
    return hmac.digest(b"medfl secure pair", shared, "sha256")


def seed(secret: bytes, *words: str | bytes) -> Seed:
    """Return the seed of a name."""
    numbers = np.frombuffer(derived(secret, *words), "<u2")
    return (numbers % PRIME).astype("<u2")


def committed(grown: Seed) -> bytes:
    """Return 16 bytes by which a seed is recognised and not found."""
    return hashlib.sha256(b"medfl secure commitment" + grown.tobytes()).digest()[:16]


def add_stream(total: Ring, grown: Seed, *, negative: bool = False) -> None:
    """Add a seed's stream (AES-256 in counter mode) to a vector in place, or take it away.

    Parameters
    ----------
    total
        Shape (entries,), little-endian.
    grown
        The seed; its stream is used once.
    negative
        Whether to take away.
    """
    stream = Cipher(algorithms.AES(_key(grown)), modes.CTR(bytes(16))).encryptor()
    change = np.subtract if negative else np.add
    # In pieces that stay in the processor's cache.
    for start in range(0, total.size, len(_ZEROS) // 8):
        piece = total[start : start + len(_ZEROS) // 8]
        change(piece, np.frombuffer(stream.update(_ZEROS[: piece.nbytes]), "<u8"), out=piece)


def uniform(secret: bytes, size: int) -> NDArray[np.uint16]:
    """Return numbers below :data:`PRIME`, each as likely as any other, from the stream of 32 secret bytes."""
    stream = Cipher(algorithms.AES(secret), modes.CTR(bytes(16))).encryptor()
    drawn = np.zeros(0, "<u2")
    while drawn.size < size:
        # One number in 4 000 is too large and is left out.
        more = np.frombuffer(stream.update(bytes(2 * (size - drawn.size + size // 1000 + 16))), "<u2")
        drawn = np.concatenate([drawn, more[more < PRIME]])
    return drawn[:size]


def _key(grown: Seed) -> bytes:
    return hashlib.sha256(b"medfl secure stream" + grown.tobytes()).digest()
