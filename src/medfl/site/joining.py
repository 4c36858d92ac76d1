"""How a site joins its hub's VPN: it makes a key, sends the public half, and gets the hub's, signed by the authority.

From then on it reaches the hub by the address in the VPN, and by no other.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

from medfl.enrolment import PROTOCOL, Signed, certificate_digest
from medfl.errors import EnrolmentError, WireError
from medfl.private import held, write_private
from medfl.site.enrolled import Enrolment, SiteHome
from medfl.site.reaching import Hub
from medfl.tunnel import (
    CONFIGURATION,
    TAILSCALE,
    VPN,
    Offer,
    routes,
    secret_in,
    site_file,
    statement,
    tailscale_address,
)

AGENT = "an agent of this site"


def join(home: SiteHome) -> tuple[Enrolment, Offer]:
    """Join, and write WireGuard's configuration.

    The hub is asked at its host, in the open: there is no tunnel yet. What it answers is believed only where its
    authority has signed it.

    Raises
    ------
    EnrolmentError
        If the site is not enrolled, the offer is not the authority's, or its addresses are in use here.
    BusyError
        While the site's agent runs: it would go on the old way.
    MedflError
        What the hub refuses with; or why it cannot be reached.
    """
    enrolment = home.enrolled()
    with held(home.folder / "agent.lock", what=AGENT):
        secret = secret_in(home.vpn)
        said = _asked(home, replace(enrolment, tunnel="", inside=""), secret.public_key().public_bytes_raw())
        # Asking may have brought a new certificate of the hub.
        enrolment = home.enrolled()
        offer = Offer.read(Signed.from_json(said.get("offer")), enrolment.anchor)
        if offer.kind == "tailscale":
            if offer.address not in TAILSCALE:
                raise WireError("the hub's address is none of Tailscale's", received=str(offer.address))
            own = tailscale_address()
            (home.vpn / CONFIGURATION).unlink(missing_ok=True)
        else:
            own = offer.own(str(said.get("address")))
            if enrolment.tunnel != str(offer.address):
                _require_free(offer)
            write_private(home.vpn / CONFIGURATION, site_file(offer, secret, own))
        return home.keep(replace(enrolment, tunnel=str(offer.address), inside=str(own))), offer


def leave(home: SiteHome) -> Enrolment:
    """Reach the hub by its host again; the key stays, for joining once more.

    Raises
    ------
    EnrolmentError
        If the site never was invited.
    BusyError
        While the site's agent runs.
    """
    enrolment = home.enrolment()
    if enrolment is None:
        return home.enrolled()
    with held(home.folder / "agent.lock", what=AGENT):
        left = home.keep(replace(enrolment, tunnel="", inside=""))
        (home.vpn / CONFIGURATION).unlink(missing_ok=True)
        return left


def _asked(home: SiteHome, enrolment: Enrolment, key: bytes) -> dict[str, Any]:
    """Ask the hub to be let in, at its host."""
    identity = home.identity()
    proof = identity.sign(statement(certificate_digest(enrolment.anchor), enrolment.site, key))
    words = {"protocol": PROTOCOL, "site": enrolment.site, "identity": identity.public.hex()}
    words |= {"proof": proof.hex(), "key": key.hex()}
    try:
        return enrolment.reached().ask(VPN, words)
    except EnrolmentError:
        # It may show a new certificate that its authority has signed for.
        renewed: Hub = enrolment.renewed().reached()
        home.keep(replace(home.enrolled(), hub=renewed.name, trust=renewed.trust))
        return renewed.ask(VPN, words)


def _require_free(offer: Offer) -> None:
    """Refuse the addresses of a network that this machine is in already; a wider one only loses the hub's address."""
    if (other := next((one for one in routes() if one.subnet_of(offer.network)), None)) is not None:
        raise EnrolmentError(
            "the VPN's addresses are in use here already",
            where=f"{IPv4Address(offer.address)} in {offer.network}",
            received=f"this machine has a way to {other}",
            remedy="ask whoever runs the hub for other addresses: medfl vpn init --subnet",
        )
