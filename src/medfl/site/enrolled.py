"""A site's home: its keys, and what it knows of its hub and its peers from enrolment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from medfl.enrolment import Directory, Peer, Signed, certificate_digest, json_of
from medfl.errors import EnrolmentError, SecureError, StoreError, WireError, listed
from medfl.privacy.secure.identity import Identity
from medfl.privacy.secure.member import Member
from medfl.privacy.secure.unmasked import Unmasked
from medfl.private import make_private, require_private, write_private
from medfl.site.place import Place
from medfl.site.reaching import Hub
from medfl.tunnel import CONFIGURATION, SECRET

Status = Literal["applying", "waiting", "approved", "revoked"]


@dataclass(frozen=True, slots=True)
class Enrolment:
    """How far a site has come, as its home keeps it.

    Parameters
    ----------
    status
        ``applying`` while the hub may or may not have its application.
    site, title
        What studies and what people call it.
    host, port
        Where the hub is.
    hub
        Its name.
    authority, trust
        PEM: the hub's authority, and the certificate to trust on the network.
    request
        The signing request that it applied with, PEM.
    fingerprint
        Digits to compare by telephone.
    invitation
        The invitation, while it applies.
    certificate
        Its certificate, PEM, from approval on.
    directory
        Who is enrolled, as the authority has signed it.
    known
        The identities (hexadecimal) by which this site has known each peer: another one is not taken up unseen.
    tunnel, inside
        Addresses of the hub and of this site in the hub's VPN, once the site joined: the hub is reached by no other.
    """

    status: Status
    site: str
    host: str
    port: int
    hub: str = ""
    title: str = ""
    authority: str = ""
    trust: str = ""
    request: str = ""
    fingerprint: str = ""
    invitation: str = ""
    certificate: str = ""
    directory: Mapping[str, str] | None = None
    known: Mapping[str, str] = field(default_factory=dict)
    tunnel: str = ""
    inside: str = ""

    @property
    def way(self) -> str:
        """Where the site's calls go: to the hub's host, or to its address in the VPN."""
        return self.tunnel or self.host

    @property
    def peers(self) -> dict[str, Peer]:
        """Who is enrolled; nobody before approval.

        Raises
        ------
        EnrolmentError
            If the directory is not signed by the hub's authority.
        """
        if self.directory is None:
            return {}
        read = Directory.read(Signed.from_json(self.directory), self.anchor)
        return dict(read.peers)

    @property
    def sequence(self) -> int:
        """The number of the directory; -1 before there is one."""
        if self.directory is None:
            return -1
        return Directory.read(Signed.from_json(self.directory), self.anchor).sequence

    @property
    def anchor(self) -> x509.Certificate:
        """The authority's certificate."""
        return x509.load_pem_x509_certificate(self.authority.encode())

    def reached(self) -> Hub:
        """Return the hub, as it was recognised."""
        return Hub(self.way, self.port, self.hub, self.anchor, self.trust, direct=bool(self.tunnel))

    def renewed(self) -> Self:
        """Return this with the certificate that the hub shows now, if its authority says that it may."""
        digest, direct = certificate_digest(self.anchor), bool(self.tunnel)
        hub = Hub.recognised(self.way, self.port, authority=digest, direct=direct)
        return replace(self, hub=hub.name, trust=hub.trust)


class SiteHome(Place):
    """The folder of a site, with its keys and what it knows of its hub."""

    @property
    def file(self) -> Path:
        """What is known of the enrolment."""
        return self.folder / "enrolment.json"

    @property
    def vpn(self) -> Path:
        """The folder of its key and its configuration for a VPN."""
        return self.folder / "vpn"

    @property
    def node_key(self) -> Path:
        """The private key of its Flower node."""
        return self._keys / "node.pem"

    def enrolment(self) -> Enrolment | None:
        """Return how far the site has come; None where it has not begun.

        Raises
        ------
        StoreError
            If the file is damaged.
        """
        if not self.file.exists():
            return None
        require_private(self.file)
        known = {one.name for one in fields(Enrolment)}
        try:
            said = json_of(self.file.read_bytes())
            return Enrolment(**{name: value for name, value in said.items() if name in known})
        except (WireError, TypeError) as error:
            raise StoreError(
                "what the site knows of its enrolment cannot be read",
                where=str(self.file),
                received=type(error).__name__,
                remedy="put a copy back, or revoke the site at the hub and enrol it anew in a new home",
            ) from error

    def keep(self, enrolment: Enrolment) -> Enrolment:
        """Write down how far the site has come, durably."""
        said: dict[str, Any] = {one.name: getattr(enrolment, one.name) for one in fields(Enrolment)}
        write_private(self.file, (json.dumps(said, indent=2, ensure_ascii=False) + "\n").encode())
        return enrolment

    def prepare(self) -> None:
        """Make the folders, for their owner only.

        Raises
        ------
        EnrolmentError
            If others can read what is there.
        """
        make_private(self.folder)
        make_private(self._keys)
        require_private(self._keys)

    def identity(self) -> Identity:
        """Return the site's identity; it is made when first needed."""
        self.prepare()
        return Identity.at(self._keys / "identity")

    def node(self) -> ec.EllipticCurvePrivateKey:
        """Return the private key of the site's Flower node; it is made when first needed."""
        self.prepare()
        if not self.node_key.exists():
            made = ec.generate_private_key(ec.SECP384R1())
            form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            write_private(self.node_key, made.private_bytes(*form))
        require_private(self.node_key)
        key = serialization.load_pem_private_key(self.node_key.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise EnrolmentError(
                "the key of the site's node is of another kind",
                where=str(self.node_key),
                remedy="put a copy back, or enrol the site anew in a new home",
            )
        return key

    def put_away(self) -> None:
        """Put the keys of a revoked enrolment aside, where they are no longer used; the key of its noise stays."""
        place = self.folder / "revoked-keys"
        make_private(place)
        aside = place / str(sum(1 for _ in place.iterdir()))
        make_private(aside)
        for path in (self._keys / "identity", self.node_key, self.vpn / SECRET, self.vpn / CONFIGURATION):
            if path.exists():
                path.replace(aside / path.name)
        self.file.unlink()

    def member(self, unmasked: Unmasked) -> Member:
        """Return the site's part in secure aggregation, with the peers that are enrolled now.

        Parameters
        ----------
        unmasked
            Where it notes what it has helped to unmask.
        """
        return Member(self.enrolled().site, self.identity(), self.identities(), unmasked=unmasked)

    def identities(self) -> dict[str, bytes]:
        """Return the identities of all who are enrolled, this site among them, by name.

        Raises
        ------
        EnrolmentError
            If the site is not enrolled, or its directory is not the authority's.
        SecureError
            If a peer has another identity than before.
        """
        enrolment = self.enrolled()
        peers = enrolment.peers
        require_unchanged(enrolment.known, peers)
        own = peers.get(enrolment.site)
        if own is None or own.identity != self.identity().public:
            raise EnrolmentError(
                "the directory does not name this site with its key",
                where=str(self.file),
                received=f"site {enrolment.site}",
                remedy="fetch the directory again: medfl site status; if that stays so, ask whoever runs the hub",
            )
        return {name: peer.identity for name, peer in peers.items()}

    def enrolled(self) -> Enrolment:
        """Return the enrolment of a site that is approved.

        Raises
        ------
        EnrolmentError
            If it is not.
        """
        enrolment = self.enrolment()
        if enrolment is None or enrolment.status != "approved":
            raise EnrolmentError(
                "this site is not enrolled",
                where=str(self.folder),
                received="nothing" if enrolment is None else enrolment.status,
                remedy="medfl site enrol INVITATION"
                if enrolment is None or enrolment.status == "revoked"
                else "wait until the hub approves: medfl site enrol",
            )
        return enrolment

    @property
    def _keys(self) -> Path:
        return self.folder / "keys"


def require_unchanged(known: Mapping[str, str], peers: Mapping[str, Peer]) -> None:
    """Refuse peers whose identity is not the one that this site has known.

    A hub that lies could otherwise bring keys of its own in a site's name.

    Raises
    ------
    SecureError
        If there is one.
    """
    changed = [name for name, peer in peers.items() if known.get(name, peer.identity.hex()) != peer.identity.hex()]
    if changed:
        names = listed(changed)
        raise SecureError(
            "a peer has another identity than before",
            where=f"site {names}",
            received="; ".join(f"{name} now has the fingerprint {peers[name].fingerprint}" for name in changed),
            remedy=f"call {names} and compare the fingerprint (medfl site status shows it there); if it is the same: "
            + " ".join(["medfl site enrol", *(f"--trust {name}" for name in changed)]),
        )
