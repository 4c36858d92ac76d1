"""A hub that really serves, over HTTPS on this machine, and sites that enrol with it: for tests."""

from __future__ import annotations

import datetime
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from medfl.enrolment import Application, Invitation
from medfl.hub.fleet import Fleet
from medfl.hub.place import About, Brought, HubPlace
from medfl.hub.proofs import KEY, MOMENT, SIGNATURE
from medfl.hub.service import Service
from medfl.site.enrolled import SiteHome
from medfl.site.enrolling import enrol, refresh

LOOPBACK = "127.0.0.1"


def made(folder: Path, name: str = "Test hub") -> HubPlace:
    """Make a hub for a free port of this machine."""
    hub = HubPlace(folder)
    hub.make(About(name, LOOPBACK, free_port()))
    return hub


@contextmanager
def served(hub: HubPlace, *, fleet: Fleet | None = None) -> Iterator[HubPlace]:
    """Serve a hub until the end of the block."""
    service, ready = Service(hub, bind=LOOPBACK, fleet=fleet), Event()
    thread = Thread(target=service.run, args=(ready.set,))
    with hub.running():
        thread.start()
        try:
            if not ready.wait(30):
                raise TimeoutError("the hub did not start")
            yield hub
        finally:
            service.end()
            thread.join()


def invited(hub: HubPlace, site: str, *, seconds: float = 3600) -> Invitation:
    """Invite a site."""
    return hub.register.invite(site, hub.invitation, seconds=seconds)


def enrolled(hub: HubPlace, folder: Path, *sites: str) -> dict[str, SiteHome]:
    """Enrol sites with a hub that is served, each with a home of its own in this folder."""
    homes = {site: SiteHome(folder / site) for site in sites}
    for site, home in homes.items():
        enrol(home, str(invited(hub, site)))
        hub.register.approve(site, hub.authority)
    for home in homes.values():
        updated(home)
    return homes


def updated(home: SiteHome) -> None:
    """Let a site ask how its enrolment stands."""
    known = home.enrolment()
    if known is not None:
        refresh(home, known)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def application(
    invitation: Invitation, *, node: ec.EllipticCurvePrivateKey | None = None, name: str = ""
) -> Application:
    """Return what a site with new keys applies with."""
    node, identity = node or ec.generate_private_key(ec.SECP384R1()), Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name or invitation.site)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(node, hashes.SHA256())
    pem = request.public_bytes(Encoding.PEM).decode()
    proof = identity.sign(Application.statement(invitation.authority, invitation.site, invitation.secret, pem))
    return Application(invitation.site, invitation.secret, pem, identity.public_key().public_bytes_raw(), proof)


def proof(node: ec.EllipticCurvePrivateKey, moment: str = "") -> dict[str, str]:
    """Return the head of a call of Flower's by a node, made now unless told otherwise."""
    form = (Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    moment = moment or datetime.datetime.now(datetime.UTC).isoformat()
    signature = node.sign(moment.encode(), ec.ECDSA(hashes.SHA256()))
    said = {KEY: node.public_key().public_bytes(*form), SIGNATURE: signature}
    return {name: b64encode(value).decode() for name, value in said.items()} | {MOMENT: moment}


def bought(folder: Path, *, host: str = "hub.example.org", days: int = 30, name: str = "bought") -> Brought:
    """Return a certificate of somebody else's making, with an RSA key as many have."""
    now = datetime.datetime.now(datetime.UTC)
    key = rsa.generate_private_key(65537, 2048)
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(named)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{name}.key").write_bytes(key.private_bytes(*form))
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Brought(folder / f"{name}.crt", folder / f"{name}.key")
