"""How a site enrols: it makes its keys, applies, waits until a person at the hub approves, and gets to know its peers.

Every step is written down before the next, so that whoever is interrupted goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from threading import Event
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from medfl.enrolment import (
    APPLY,
    PROTOCOL,
    STATUS,
    Application,
    Directory,
    Invitation,
    Signed,
    certificate_digest,
    fingerprint,
    status_statement,
)
from medfl.errors import EngineError, EnrolmentError, WireError
from medfl.foreign import printable
from medfl.site.enrolled import Enrolment, SiteHome, require_unchanged
from medfl.site.reaching import Hub, skew

PAUSES = (1.0, 15.0)
"""Seconds between two questions whether the hub has approved: the first, and the longest."""

JOIN = "This hub answers studies through its VPN only; join it: medfl vpn join"
"""What is said where a site has not joined the VPN that its hub wants."""


def enrol(home: SiteHome, text: str | None) -> Enrolment:
    """Apply at the hub that an invitation names, or go on with an enrolment that was begun.

    Parameters
    ----------
    home
        The site's folder.
    text
        The invitation; None to go on.

    Raises
    ------
    EnrolmentError
        If there is nothing to go on with, the invitation is none, or the site is enrolled elsewhere.
    MedflError
        What the hub refuses with; or why it cannot be reached.
    """
    begun = home.enrolment()
    if text is not None:
        begun = _begun(home, begun, Invitation.read(text))
    if begun is None:
        raise EnrolmentError(
            "this site has not been invited yet",
            where=str(home.folder),
            remedy="ask whoever runs the hub for an invitation, then: medfl site enrol INVITATION",
        )
    return _applied(home, begun) if begun.status == "applying" else begun


def refresh(home: SiteHome, enrolment: Enrolment, *, trust: Collection[str] = ()) -> tuple[Enrolment, str]:
    """Ask the hub how the enrolment stands, and take up what it says.

    Parameters
    ----------
    home
        The site's folder.
    enrolment
        As it was.
    trust
        Peers whose new identity was compared by telephone.

    Returns
    -------
    tuple[Enrolment, str]
        As it is now, and a sentence if the clocks differ, or the hub wants its VPN to be used.

    Raises
    ------
    EnrolmentError
        If what the hub sends is not signed by its authority, or older than what was there.
    SecureError
        If a peer has another identity than before.
    MedflError
        If the hub cannot be reached.
    """
    identity = home.identity()
    proof = identity.sign(status_statement(certificate_digest(enrolment.anchor), enrolment.site))
    words = {"protocol": PROTOCOL, "site": enrolment.site, "identity": identity.public.hex(), "proof": proof.hex()}
    try:
        said = enrolment.reached().ask(STATUS, words)
    except EnrolmentError:
        # It may show a new certificate that its authority has signed for.
        enrolment = home.keep(enrolment.renewed())
        said = enrolment.reached().ask(STATUS, words)
    now = home.keep(_taken_up(enrolment, said, trust))
    outside = said.get("vpn") == "required" and now.status == "approved" and not now.tunnel
    return now, " ".join(filter(None, (skew(said), JOIN if outside else "")))


def wait(home: SiteHome, enrolment: Enrolment, *, told: Callable[[str], None]) -> Enrolment:
    """Return when the hub has approved, or said no.

    Parameters
    ----------
    home, enrolment
        The site's folder, and how it stands.
    told
        Is told, in a sentence, what keeps it waiting.
    """
    pause, seconds, before = Event(), PAUSES[0], ""
    while enrolment.status == "waiting":
        try:
            enrolment, sentence = refresh(home, enrolment)
        except EngineError as error:
            sentence = f"{error.complaints[0].what} ({error.complaints[0].received}); it is tried again."
        if sentence and sentence != before:
            told(sentence)
            before = sentence
        if enrolment.status == "waiting":
            pause.wait(seconds)
            seconds = min(seconds * 1.5, PAUSES[1])
    return enrolment


def _begun(home: SiteHome, before: Enrolment | None, invitation: Invitation) -> Enrolment:
    """Write down that the site applies, unless it has done so at this very hub."""
    if before is not None and before.status in ("waiting", "approved"):
        same = (before.host, before.port, before.site) == (invitation.host, invitation.port, invitation.site)
        if not same or certificate_digest(before.anchor) != invitation.authority:
            raise EnrolmentError(
                "this site is enrolled already, or waits to be",
                where=str(home.folder),
                received=f"{before.site} at {before.host}, {before.status}",
                remedy="see how it stands: medfl site status; for another hub or another site use another --home",
            )
        before, _ = refresh(home, before)
        if before.status != "revoked":
            return before
    begun = Enrolment("applying", invitation.site, invitation.host, invitation.port, invitation=str(invitation))
    if before is not None and before.status == "revoked":
        home.put_away()
        return home.keep(replace(begun, known={n: key for n, key in before.known.items() if n != before.site}))
    if before is not None and before.site == begun.site:
        begun = replace(begun, request=before.request)
    return home.keep(begun)


def _applied(home: SiteHome, begun: Enrolment) -> Enrolment:
    """Recognise the hub, and send it the site's public keys."""
    invitation = Invitation.read(begun.invitation)
    hub = Hub.recognised(begun.host, begun.port, authority=invitation.authority)
    identity, node = home.identity(), home.node()
    request = begun.request or _signing_request(invitation.site, node)
    der = node.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digits = fingerprint(invitation.authority, invitation.site, identity.public, der)
    known = replace(begun, hub=hub.name, authority=hub.pem, trust=hub.trust, request=request, fingerprint=digits)
    # Before it is sent: a signing request made anew has another signature, and would be another application.
    home.keep(known)
    statement = Application.statement(invitation.authority, invitation.site, invitation.secret, request)
    application = Application(invitation.site, invitation.secret, request, identity.public, identity.sign(statement))
    said = hub.ask(APPLY, application.to_json())
    return home.keep(_taken_up(known, said, ()))


def _taken_up(enrolment: Enrolment, said: Mapping[str, Any], trust: Collection[str]) -> Enrolment:
    """Return the enrolment with what the hub says, where that is signed."""
    status, title = said.get("status"), said.get("title")
    if status not in ("waiting", "approved", "revoked"):
        raise WireError("the hub says not how the enrolment stands", where=f"hub {enrolment.host}")
    # An invitation is of no use any more.
    spoken = printable(title) if isinstance(title, str) else enrolment.title
    heard = replace(enrolment, status=status, title=spoken, invitation="")
    if status != "approved":
        return replace(heard, directory=None, certificate="") if status == "revoked" else heard
    signed = Signed.from_json(said.get("directory"))
    directory = Directory.read(signed, enrolment.anchor)
    if directory.sequence < enrolment.sequence:
        raise EnrolmentError(
            "the hub sends an older directory of sites than before",
            where=f"hub {enrolment.host}",
            received=f"number {directory.sequence} after number {enrolment.sequence}",
            remedy="nothing of it was used; ask whoever runs the hub whether an old copy was put back",
        )
    certificate = str(said.get("certificate"))
    _require_ours(certificate, enrolment)
    known = {name: key for name, key in enrolment.known.items() if name not in trust}
    require_unchanged(known, directory.peers)
    known |= {name: peer.identity.hex() for name, peer in directory.peers.items()}
    return replace(heard, certificate=certificate, directory=signed.to_json(), known=known)


def _require_ours(pem: str, enrolment: Enrolment) -> None:
    """Refuse a certificate that is for other keys, or not from the hub's authority."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        certificate.verify_directly_issued_by(enrolment.anchor)
        ours = certificate.public_key() == x509.load_pem_x509_csr(enrolment.request.encode()).public_key()
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion):
        ours = False
    if not ours:
        raise EnrolmentError(
            "the certificate that the hub sends is not this site's",
            where=f"hub {enrolment.host}",
            received="another key, or another signature",
            remedy="nothing of it was used; tell whoever runs the hub",
        )


def _signing_request(site: str, key: ec.EllipticCurvePrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, site)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()
