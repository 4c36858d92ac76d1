"""Who signs a bundle: a key of the store's own, for which a hub's authority vouches where the store is a hub's.

Ed25519 (RFC 8032), whose signatures follow from key and text alone: signed again, a bundle is the same. The authority's
own key is on another curve, as TLS wants it, so it signs once that this key speaks for the hub.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from filelock import FileLock

from medfl.enrolment import Signed, certificate_digest, worded
from medfl.errors import BundleError, EnrolmentError, StoreError, UserError, WireError
from medfl.foreign import understood
from medfl.private import make_private, require_private, write_private

PURPOSE, VOUCHED = "medfl bundle", "medfl signer of bundles"
KEY, VOUCHER = "signing.pem", "signing.json"
"""Where a store keeps its key, and what its hub's authority says of it."""
FINGERPRINT = re.compile(r"[0-9a-f]{64}")
"""SHA-256 of a public key's 32 bytes, or of an authority's certificate."""


@dataclass(frozen=True, slots=True)
class Vouched:
    """What a hub's authority says of a signer.

    Parameters
    ----------
    certificate
        The authority's.
    signed
        The signer's fingerprint, signed by it.
    """

    certificate: x509.Certificate
    signed: Signed

    @property
    def fingerprint(self) -> str:
        """The authority's fingerprint, 64 hex digits."""
        return certificate_digest(self.certificate).hex()

    def to_json(self) -> dict[str, Any]:
        """Return it as it is kept."""
        return {"certificate": self.certificate.public_bytes(Encoding.PEM).decode(), **self.signed.to_json()}


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs bundles.

    Parameters
    ----------
    key
        Signs.
    vouched
        What the hub's authority says of it, where there is one.
    """

    key: Ed25519PrivateKey
    vouched: Vouched | None = None

    @property
    def fingerprint(self) -> str:
        """What it is recognised by, 64 hex digits."""
        return fingerprint_of(self.key.public_key())

    def signature(self, manifest: bytes) -> bytes:
        """Return the file with the signature of a manifest."""
        words: dict[str, Any] = {
            "algorithm": "Ed25519",
            "signs": "manifest.json",
            "public_key": self.key.public_key().public_bytes_raw().hex(),
            "fingerprint": self.fingerprint,
            "signature": self.key.sign(worded(PURPOSE, manifest)).hex(),
        }
        if self.vouched is not None:
            words["authority"] = self.vouched.to_json()
        return (json.dumps(words, indent=1, sort_keys=True) + "\n").encode()


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that holds.

    Parameters
    ----------
    fingerprint
        Of the key that made it.
    vouched
        The authority that vouches for the key, where one does.
    """

    fingerprint: str
    vouched: Vouched | None

    def is_by(self, trusted: str) -> bool:
        """Say whether a fingerprint is the key's, or that of the authority that vouches for it."""
        return trusted == self.fingerprint or (self.vouched is not None and trusted == self.vouched.fingerprint)


def signer_of(folder: Path) -> Signer:
    """Return the signer of a store, whose key is made when it is first needed.

    Parameters
    ----------
    folder
        The store's folder; a hub's has an authority in it.

    Raises
    ------
    EnrolmentError
        If others may read the key.
    StoreError
        If it cannot be read or written.
    """
    make_private(folder)
    with FileLock(folder / "signing.lock", mode=0o600):
        if not (folder / KEY).exists():
            made = Ed25519PrivateKey.generate()
            write_private(folder / KEY, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        require_private(folder / KEY)
        key = _key_at(folder / KEY)
        return Signer(key, _vouched(folder, fingerprint_of(key.public_key())))


def checked(body: bytes, manifest: bytes) -> Signature:
    """Return whose signature of a manifest this is.

    Raises
    ------
    BundleError
        If it is none, or of something else.
    """
    try:
        words = understood(body)
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(words["public_key"]))
        key.verify(bytes.fromhex(words["signature"]), worded(PURPOSE, manifest))
        if words["fingerprint"] != fingerprint_of(key) or words["algorithm"] != "Ed25519":
            raise ValueError("another fingerprint than the key's")
        vouched = None if words.get("authority") is None else _read(words["authority"], fingerprint_of(key))
    except (InvalidSignature, ValueError, TypeError, KeyError, AttributeError, UnsupportedAlgorithm) as error:
        raise _not_signed(type(error).__name__) from error
    except (EnrolmentError, WireError, x509.InvalidVersion) as error:
        raise _not_signed("an authority that does not vouch for the key") from error
    return Signature(fingerprint_of(key), vouched)


def fingerprint_of(key: Ed25519PublicKey) -> str:
    """Return what a public key is recognised by: SHA-256 of its 32 bytes, as hex digits."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def trusted(named: str) -> str:
    """Return the fingerprint of a signer that somebody names: itself, or a file with it, a public key or a certificate.

    Raises
    ------
    UserError
        If it is none of these.
    """
    plain = _plain(named)
    if FINGERPRINT.fullmatch(plain):
        return plain
    try:
        body = Path(named).read_bytes()
    except (OSError, ValueError):
        raise _no_signer(named, "no 64 hex digits, and no file that can be read") from None
    try:
        if b"BEGIN CERTIFICATE" in body:
            return certificate_digest(x509.load_pem_x509_certificate(body)).hex()
        if b"BEGIN PUBLIC KEY" in body:
            key = load_pem_public_key(body)
            if isinstance(key, Ed25519PublicKey):
                return fingerprint_of(key)
        plain = _plain(body.decode())
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise _no_signer(named, type(error).__name__) from error
    if not FINGERPRINT.fullmatch(plain):
        raise _no_signer(named, "a file with something else in it")
    return plain


def _plain(text: str) -> str:
    return re.sub(r"[\s:]", "", text).removeprefix("SHA256").lower()


def _vouched(folder: Path, fingerprint: str) -> Vouched | None:
    """Return what the authority in a folder says of a key; it is kept, since each of its signatures is another one."""
    if not (folder / "authority.pem").exists():
        return None
    try:
        certificate = x509.load_pem_x509_certificate((folder / "authority.crt").read_bytes())
        if (folder / VOUCHER).exists():
            kept = _read(understood((folder / VOUCHER).read_bytes()), fingerprint)
            if kept.fingerprint == certificate_digest(certificate).hex():
                return kept
        require_private(folder / "authority.pem")
        key = load_pem_private_key((folder / "authority.pem").read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("a key of another kind")
        vouched = Vouched(certificate, Signed.by(key, fingerprint, purpose=VOUCHED))
        write_private(folder / VOUCHER, json.dumps(vouched.to_json()).encode())
    except (OSError, ValueError, TypeError, KeyError, WireError) as error:
        raise _unreadable(folder / "authority.pem", error) from error
    return vouched


def _read(words: Mapping[str, Any], fingerprint: str) -> Vouched:
    """Return what an authority says, if it says it of this key."""
    certificate = x509.load_pem_x509_certificate(words["certificate"].encode())
    signed = Signed.from_json(words)
    if signed.verified(certificate, purpose=VOUCHED) != fingerprint:
        raise ValueError("another key")
    return Vouched(certificate, signed)


def _key_at(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unreadable(path, error) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _unreadable(path, TypeError())
    return key


def _unreadable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        "the key that signs bundles cannot be read",
        where=str(path),
        received=type(error).__name__,
        remedy="put a sound copy back, or move it aside: a new one is made, with another fingerprint",
    )


def _not_signed(received: str) -> BundleError:
    return BundleError(
        "the signature is not that of the bundle's list of files",
        where="signature.json",
        received=received,
        remedy="ask whoever made the bundle for it again",
    )


def _no_signer(named: str, received: str) -> UserError:
    return UserError(
        "this names no signer",
        where=f"--signer {named[:120]}",
        received=received,
        remedy="give the fingerprint that medfl bundle printed, a file with it, or the hub authority's certificate",
    )
