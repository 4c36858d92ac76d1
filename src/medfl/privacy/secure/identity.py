"""Who a site is: a key that signs, and the keys that it signs for one run."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from medfl.errors import SecureError, StoreError, listed
from medfl.messages import Json
from medfl.privacy.secure.keeping import keep_first
from medfl.privacy.secure.stream import derived, worded

SECRET = 32
"""Bytes of a secret, and of a public key."""


class Identity:
    """A site's lasting key (Ed25519): others know its public half from enrolment.

    Parameters
    ----------
    secret
        32 bytes that nobody else has. All keys of all runs are derived from them.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET:
            raise SecureError(
                "an identity is not a key",
                received=f"{len(secret)} bytes",
                remedy=f"an identity has {SECRET} bytes; restore it from a copy, or enrol the site anew",
            )
        self._secret = secret
        self._key = Ed25519PrivateKey.from_private_bytes(secret)

    @classmethod
    def at(cls, path: Path) -> Identity:
        """Read the identity that a file of mode 600 holds, or make one.

        Raises
        ------
        StoreError
            If others may read the file, or it cannot be kept.
        """
        # Not from medfl.seeds: whoever knows the seed of a study must not know this.
        secret = keep_first(path, os.urandom(SECRET))
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise StoreError(
                "the site's identity can be read by others",
                where=str(path),
                received=f"mode {mode:o}",
                remedy=f"chmod 600 {path}, and enrol the site anew if somebody may have copied it",
            )
        return cls(secret)

    @property
    def public(self) -> bytes:
        """What others check signatures with, 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def derived(self, *words: str) -> bytes:
        """Return 32 secret bytes that belong to these words."""
        return derived(self._secret, *words)

    def sign(self, body: bytes) -> bytes:
        """Return the signature of some bytes, 64 bytes."""
        return self._key.sign(body)

    def __repr__(self) -> str:
        return f"Identity(public={self.public.hex()})"


def signed_key(identity: Identity, key: X25519PrivateKey, *, site: str, run: str, session: str) -> Json:
    """Return a site's public key of one run with its signature, as JSON: ``site``, ``key``, ``signature`` (hex)."""
    public = key.public_key().public_bytes_raw()
    return {
        "site": site,
        "key": public.hex(),
        "signature": identity.sign(_statement(run, session, site, public)).hex(),
    }


def verified_key(said: object, directory: Mapping[str, bytes], *, site: str, run: str, session: str) -> X25519PublicKey:
    """Return the key that a peer signed for this run.

    Parameters
    ----------
    said
        What the hub says is the peer's signed key.
    directory
        The identities that this site knows, by site.
    site
        The peer.
    run, session
        What the key must have been signed for.

    Raises
    ------
    SecureError
        If the peer is unknown here, or did not sign that.
    """
    require_known([site], directory)
    try:
        if not isinstance(said, Mapping) or said["site"] != site:
            raise ValueError("not the key of that site")
        public, signature = bytes.fromhex(said["key"]), bytes.fromhex(said["signature"])
        Ed25519PublicKey.from_public_bytes(directory[site]).verify(signature, _statement(run, session, site, public))
        return X25519PublicKey.from_public_bytes(public)
    except (InvalidSignature, ValueError, KeyError, TypeError) as error:
        raise SecureError(
            "a peer's key is not signed by that peer for this run",
            where=f"site {site}, run {run}",
            received="no valid signature of its identity",
            remedy="nothing was sent; ask whoever runs the hub, and compare identities with that site by telephone",
        ) from error


def require_known(sites: Iterable[str], directory: Collection[str]) -> None:
    """Refuse peers that are not enrolled.

    Raises
    ------
    SecureError
        If a name is not in the directory.
    """
    if strangers := [site for site in sites if site not in directory]:
        names = listed(strangers)
        raise SecureError(
            "a peer is not known here",
            where=f"site {names}",
            remedy=f"enrol {names} at every site, or leave it out of the study",
        )


def _statement(run: str, session: str, site: str, public: bytes) -> bytes:
    return worded("medfl secure key", run, session, site, public)
