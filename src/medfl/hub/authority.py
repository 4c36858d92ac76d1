"""The hub's certificate authority: it signs the hub's own certificate, those of the sites, and their directory.

Keys are ECDSA on P-256, which every TLS stack accepts; site certificates are for the P-384 keys of Flower's nodes.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from medfl.enrolment import Signed, certificate_digest
from medfl.errors import EnrolmentError
from medfl.private import require_private, write_private

YEAR = datetime.timedelta(days=365)
AUTHORITY_FOR, SERVER_FOR = 20 * YEAR, 5 * YEAR
"""How long certificates hold. The hub's own is made anew at a start in its last year."""
LENIENCY = datetime.timedelta(days=1)
"""A certificate holds from a day before it was made: clocks differ."""


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority with its private key.

    Parameters
    ----------
    certificate
        What sites recognise the hub by.
    key
        Signs.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, name: str) -> Authority:
        """Make a new one."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _named(f"{name} (MEDfl hub authority)")
        draft = _draft(subject, key.public_key(), issuer=subject, holds=AUTHORITY_FOR)
        draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        draft = draft.add_extension(_usage(signs_certificates=True), critical=True)
        draft = draft.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return cls(draft.sign(key, hashes.SHA256()), key)

    @classmethod
    def at(cls, folder: Path) -> Authority:
        """Read the one that a folder holds.

        Raises
        ------
        EnrolmentError
            If others may read its key, or there is none.
        """
        return cls(certificate_at(folder / "authority.crt"), key_at(folder / "authority.pem"))

    def keep(self, folder: Path) -> None:
        """Write certificate and key into a folder."""
        write_private(folder / "authority.pem", _pem(self.key))
        write_private(folder / "authority.crt", pem_of(self.certificate))

    @property
    def digest(self) -> bytes:
        """SHA-256 of its certificate."""
        return certificate_digest(self.certificate)

    def signed(self, text: str, *, purpose: str) -> Signed:
        """Sign a text for sites."""
        return Signed.by(self.key, text, purpose=purpose)

    def serve(self, hosts: list[str], folder: Path) -> None:
        """Make a key and a certificate of the hub's own for these hosts, and write them into a folder."""
        key = ec.generate_private_key(ec.SECP256R1())
        draft = self._draft(_named(hosts[0][:64]), key.public_key(), holds=SERVER_FOR)
        draft = draft.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        draft = draft.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        write_private(folder / "hub.pem", _pem(key))
        write_private(folder / "hub.crt", pem_of(draft.sign(self.key, hashes.SHA256())))

    def admit(self, site: str, node: PublicKeyTypes, identity: bytes) -> x509.Certificate:
        """Return a certificate that these keys are this site's; it holds as long as the authority's."""
        if not isinstance(node, ec.EllipticCurvePublicKey):
            raise EnrolmentError("a site's key is on an elliptic curve", received=type(node).__name__)
        left = self.certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
        draft = self._draft(_named(site[:64]), node, holds=left)
        names = [f"medfl:site:{site}", f"medfl:identity:{identity.hex()}"]
        spoken = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name) for name in names])
        draft = draft.add_extension(spoken, critical=False)
        draft = draft.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        return draft.sign(self.key, hashes.SHA256())

    def _draft(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, holds: datetime.timedelta
    ) -> x509.CertificateBuilder:
        """Return a certificate that signs no others."""
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            _draft(subject, key, issuer=self.certificate.subject, holds=holds)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(signer, critical=False)
        )


def own_is_old(certificate: Path) -> bool:
    """Say whether the hub's own certificate is in its last year."""
    return certificate_at(certificate).not_valid_after_utc - datetime.datetime.now(datetime.UTC) < YEAR


def take_over(certificate: Path, key: Path, *, hosts: list[str], folder: Path) -> str:
    """Take a certificate that somebody brings, and return it as PEM.

    Raises
    ------
    EnrolmentError
        If it does not belong to the key, is not for the hosts, or does not hold now.
    """
    brought, secret = certificate_at(certificate), _read_key(key)
    if brought.public_key() != secret.public_key():
        raise _unfit("the certificate is not for this key", certificate, f"the key in {key.name} is another one")
    now = datetime.datetime.now(datetime.UTC)
    if not brought.not_valid_before_utc <= now < brought.not_valid_after_utc:
        until = f"valid from {brought.not_valid_before_utc:%Y-%m-%d} to {brought.not_valid_after_utc:%Y-%m-%d}"
        raise _unfit("the certificate does not hold now", certificate, until)
    names = hosts_of(brought)
    for host in hosts:
        if host not in names:
            raise _unfit(f"the certificate is not for {host}", certificate, ", ".join(names) or "no name of a host")
    write_private(folder / "hub.pem", key.read_bytes())
    write_private(folder / "hub.crt", certificate.read_bytes())
    return pem_of(brought).decode()


def certificate_at(path: Path) -> x509.Certificate:
    """Read a certificate.

    Raises
    ------
    EnrolmentError
        If it cannot be read.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _unfit("a certificate cannot be read", path, type(error).__name__) from error


def key_at(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read a private key on an elliptic curve.

    Raises
    ------
    EnrolmentError
        If it cannot be read, or others can.
    """
    require_private(path)
    key = _read_key(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _unfit("the private key is not on an elliptic curve", path, "a key of another kind")
    return key


def pem_of(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def hosts_of(certificate: x509.Certificate) -> list[str]:
    """Return the names and addresses of machines that a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def _read_key(path: Path) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise _unfit("a private key cannot be read", path, type(error).__name__) from error


def _unfit(what: str, path: Path, received: str) -> EnrolmentError:
    return EnrolmentError(
        what,
        where=str(path),
        received=received,
        remedy="give PEM files: the certificate for the hub's host, and its key without a password",
    )


def _draft(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, *, issuer: x509.Name, holds: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - LENIENCY)
        .not_valid_after(now + holds)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
