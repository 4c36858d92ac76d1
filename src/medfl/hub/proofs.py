"""How the hub knows that a call of Flower's comes from an enrolled site, and was not recorded and sent once more.

A node signs the moment of each call (ECDSA with SHA-256 over its text). Flower takes the same moment again for five
minutes, so that whoever has seen a call's head could make others in the site's name: here each is good once.
"""

from __future__ import annotations

from base64 import b64decode
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import monotonic

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from medfl.errors import RefusedError

KEY, MOMENT, SIGNATURE = "flwr-public-key", "flwr-timestamp", "flwr-signature"
"""Where a call says whose it is, when it was made, and proves both."""
HELD = 330.0
"""Seconds for which Flower takes a moment, and some more: so long it is remembered that it was used."""


class Proofs:
    """Looks at the heads of calls.

    Parameters
    ----------
    clock
        Tells seconds, from anywhere on.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._used: set[tuple[str, str]] = set()
        self._order: deque[tuple[float, tuple[str, str]]] = deque()
        self._keys: dict[bytes, EllipticCurvePublicKey] = {}

    def require(self, headers: Mapping[str, str], sites: Mapping[bytes, str]) -> str:
        """Return the name of the site that makes a call.

        Parameters
        ----------
        headers
            The call's.
        sites
            The name of each enrolled site, by the public key of its node, PEM.

        Raises
        ------
        RefusedError
            If the key is none of these, the signature is not the key's, or the moment was used before.
        """
        key, moment = _bytes(headers.get(KEY, "")), headers.get(MOMENT, "")
        site = sites.get(key)
        if site is None:
            raise RefusedError("this key belongs to no enrolled site", remedy="enrol: medfl site enrol INVITATION")
        try:
            self._public(key).verify(_bytes(headers.get(SIGNATURE, "")), moment.encode(), ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError):
            raise RefusedError(
                "whoever calls does not have the key of the site's node",
                where=f"site {site}",
                remedy="if that was the site itself, see whether its file keys/node.pem is the one it enrolled with",
            ) from None
        # One that is too old or too new is left to Flower, whose answer tells the site the hub's time.
        if _is_now(moment):
            self._use(site, moment)
        return site

    def _use(self, site: str, moment: str) -> None:
        now, proof = self._clock(), (site, moment)
        while self._order and now - self._order[0][0] > HELD:
            self._used.discard(self._order.popleft()[1])
        if proof in self._used:
            raise RefusedError(
                "this call was made before, and is good once",
                where=f"site {site}",
                remedy="somebody may have recorded it: ask the site whether something opens its encrypted traffic",
            )
        self._used.add(proof)
        self._order.append((now, proof))

    def _public(self, key: bytes) -> EllipticCurvePublicKey:
        """Return a key as it was enrolled, and so was checked."""
        if key not in self._keys:
            read = load_pem_public_key(key)
            if not isinstance(read, EllipticCurvePublicKey):
                raise ValueError("another kind of key")
            self._keys[key] = read
        return self._keys[key]


def _is_now(moment: str) -> bool:
    try:
        return abs((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()) < HELD
    except (ValueError, TypeError, OverflowError):
        return False


def _bytes(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return b""
