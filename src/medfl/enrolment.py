"""What hub and site say to each other when a hospital joins: invitation, application, certificate, directory.

Everything here is public but the invitation's secret. What a site must not have to believe (who its peers are, which
certificate speaks for the hub) is signed by the hub's authority, whose fingerprint came with the invitation.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from medfl.errors import EnrolmentError, WireError
from medfl.foreign import understood
from medfl.spec.checks import SITE

PROTOCOL = 1
"""Version of these messages; hub and site must speak the same."""
SECRET = 16
"""Bytes of an invitation's secret."""
LARGEST = 2**20
"""Bytes of the largest message that is read."""
RESERVED = "all-rows"
"""What the pool of all rows is called in a simulation; no hospital can be called so."""
AUTHORITY, APPLY, STATUS, SITES = "/v1/authority", "/v1/enrolment", "/v1/enrolment/status", "/v1/sites"
"""Where a hub answers."""
WAKE, WOKEN = "/v1/wake", "there is work"
"""Where a hub opens a WebSocket to a site, and all that it says there, to wake it."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a coordinator gives to a hospital, once, by a way that nobody else reads.

    Parameters
    ----------
    host, port
        Where the hub answers.
    site
        The name that the hospital will have in studies.
    authority
        SHA-256 of the hub's authority certificate, 32 bytes: by it the hub is recognised.
    secret
        16 random bytes; the hub keeps only their digest.
    expires
        Until when it can be used, in seconds since 1970, UTC.
    """

    host: str
    port: int
    site: str
    authority: bytes
    secret: bytes
    expires: int

    def __str__(self) -> str:
        where = address(self.host, self.port)
        body = self.authority + self.secret + self.expires.to_bytes(5, "big")
        return f"{where}/{self.site}/{urlsafe_b64encode(body + _checksum(where, self.site, body)).decode().rstrip('=')}"

    def __repr__(self) -> str:
        return f"Invitation(site={self.site!r}, host={self.host!r})"

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what was copied.

        Raises
        ------
        EnrolmentError
            If a part is missing, or a letter is wrong.
        """
        found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})/([^/]+)/([A-Za-z0-9_-]+)", text.strip())
        try:
            if found is None or not SITE.fullmatch(found[3]) or not 0 < int(found[2]) < 65536:
                raise ValueError("another shape")
            body = urlsafe_b64decode(found[4] + "=" * (-len(found[4]) % 4))
            words, checksum = body[:-4], body[-4:]
            if len(words) != 32 + SECRET + 5 or checksum != _checksum(f"{found[1]}:{found[2]}", found[3], words):
                raise ValueError("a letter is wrong")
        except ValueError:
            # What was found is not quoted: it may be a secret.
            raise EnrolmentError(
                "this is no invitation",
                received=f"{len(text.strip())} characters",
                remedy="copy all that 'medfl hub invite' printed as the invitation, nothing more and nothing less",
            ) from None
        rest = words[32 + SECRET :]
        host, port = found[1].strip("[]"), int(found[2])
        return cls(host, port, found[3], words[:32], words[32 : 32 + SECRET], int.from_bytes(rest, "big"))


@dataclass(frozen=True, slots=True)
class Application:
    """What a site sends to be let in: public keys, and proof that it has the private ones.

    Parameters
    ----------
    site
        The name that it was invited by.
    secret
        The invitation's.
    request
        A signing request (PKCS #10, PEM) for the key of its Flower node.
    identity
        The public key that its peers check, 32 bytes.
    proof
        The identity's signature of :meth:`statement`.
    """

    site: str
    secret: bytes
    request: str
    identity: bytes
    proof: bytes

    @staticmethod
    def statement(authority: bytes, site: str, secret: bytes, request: str) -> bytes:
        """Return what the identity signs."""
        return worded("medfl enrolment", authority, site, hashlib.sha256(secret).digest(), request)

    def to_json(self) -> dict[str, Any]:
        """Return it as it travels."""
        hidden = {"secret": self.secret.hex(), "identity": self.identity.hex(), "proof": self.proof.hex()}
        return {"protocol": PROTOCOL, "site": self.site, "request": self.request, **hidden}

    @classmethod
    def from_json(cls, said: object) -> Self:
        """Read what came; whoever sent it may have written anything.

        Raises
        ------
        WireError
            If it is none.
        """
        words = texts(said, "site", "secret", "request", "identity", "proof")
        hidden = [bytes_of(words[name]) for name in ("secret", "identity", "proof")]
        return cls(words["site"], hidden[0], words["request"], *hidden[1:])


def status_statement(authority: bytes, site: str) -> bytes:
    """Return what a site signs to ask how its enrolment stands."""
    return worded("medfl enrolment status", authority, site)


def wake_statement(authority: bytes, site: str, challenge: bytes) -> bytes:
    """Return what a site signs to be woken: bound to its hub, and to what that has drawn for this one time."""
    return worded("medfl wake", authority, site, challenge)


@dataclass(frozen=True, slots=True)
class Signed:
    """A text with the authority's signature of it, for one purpose.

    Parameters
    ----------
    text
        What is said.
    signature
        ECDSA over P-256 with SHA-256.
    """

    text: str
    signature: bytes

    @classmethod
    def by(cls, key: ec.EllipticCurvePrivateKey, text: str, *, purpose: str) -> Self:
        """Sign a text."""
        return cls(text, key.sign(worded(purpose, text), ec.ECDSA(hashes.SHA256())))

    def verified(self, authority: x509.Certificate, *, purpose: str) -> str:
        """Return the text, if the authority says so.

        Raises
        ------
        EnrolmentError
            If it does not.
        """
        key = authority.public_key()
        try:
            if not isinstance(key, ec.EllipticCurvePublicKey):
                raise InvalidSignature
            key.verify(self.signature, worded(purpose, self.text), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise EnrolmentError(
                f"the hub's {purpose} is not signed by the hub's authority",
                received="another signature",
                remedy="nothing of it was used; tell whoever runs the hub that somebody may be in between",
            ) from error
        return self.text

    def to_json(self) -> dict[str, str]:
        """Return it as it travels and is kept."""
        return {"text": self.text, "signature": self.signature.hex()}

    @classmethod
    def from_json(cls, said: object) -> Self:
        """Read what came.

        Raises
        ------
        WireError
            If it is none.
        """
        words = texts(said, "text", "signature")
        return cls(words["text"], bytes_of(words["signature"]))


TRANSPORT, DIRECTORY = "transport certificate", "directory of sites"
"""What the authority signs for sites: whom to trust as the hub on the network, and who the sites are."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A site as the others know it.

    Parameters
    ----------
    title
        What people call it.
    identity
        Its public key, 32 bytes.
    fingerprint
        Digits to compare by telephone.
    """

    title: str
    identity: bytes
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Directory:
    """Who is enrolled; who is not in it is not.

    Parameters
    ----------
    hub
        The hub's name.
    sequence
        Grows with every change, so that an older one is recognised.
    peers
        The sites by name.
    """

    hub: str
    sequence: int
    peers: Mapping[str, Peer]

    def text(self) -> str:
        """Return it as the text that is signed."""
        peers = {
            name: {"title": peer.title, "identity": peer.identity.hex(), "fingerprint": peer.fingerprint}
            for name, peer in sorted(self.peers.items())
        }
        return json.dumps({"hub": self.hub, "sequence": self.sequence, "sites": peers}, ensure_ascii=False)

    @classmethod
    def read(cls, signed: Signed, authority: x509.Certificate) -> Self:
        """Read what the authority has signed.

        Raises
        ------
        EnrolmentError
            If it has not.
        WireError
            If the text is no directory.
        """
        said = json_of(signed.verified(authority, purpose=DIRECTORY).encode())
        sites = said.get("sites")
        if type(said.get("hub")) is not str or type(said.get("sequence")) is not int or type(sites) is not dict:
            raise unreadable("a directory")
        peers = {name: texts(one, "title", "identity", "fingerprint") for name, one in sites.items()}
        return cls(
            said["hub"],
            said["sequence"],
            {n: Peer(one["title"], bytes_of(one["identity"]), one["fingerprint"]) for n, one in peers.items()},
        )


def fingerprint(authority: bytes, site: str, identity: bytes, node: bytes) -> str:
    """Return digits that two people read to each other: six groups of five, some 100 bits.

    Parameters
    ----------
    authority
        SHA-256 of the authority's certificate.
    site
        The site's name.
    identity
        Its public key, 32 bytes.
    node
        The public key of its Flower node, DER.
    """
    number = int.from_bytes(hashlib.sha256(worded("medfl fingerprint", authority, site, identity, node)).digest())
    digits = f"{number % 10**30:030}"
    return " ".join(digits[start : start + 5] for start in range(0, 30, 5))


def certificate_digest(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 of a certificate."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()


def address(host: str, port: int) -> str:
    """Return host and port as they stand in an address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def require_name(name: str) -> str:
    """Return a site's name, if a site can be called so.

    Raises
    ------
    EnrolmentError
        If not.
    """
    if not SITE.fullmatch(name) or len(name) > 64 or name == RESERVED:
        raise EnrolmentError(
            "a site cannot be called so",
            received=repr(name[:80]),
            remedy="use up to 64 letters and digits; spaces become dashes in the name that studies use"
            if name != RESERVED
            else f"choose another name; {RESERVED} is kept for the centralised baseline",
        )
    return name


def worded(*words: str | bytes) -> bytes:
    """Return words as bytes that no other words give."""
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"".join(b"%d:%b," % (len(part), part) for part in parts)


def json_of(body: bytes) -> dict[str, Any]:
    """Read an object of JSON.

    Raises
    ------
    WireError
        If it is none, or too large.
    """
    try:
        said = understood(body) if len(body) <= LARGEST else None
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise unreadable("an object of JSON")
    return said


def texts(said: object, *names: str) -> dict[str, str]:
    """Return these words of an object of JSON, all of them text.

    Raises
    ------
    WireError
        If one is missing, or no text.
    """
    if not isinstance(said, Mapping) or any(type(said.get(name)) is not str for name in names):
        raise unreadable(f"the texts {', '.join(names)}")
    return {name: said[name] for name in names}


def bytes_of(text: str) -> bytes:
    """Read bytes that travel as hexadecimal digits.

    Raises
    ------
    WireError
        If they are none.
    """
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise unreadable("hexadecimal digits") from error


def unreadable(wanted: str) -> WireError:
    """Return the complaint about a message that is none."""
    return WireError(
        "a message of enrolment cannot be read",
        received=f"something other than {wanted}",
        remedy="check the address, and that hub and site run the same version of MEDfl",
    )


def _checksum(where: str, site: str, body: bytes) -> bytes:
    return hashlib.sha256(worded(where, site, body)).digest()[:4]
