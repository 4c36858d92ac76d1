"""The hub's VPN: what it offers to sites, which of them joined, and the configuration of its own end.

The offer is signed when it is made: the service, which lets enrolled sites join, needs no key of the authority.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from filelock import FileLock, Timeout

from medfl.enrolment import Signed, json_of, texts
from medfl.errors import BusyError, EnrolmentError, RefusedError
from medfl.private import make_private, write_private
from medfl.tunnel import (
    CONFIGURATION,
    PURPOSE,
    SUBNET,
    TAILSCALE,
    Offer,
    hub_file,
    is_host,
    require_key,
    routes,
    secret_in,
    tailscale_address,
)

if TYPE_CHECKING:
    from medfl.hub.place import HubPlace
    from medfl.hub.register import Record

PATIENCE = 10.0
"""Seconds to wait for another process that writes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What whoever runs the hub wants of its VPN; what is None stays as it was.

    Parameters
    ----------
    port
        Where WireGuard shall answer, UDP.
    subnet
        All its addresses.
    endpoint
        Name or address by which sites reach WireGuard; the hub's host unless told otherwise.
    required
        Whether the hub refuses the calls of studies that come another way.
    tailscale
        Whether Tailscale is there already, and is used.
    """

    port: int
    subnet: str | None = None
    endpoint: str | None = None
    required: bool | None = None
    tailscale: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """A site that joined.

    Parameters
    ----------
    site
        Its name.
    identity
        The identity that it joined with, as hexadecimal digits: after a revocation the site has another one.
    key
        WireGuard's public key of it, 32 bytes; empty with Tailscale.
    address
        Its address; empty with Tailscale, which gives its own.
    """

    site: str
    identity: str
    key: bytes
    address: str


def open_network(hub: HubPlace, wanted: Wanted) -> Offer:
    """Make a hub's VPN, or change it; its keys and the sites that joined stay.

    Raises
    ------
    BusyError
        While the hub runs: it shows another certificate afterwards.
    EnrolmentError
        If the addresses cannot be used, or the hub's certificate is not for them.
    """
    with hub.running():
        before = hub.vpn.offer
        offer = _tailscale(wanted, before) if wanted.tailscale else _wireguard(hub, wanted, before)
        hub.require_shown(str(offer.address))
        hub.vpn.keep(hub.authority.signed(offer.text(), purpose=PURPOSE), hub.register.sites())
        hub.renew()
        return offer


class Vpn:
    """The folder of a hub's VPN.

    Parameters
    ----------
    folder
        Where it is; it need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def signed(self) -> Signed:
        """The offer, as the authority has signed it.

        Raises
        ------
        RefusedError
            If the hub has no VPN.
        """
        path = self.folder / "offer.json"
        if not path.exists():
            raise RefusedError(
                "this hub has no VPN",
                remedy="whoever runs the hub makes one: medfl vpn init; without one, nothing needs to be joined",
            )
        return Signed.from_json(json_of(path.read_bytes()))

    @property
    def offer(self) -> Offer | None:
        """What is offered; None where the hub has no VPN."""
        return Offer.of(self.signed.text) if (self.folder / "offer.json").exists() else None

    @property
    def configuration(self) -> Path:
        """The file for ``wg-quick``."""
        return self.folder / CONFIGURATION

    @property
    def secret(self) -> X25519PrivateKey:
        """The hub's private key for WireGuard; it is made when first needed."""
        return secret_in(self.folder)

    def keep(self, offer: Signed, sites: Iterable[Record]) -> None:
        """Write an offer down, and the configuration that belongs to it."""
        with self._locked():
            write_private(self.folder / "offer.json", _lines(offer.to_json()))
            self._write(sites)

    def write(self, sites: Iterable[Record]) -> tuple[Joined, ...]:
        """Write the configuration anew for the sites as they stand now, and return those that are in it."""
        with self._locked():
            return self._write(sites)

    def joined(self, sites: Iterable[Record]) -> tuple[Joined, ...]:
        """Return the sites that joined and are still enrolled, with the identity that they joined with."""
        enrolled = {one.name: one.identity for one in sites if one.status == "approved"}
        return tuple(one for one in self._all() if enrolled.get(one.site) == one.identity)

    def let_in(self, record: Record, key: bytes, sites: Iterable[Record]) -> Joined:
        """Let an enrolled site join; the same key again changes nothing.

        Parameters
        ----------
        record
            The site, whose identity was checked.
        key
            WireGuard's public key of it, 32 bytes.
        sites
            All sites, as they stand.

        Raises
        ------
        RefusedError
            If it joined with another key, the key is somebody else's, or all addresses are taken.
        WireError
            If it is no key.
        """
        with self._locked():
            offer, others = Offer.of(self.signed.text), [one for one in self.joined(sites) if one.site != record.name]
            before = next((one for one in self._all() if one.site == record.name), None)
            if before is not None and before.identity != record.identity:
                before = None
            joined = self._given(offer, record, key, before=before, others=others)
            write_private(self.folder / "joined.json", _lines([_row(one) for one in (*others, joined)]))
            self._write([*(one for one in sites if one.name != record.name), record])
        return joined

    def _given(
        self, offer: Offer, record: Record, key: bytes, *, before: Joined | None, others: list[Joined]
    ) -> Joined:
        if offer.kind == "tailscale":
            return Joined(record.name, record.identity, b"", "")
        require_key(key)
        if before is not None and before.key and before.key != key:
            raise RefusedError(
                "this site joined the VPN with another key",
                where=record.name,
                remedy="put the site's file vpn/private.key back; without a copy, revoke the site and invite it anew",
            )
        if key == self.secret.public_key().public_bytes_raw() or any(one.key == key for one in others):
            raise RefusedError(
                "this key for WireGuard is somebody else's",
                where=record.name,
                remedy="every site makes its own: remove vpn/private.key from the site's folder if it was copied",
            )
        taken = {one.address for one in others} | {str(offer.address)}
        if before is not None and offer.has(before.address) and before.address not in taken:
            return Joined(record.name, record.identity, key, before.address)
        free = next((one for one in map(str, offer.network.hosts()) if one not in taken), None)
        if free is None:
            raise RefusedError(
                "all addresses of the VPN are taken",
                where=str(offer.network),
                remedy="whoever runs the hub chooses a larger one: medfl vpn init --subnet; all sites join once more",
            )
        return Joined(record.name, record.identity, key, free)

    def _write(self, sites: Iterable[Record]) -> tuple[Joined, ...]:
        offer, joined = Offer.of(self.signed.text), self.joined(sites)
        if offer.kind == "tailscale":
            self.configuration.unlink(missing_ok=True)
            return joined
        # A site that joined another network before has to join this one first.
        inside = tuple(one for one in joined if one.key and offer.has(one.address))
        peers = [(one.site, one.key, IPv4Address(one.address)) for one in inside]
        write_private(self.configuration, hub_file(offer, self.secret, peers))
        return inside

    def _all(self) -> list[Joined]:
        path = self.folder / "joined.json"
        rows = json.loads(path.read_bytes()) if path.exists() else []
        read = [texts(row, "site", "identity", "key", "address") for row in rows]
        return [Joined(one["site"], one["identity"], bytes.fromhex(one["key"]), one["address"]) for one in read]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_private(self.folder)
        try:
            with FileLock(self.folder / "lock", timeout=PATIENCE, mode=0o600, thread_local=False):
                yield
        except Timeout:
            raise BusyError("another process changes the VPN", where=str(self.folder), remedy="try again") from None


def _wireguard(hub: HubPlace, wanted: Wanted, before: Offer | None) -> Offer:
    kept = before if before is not None and before.kind == "wireguard" else None
    network = _network(wanted.subnet or (str(kept.network) if kept else SUBNET))
    if kept is None or kept.network != network:
        _require_apart(network)
    host = wanted.endpoint or (kept.host if kept else hub.about.host)
    if not is_host(host):
        raise EnrolmentError(
            "this is no name of a machine",
            where="--endpoint",
            received=repr(host[:80]),
            remedy="give the name or address by which hospitals reach WireGuard on the hub's machine, without a port",
        )
    required = wanted.required if wanted.required is not None else before is not None and before.required
    key = hub.vpn.secret.public_key().public_bytes_raw()
    return Offer("wireguard", network[1], network, required, host, wanted.port, key)


def _tailscale(wanted: Wanted, before: Offer | None) -> Offer:
    if wanted.subnet or wanted.endpoint:
        raise EnrolmentError(
            "Tailscale gives addresses and finds the way by itself",
            where="--tailscale",
            received="--subnet or --endpoint",
            remedy="leave these out, or leave --tailscale out for WireGuard",
        )
    required = wanted.required if wanted.required is not None else before is not None and before.required
    return Offer("tailscale", tailscale_address(), TAILSCALE, required)


def _network(text: str) -> IPv4Network:
    try:
        network = IPv4Network(text)
    except ValueError:
        network = None
    if network is None or not network.is_private or not 8 <= network.prefixlen <= 30:
        raise EnrolmentError(
            "this is no private network for a VPN",
            where="--subnet",
            received=repr(text[:40]),
            remedy=f"give a private one of IPv4 with its length, from /8 to /30, such as {SUBNET}",
        )
    return network


def _require_apart(network: IPv4Network) -> None:
    """Refuse a network that this machine reaches another way already."""
    if (other := next((one for one in routes() if one.overlaps(network)), None)) is not None:
        raise EnrolmentError(
            "this machine reaches these addresses another way already",
            where=f"--subnet {network}",
            received=f"it has a way to {other}",
            remedy="choose a private network that neither the hub nor a hospital uses, as with --subnet 10.203.7.0/24",
        )


def _row(one: Joined) -> dict[str, str]:
    return {"site": one.site, "identity": one.identity, "key": one.key.hex(), "address": one.address}


def _lines(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
