"""What hub and site say to each other about a VPN: the hub's offer, a site's joining, and WireGuard's files.

A site's people hand such a file to ``wg-quick``, which runs as root and carries out commands that stand in it: nothing
that came from elsewhere is written there but numbers, addresses and names of machines.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
import socket
from base64 import b64decode, b64encode
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Literal, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from medfl.enrolment import Signed, address, bytes_of, json_of, texts, unreadable, worded
from medfl.errors import EnrolmentError, WireError
from medfl.private import require_private, write_private

VPN = "/v1/vpn"
"""Where a hub lets sites join."""
PURPOSE = "offer of a VPN"
"""What the authority signs an offer for."""
PORT = 51820
"""Where WireGuard answers (UDP) unless told otherwise."""
SUBNET = "10.77.0.0/24"
"""The private network unless told otherwise."""
TAILSCALE = IPv4Network("100.64.0.0/10")
"""Where Tailscale gives addresses."""
CONFIGURATION = "medfl.conf"
"""The file for ``wg-quick``; the interface is called so without the ending."""
SECRET = "private.key"  # noqa: S105 - the name of a file
"""The file of a private key, in base64 as WireGuard writes it."""
ALIVE = 25
"""Seconds between two signs of life of a site, so that a router on its way keeps the tunnel open."""
ROUTES = Path("/proc/net/route")
"""Where Linux tells which networks a machine reaches."""
Kind = Literal["wireguard", "tailscale"]
_HOST = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A hub's VPN, as its authority signs it.

    Parameters
    ----------
    kind
        Whether MEDfl writes configurations for WireGuard, or Tailscale is there already.
    address
        The hub's address in it.
    network
        All addresses in it.
    required
        Whether the hub refuses the calls of studies that come another way.
    host, port
        Where WireGuard answers on the hub's machine, UDP; empty and 0 with Tailscale.
    key
        WireGuard's public key of the hub, 32 bytes; empty with Tailscale.
    """

    kind: Kind
    address: IPv4Address
    network: IPv4Network
    required: bool
    host: str = ""
    port: int = 0
    key: bytes = b""

    def text(self) -> str:
        """Return it as the text that is signed."""
        words = {"kind": self.kind, "address": str(self.address), "network": str(self.network), "host": self.host}
        return json.dumps(words | {"key": self.key.hex(), "port": self.port, "required": self.required})

    @classmethod
    def of(cls, text: str) -> Self:
        """Read a text.

        Raises
        ------
        WireError
            If a part of it is not what it should be.
        """
        said = json_of(text.encode())
        words = texts(said, "kind", "address", "network", "host", "key")
        kind, port, required = words["kind"], said.get("port"), said.get("required")
        try:
            where, network = IPv4Address(words["address"]), IPv4Network(words["network"])
        except ValueError as error:
            raise unreadable("addresses of a VPN") from error
        if type(port) is not int or type(required) is not bool or where not in network:
            raise unreadable("an offer of a VPN")
        key = bytes_of(words["key"])
        if kind == "tailscale":
            return cls("tailscale", where, network, required)
        if kind != "wireguard" or len(key) != 32 or not 0 < port < 65536 or not is_host(words["host"]):
            raise unreadable("an offer of WireGuard")
        return cls("wireguard", where, network, required, words["host"], port, key)

    @classmethod
    def read(cls, signed: Signed, authority: x509.Certificate) -> Self:
        """Read what the authority has signed.

        Raises
        ------
        EnrolmentError
            If it has not.
        WireError
            If the text is no offer.
        """
        return cls.of(signed.verified(authority, purpose=PURPOSE))

    def has(self, source: str) -> bool:
        """Say whether an address lies in the network."""
        try:
            return IPv4Address(source) in self.network
        except ValueError:
            return False

    def own(self, text: str) -> IPv4Address:
        """Return the address that a site is given.

        Raises
        ------
        WireError
            If it is none, or not one for a site of this network.
        """
        try:
            given = IPv4Address(text)
        except ValueError as error:
            raise unreadable("an address of the site in the VPN") from error
        if given not in self.network or given in (self.address, self.network[0], self.network[-1]):
            raise unreadable("an address of the site in the VPN")
        return given


def statement(authority: bytes, site: str, key: bytes) -> bytes:
    """Return what a site's identity signs to join.

    Parameters
    ----------
    authority
        SHA-256 of the certificate of the hub's authority, so that another hub can do nothing with it.
    site
        The site's name.
    key
        WireGuard's public key of the site, 32 bytes; empty with Tailscale.
    """
    return worded("medfl vpn", authority, site, key)


def hub_file(offer: Offer, secret: X25519PrivateKey, peers: Iterable[tuple[str, bytes, IPv4Address]]) -> bytes:
    """Return the configuration of the hub's end.

    Parameters
    ----------
    offer
        The hub's VPN.
    secret
        Its private key.
    peers
        Name, public key and address of each site that joined.
    """
    lines = [
        *("[Interface]", f"Address = {offer.address}/{offer.network.prefixlen}", f"ListenPort = {offer.port}"),
        f"PrivateKey = {_text(secret.private_bytes_raw())}",
    ]
    for name, key, where in peers:
        lines += ["", "[Peer]", f"# {name}", f"PublicKey = {_text(key)}", f"AllowedIPs = {where}/32"]
    return _file(lines, "medfl vpn config")


def site_file(offer: Offer, secret: X25519PrivateKey, own: IPv4Address) -> bytes:
    """Return the configuration of a site's end: the hub's address goes through the tunnel, and nothing else.

    Parameters
    ----------
    offer
        The hub's VPN.
    secret
        The site's private key.
    own
        The site's address.
    """
    interface = ["[Interface]", f"Address = {own}/32", f"PrivateKey = {_text(secret.private_bytes_raw())}"]
    peer = ["[Peer]", f"PublicKey = {_text(offer.key)}", f"AllowedIPs = {offer.address}/32"]
    endpoint = [f"Endpoint = {address(offer.host, offer.port)}", f"PersistentKeepalive = {ALIVE}"]
    return _file([*interface, "", *peer, *endpoint], "medfl vpn join")


def secret_in(folder: Path) -> X25519PrivateKey:
    """Return the private key for WireGuard that a folder holds; it is made when first needed.

    Raises
    ------
    EnrolmentError
        If others can read it, or it is damaged.
    """
    path = folder / SECRET
    if not path.exists():
        write_private(path, (_text(X25519PrivateKey.generate().private_bytes_raw()) + "\n").encode())
    require_private(path)
    try:
        return X25519PrivateKey.from_private_bytes(b64decode(path.read_bytes().strip(), validate=True))
    except ValueError as error:
        raise EnrolmentError(
            "the private key for WireGuard cannot be read",
            where=str(path),
            received=type(error).__name__,
            remedy="put a copy back; without one the site is revoked and invited anew, and makes another",
        ) from error


def reload_command(file: Path) -> str:
    """Return what root types so that a tunnel that is up follows its configuration, without a break."""
    script = f"wg syncconf {file.stem} <(wg-quick strip {shlex.quote(str(file))})"
    return f"sudo bash -c {shlex.quote(script)}"


def up_command(file: Path) -> str:
    """Return what root types to bring a tunnel up."""
    return f"sudo wg-quick up {shlex.quote(str(file))}"


def is_host(text: str) -> bool:
    """Say whether a text is the name or the address of a machine, and nothing more."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None
    return "%" not in text


def routes() -> list[IPv4Network]:
    """Return the networks that this machine reaches already, as far as its system tells; not the way to all others."""
    try:
        lines = ROUTES.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return []
    found = []
    for line in lines:
        interface, target, *rest = line.split()
        # An interface that wg-quick made of an earlier configuration is no stranger.
        if interface != Path(CONFIGURATION).stem and int(rest[5], 16):
            found.append(IPv4Network((_number(target), str(IPv4Address(_number(rest[5]))))))
    return found


def here(own: IPv4Address | str) -> bool:
    """Say whether an address is one of this machine's, as it is while the tunnel is up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.bind((str(own), 0))
        return True
    return False


def tailscale_address() -> IPv4Address:
    """Return this machine's address in a Tailscale network.

    Raises
    ------
    EnrolmentError
        If it has none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        # Nothing is sent: the system only says from which address it would go to Tailscale's own name server.
        probe.connect(("100.100.100.100", 53))
        found = IPv4Address(probe.getsockname()[0])
        if found in TAILSCALE:
            return found
    raise EnrolmentError(
        "this machine has no address in a Tailscale network",
        received=f"none in {TAILSCALE}",
        remedy="start Tailscale (tailscale up; tailscale ip -4 tells the address), then type this again",
    )


def require_key(key: bytes) -> bytes:
    """Return a public key for WireGuard.

    Raises
    ------
    WireError
        If it is none.
    """
    if len(key) != 32 or not any(key):
        raise WireError("this is no public key for WireGuard", received=f"{len(key)} bytes", remedy="medfl vpn join")
    return key


def _file(lines: list[str], command: str) -> bytes:
    head = f"# Written by MEDfl, and written anew by: {command}. It holds a private key."
    return ("\n".join([head, *lines]) + "\n").encode()


def _text(key: bytes) -> str:
    return b64encode(key).decode()


def _number(hexadecimal: str) -> int:
    """Return an address as Linux writes it, least significant byte first."""
    return int.from_bytes(bytes.fromhex(hexadecimal), "little")
