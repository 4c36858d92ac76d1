"""The way from a site to its hub, hop by hop: name, proxy, connection, encryption, hub, clock, version, wake-up.

Each hop is tried for itself and as the site's agent would; the first that is blocked is named, and what lies behind it
is not guessed at.
"""

from __future__ import annotations

import http.client
import secrets
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from medfl.doctor.finding import Finding, blocked, caution, clear
from medfl.doctor.proxies import NotLetThroughError, Proxy, through
from medfl.enrolment import AUTHORITY, LARGEST, PROTOCOL, WAKE, address
from medfl.errors import VersionError, WireError
from medfl.foreign import understood
from medfl.versions import Speaks, agreed, here

PATIENCE = 10.0
"""Seconds that a hop has."""
SKEWED = 120.0
"""Seconds that two clocks may differ."""
SOON = 30
"""Days before its end from which on a certificate's end is spoken of."""


@dataclass(frozen=True, slots=True)
class Target:
    """The hub, as the site knows it.

    Parameters
    ----------
    host, port
        Where it is.
    trust
        PEM of the certificate that it must show, or that must have signed what it shows; empty before enrolment.
    inspector
        File with the certificates of an inspection on the way that the site accepts, if there is one.
    direct
        Whether this is the hub's address in a VPN, which no proxy leads to.
    """

    host: str
    port: int
    trust: str = ""
    inspector: Path | None = None
    direct: bool = False

    def __str__(self) -> str:
        return address(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Way:
    """How the hub is reached.

    Parameters
    ----------
    target
        The hub.
    proxy
        The proxy in between, if there is one.
    patience
        Seconds that a hop has.
    """

    target: Target
    proxy: Proxy | None = None
    patience: float = PATIENCE

    @property
    def next(self) -> tuple[str, int]:
        """Where this machine connects to."""
        return (self.target.host, self.target.port) if self.proxy is None else (self.proxy.host, self.proxy.port)


def walk(target: Target, *, patience: float = PATIENCE) -> Iterator[Finding]:
    """Try the way to a hub; the last finding is the hop that is blocked, if one is.

    Parameters
    ----------
    target
        The hub.
    patience
        Seconds that a hop has.
    """
    try:
        way = Way(target, None if target.direct else Proxy.of_environment(target.host), patience)
    except ValueError as error:
        yield blocked("proxy", str(error), "mend HTTPS_PROXY, or unset it where there is no proxy")
        return
    name = _name(way)
    yield name
    if name.state == "blocked":
        return
    line = yield from _line(way)
    if line is None:
        return
    with line:
        shaken = _shaken(way, line)
    yield shaken
    if shaken.state != "blocked":
        yield from _spoken(way)


def _name(way: Way) -> Finding:
    """Look up whom this machine connects to."""
    host = way.next[0]
    whose = "the proxy" if way.proxy else "the hub"
    try:
        found = {str(one[4][0]) for one in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (socket.gaierror, UnicodeError) as error:
        said = getattr(error, "strerror", None) or "no name"
        return blocked("name", f"nobody here knows the address of {whose}, {host} ({said})",
                       "check the spelling and this machine's name servers (DNS); ask your network people")  # fmt: skip
    if found == {host}:
        return clear("name", f"{host} is an address already")
    return clear("name", f"{host} is {', '.join(sorted(found)[:3])}")


def _line(way: Way) -> Generator[Finding, None, socket.socket | None]:
    """Connect, and pass the proxy where there is one; None where that fails."""
    host, port = way.next
    where, began = address(host, port), time.monotonic()
    try:
        line = socket.create_connection((host, port), timeout=way.patience)
    except TimeoutError:
        yield blocked("connection", f"nothing answers at {where} within {way.patience:.0f} s",
                      f"a firewall drops it, most likely: ask for outgoing TCP to {where}")  # fmt: skip
        return None
    except ConnectionRefusedError:
        yield blocked("connection", f"{where} refuses connections",
                      "check the port; the hub does not run, or a firewall rejects it on the way")  # fmt: skip
        return None
    except OSError as error:
        yield blocked("connection", f"{where} cannot be reached ({error.strerror or type(error).__name__})",
                      f"check this machine's network, and that outgoing TCP to {where} is allowed")  # fmt: skip
        return None
    yield clear("connection", f"{where} answers in {1000 * (time.monotonic() - began):.0f} ms")
    if way.proxy is None:
        return line
    try:
        through(line, way.proxy, host=way.target.host, port=way.target.port)
    except NotLetThroughError as error:
        line.close()
        yield error.finding
        return None
    except OSError as error:
        line.close()
        yield blocked("proxy", f"the proxy {way.proxy} hangs up ({error.strerror or 'without an answer'})",
                      "check host and port in HTTPS_PROXY")  # fmt: skip
        return None
    yield clear("proxy", f"{way.proxy} passes on to {way.target}")
    return line


def _shaken(way: Way, line: socket.socket) -> Finding:
    """Shake hands, and look whose certificate is shown."""
    try:
        with _context(way.target).wrap_socket(line, server_hostname=way.target.host) as found:
            return _shown(way, _certificate(found))
    except ssl.SSLCertVerificationError as error:
        return _distrusted(way, error.verify_message)
    except (ssl.SSLError, OSError) as error:
        said = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        return blocked("encryption", f"no encrypted connection to {way.target} ({said})",
                       "check the port; if it is the hub's, something on the way cuts encryption off")  # fmt: skip


def _shown(way: Way, certificate: x509.Certificate) -> Finding:
    """Say whose certificate was accepted."""
    until = certificate.not_valid_after_utc
    if way.target.trust and not _is_the_hubs(way.target, certificate):
        return caution("encryption", f"{_issuer(certificate)} opens encrypted traffic on the way, and you accept that",
                       "who runs it can read what is not masked: better ask to exempt the hub")  # fmt: skip
    whose = "the hub shows its certificate" if way.target.trust else f"a certificate of {_issuer(certificate)} is shown"
    if (until - datetime.now(UTC)).days < SOON:
        return caution("encryption", f"{whose}, which ends on {until:%Y-%m-%d}", "ask whoever runs the hub to renew it")
    return clear("encryption", f"{whose}, which holds until {until:%Y-%m-%d}")


def _distrusted(way: Way, reason: str) -> Finding:
    """Say who answered instead of the hub."""
    if "not yet valid" in reason or "expired" in reason:
        return blocked("encryption", f"the certificate that is shown does not hold at this machine's time ({reason})",
                       f"this machine's clock says {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: set it right; if it is, ask "
                       "whoever runs the hub to renew its certificate")  # fmt: skip
    try:
        with _opened(way, trusting=True) as found:
            whose = _issuer(_certificate(found))
    except (OSError, NotLetThroughError):
        whose = "somebody else"
    return blocked("encryption", f"not the hub's certificate is shown but one of {whose} ({reason})",
                   f"something opens encrypted traffic on the way: ask your network people to exempt {way.target}, or "
                   "accept theirs: MEDFL_CA_FILE=FILE. If the hub has a new certificate: medfl site enrol")  # fmt: skip


def _spoken(way: Way) -> Iterator[Finding]:
    """Ask the hub who it is, and look at what it says."""
    try:
        status, said = _asked(way, AUTHORITY, {})
    except (OSError, http.client.HTTPException, NotLetThroughError) as error:
        yield blocked("hub", f"no answer from {way.target} ({type(error).__name__})",
                      "try again; if it stays so, look into the hub's log")  # fmt: skip
        return
    if status != http.HTTPStatus.OK or "protocol" not in said:
        yield blocked("hub", f"what answers at {way.target} is no hub of MEDfl (HTTP status {status})",
                      "check host and port; behind nginx or Caddy pass on all of /v1/ to the hub")  # fmt: skip
        return
    yield clear("hub", f"{str(said.get('hub'))[:80]} answers")
    yield _alike(said)
    yield _in_time(said)
    yield _woken(way)


def _alike(said: dict[str, Any]) -> Finding:
    theirs = str(said.get("version", "an unknown version"))[:40]
    if said["protocol"] == PROTOCOL:
        try:
            agreed(Speaks.read(said.get("speaks")), here())
        except (VersionError, WireError) as error:
            first = error.complaints[0]
            return blocked("version", f"{first.what} ({first.received})", first.remedy)
        return clear("version", f"hub {theirs}, here {_version()}: they understand each other")
    return blocked("version", f"hub {theirs} speaks protocol {str(said['protocol'])[:10]}, here {_version()} speaks "
                   f"{PROTOCOL}", "upgrade MEDfl where the number is lower: pip install --upgrade medfl")  # fmt: skip


def _in_time(said: dict[str, Any]) -> Finding:
    now = said.get("now")
    if not isinstance(now, int | float) or not abs(now) < 1e12:
        return clear("clock", "the hub does not tell its time")
    apart = time.time() - float(now)
    if abs(apart) < SKEWED:
        return clear("clock", f"within {abs(apart) + 1:.0f} s of the hub's")
    side = "ahead of" if apart > 0 else "behind"
    return caution("clock", f"{abs(apart) / 60:.0f} minutes {side} the hub's", "let both machines follow NTP")


def _woken(way: Way) -> Finding:
    """Try to open a WebSocket (RFC 6455, section 4.1)."""
    hello = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": b64encode(secrets.token_bytes(16)).decode(),
    }
    poll = "the site asks for work now and then instead: rounds start some seconds later"
    try:
        status, said = _asked(way, WAKE, hello)
    except (OSError, http.client.HTTPException, NotLetThroughError) as error:
        return caution("wake-up", f"a WebSocket is cut off on the way ({type(error).__name__}); {poll}", _ALLOW)
    if status == http.HTTPStatus.NOT_FOUND and "protocol" in said:
        return clear("wake-up", f"this hub wakes nobody; {poll}")
    if status == http.HTTPStatus.SWITCHING_PROTOCOLS:
        return clear("wake-up", "a WebSocket can be opened: the hub wakes the site when there is work")
    return caution("wake-up", f"a WebSocket is refused on the way (HTTP status {status}); {poll}", _ALLOW)


_ALLOW = "works as it is; for quicker rounds ask your network people to let WebSockets to the hub through"


def _asked(way: Way, path: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON of an answer; nothing of it is believed."""
    with _opened(way, trusting=not way.target.trust) as line:
        talk = http.client.HTTPConnection(way.target.host, way.target.port, timeout=way.patience)
        talk.sock = line
        talk.request("GET", path, headers={"User-Agent": "medfl", **headers})
        answer = talk.getresponse()
        if answer.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
            return answer.status, {}
        try:
            said = understood(answer.read(LARGEST))
        except ValueError:
            said = None
        return answer.status, said if isinstance(said, dict) else {}


def _opened(way: Way, *, trusting: bool) -> ssl.SSLSocket:
    """Return an encrypted line to the hub; `trusting` takes whoever answers."""
    target = Target(way.target.host, way.target.port) if trusting else way.target
    # Wrapped, the line belongs to what it is wrapped in, and is not closed here.
    with socket.create_connection(way.next, timeout=way.patience) as line:
        if way.proxy is not None:
            through(line, way.proxy, host=way.target.host, port=way.target.port)
        return _context(target).wrap_socket(line, server_hostname=way.target.host)


def _context(target: Target) -> ssl.SSLContext:
    """Return what is accepted: the hub's certificate, and an inspection's where the site accepts one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not target.trust:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    context.load_verify_locations(cadata=target.trust)
    if target.inspector is not None:
        context.load_verify_locations(cafile=target.inspector)
    return context


def _certificate(line: ssl.SSLSocket) -> x509.Certificate:
    return x509.load_der_x509_certificate(line.getpeercert(binary_form=True) or b"")


def _is_the_hubs(target: Target, shown: x509.Certificate) -> bool:
    """Say whether a certificate is the one that is trusted, or of the authority that is."""
    for trusted in x509.load_pem_x509_certificates(target.trust.encode()):
        if trusted == shown:
            return True
        try:
            shown.verify_directly_issued_by(trusted)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


def _version() -> str:
    return version("medfl")


def _issuer(certificate: x509.Certificate) -> str:
    """Return who issued a certificate, as it says itself."""
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        if found := certificate.issuer.get_attributes_for_oid(kind):
            return repr(str(found[0].value)[:80])
    return "an issuer without a name"
