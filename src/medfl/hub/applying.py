"""Checks what a site applies with: that whoever sends it has the private keys, and applies under its own name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from medfl.enrolment import Application, fingerprint, status_statement
from medfl.errors import WireError

LONGEST = 8192
"""Characters of the longest signing request that is read."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """A site whose application is sound.

    Parameters
    ----------
    site
        Its name.
    key
        The public key of its Flower node.
    identity
        The public key of its identity, 32 bytes.
    fingerprint
        Digits to compare by telephone.
    """

    site: str
    key: ec.EllipticCurvePublicKey
    identity: bytes
    fingerprint: str

    @property
    def node(self) -> str:
        """The public key of its node as PEM, as Flower wants it."""
        return self.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @classmethod
    def of(cls, request: str, identity: bytes, digits: str) -> Self:
        """Return the applicant of a request that was checked before."""
        read = x509.load_pem_x509_csr(request.encode())
        return cls(_name(read), _key(read), identity, digits)


def checked(application: Application, authority: bytes) -> Applicant:
    """Return who applies.

    Parameters
    ----------
    application
        What came.
    authority
        SHA-256 of the authority's certificate.

    Raises
    ------
    WireError
        If its parts do not belong together.
    """
    try:
        if len(application.request) > LONGEST:
            raise ValueError("too long")
        request = x509.load_pem_x509_csr(application.request.encode())
        if not request.is_signature_valid or _name(request) != application.site:
            raise ValueError("not signed by its own key, or for another name")
        signed = Application.statement(authority, application.site, application.secret, application.request)
        Ed25519PublicKey.from_public_bytes(application.identity).verify(application.proof, signed)
        key = _key(request)
    except (ValueError, TypeError, IndexError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise WireError(
            "the application's signatures are not those of its keys",
            where=application.site[:80],
            received=type(error).__name__,
            remedy="nothing was accepted; apply again, and look for a proxy that changes what passes through it",
        ) from error
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digits = fingerprint(authority, application.site, application.identity, der)
    return Applicant(application.site, key, application.identity, digits)


def require_shown(site: str, identity: bytes, proof: bytes, *, authority: bytes) -> None:
    """Refuse somebody who asks how a site stands and does not have its identity.

    Raises
    ------
    WireError
        If the signature is another one.
    """
    require_signed(site, identity, proof, statement=status_statement(authority, site))


def require_signed(site: str, identity: bytes, proof: bytes, *, statement: bytes) -> None:
    """Refuse somebody who says something in a site's name and does not have its identity.

    Raises
    ------
    WireError
        If the signature is another one.
    """
    try:
        Ed25519PublicKey.from_public_bytes(identity).verify(proof, statement)
    except (ValueError, InvalidSignature) as error:
        raise WireError("whoever asks does not have the site's key", where=site[:80]) from error


def _name(request: x509.CertificateSigningRequest) -> str:
    value = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return value if isinstance(value, str) else ""


def _key(request: x509.CertificateSigningRequest) -> ec.EllipticCurvePublicKey:
    key = request.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != ec.SECP384R1.name:
        raise ValueError("a node's key is on the curve P-384")
    return key
