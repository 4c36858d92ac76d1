"""How a site reaches its hub: over HTTPS, with the certificate that the hub's authority signed for, and no other."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import gmtime, monotonic, strftime, time
from typing import IO, Any, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from medfl.enrolment import (
    AUTHORITY,
    LARGEST,
    PROTOCOL,
    TRANSPORT,
    Signed,
    address,
    certificate_digest,
    json_of,
    texts,
)
from medfl.errors import EngineError, EnrolmentError, MedflError, WireError, by_code
from medfl.foreign import printable
from medfl.versions import Speaks, agreed, here

PATIENCE = 20.0
"""Seconds that a hub has for an answer."""
SKEWED = 120.0
"""Seconds that two clocks may differ before it is said."""


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub that was recognised.

    Parameters
    ----------
    host, port
        Where it is.
    name
        What people call it.
    authority
        The certificate of its authority.
    trust
        PEM of the certificate that it must show, or that must have signed what it shows.
    direct
        Whether this is its address in a VPN, which no proxy leads to.
    """

    host: str
    port: int
    name: str
    authority: x509.Certificate
    trust: str
    direct: bool = False

    @classmethod
    def recognised(cls, host: str, port: int, *, authority: bytes, direct: bool = False) -> Self:
        """Ask who answers there, and believe it only if it shows the authority that was expected.

        Nothing secret is sent, so the line need not be trusted yet.

        Parameters
        ----------
        host, port
            Where to ask.
        authority
            SHA-256 of the authority's certificate.
        direct
            Whether it is an address in a VPN.

        Raises
        ------
        EnrolmentError
            If somebody else answers.
        EngineError
            If nobody does.
        """
        said = asked(host, port, AUTHORITY, context=_unverified(), direct=direct)
        words = texts(said, "hub", "authority")
        try:
            shown = x509.load_pem_x509_certificate(words["authority"].encode())
        except (ValueError, x509.InvalidVersion) as error:
            raise WireError("the hub's authority cannot be read", where=address(host, port)) from error
        if certificate_digest(shown) != authority:
            raise EnrolmentError(
                "what answers there is not the hub that invited you",
                where=address(host, port),
                received="another authority than the invitation's",
                remedy="nothing was sent. Ask your network people whether something opens encrypted traffic on the "
                "way, and whoever runs the hub whether it was made anew",
            )
        trust = Signed.from_json(said.get("transport")).verified(shown, purpose=TRANSPORT)
        return cls(host, port, printable(words["hub"]), shown, trust, direct)

    def ask(self, path: str, words: Mapping[str, Any]) -> dict[str, Any]:
        """Send words, and return what the hub answers.

        Raises
        ------
        MedflError
            What the hub refuses with; or why it cannot be reached.
        """
        told = {**words, "speaks": here().to_json()}
        said = asked(self.host, self.port, path, context=self.context(), words=told, direct=self.direct)
        agreed(Speaks.read(said.get("speaks")), here())
        return said

    def context(self) -> ssl.SSLContext:
        """Return what checks that the hub itself answers."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A certificate that the hub's people bought is trusted by itself, not by who sold it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            context.load_verify_locations(cadata=self.trust)
        except (ssl.SSLError, ValueError) as error:
            raise WireError("the hub's certificate cannot be read", where=address(self.host, self.port)) from error
        if (accepted := inspector()) is not None:
            context.load_verify_locations(cafile=accepted)
        return context

    @property
    def pem(self) -> str:
        """The authority's certificate as PEM."""
        return self.authority.public_bytes(Encoding.PEM).decode()


def inspector() -> Path | None:
    """Return the certificates of an inspection that opens encrypted traffic here, where the site's people accept one.

    It can read then what is not masked; whom the site has for peers and what it answers stay signed from end to end.

    Raises
    ------
    EnrolmentError
        If MEDFL_CA_FILE names no file of certificates.
    """
    named = os.environ.get("MEDFL_CA_FILE")
    if not named:
        return None
    try:
        x509.load_pem_x509_certificates(Path(named).read_bytes())
    except (OSError, ValueError) as error:
        raise EnrolmentError(
            "there are no certificates in the file that MEDFL_CA_FILE names",
            where=named,
            received=type(error).__name__,
            remedy="give a PEM file with the certificates of what opens encrypted traffic, or unset MEDFL_CA_FILE",
        ) from error
    return Path(named)


def asked(
    host: str,
    port: int,
    path: str,
    *,
    context: ssl.SSLContext,
    words: Mapping[str, Any] | None = None,
    direct: bool = False,
) -> dict[str, Any]:
    """Ask a hub, through a proxy where the environment names one and the hub is not asked through a VPN.

    Raises
    ------
    MedflError
        What the hub refuses with; or why it cannot be reached.
    """
    where = address(host, port)
    body = None if words is None else json.dumps(words).encode()
    request = urllib.request.Request(
        f"https://{where}{path}", data=body, headers={"Content-Type": "application/json", "User-Agent": "medfl"}
    )
    proxies = [urllib.request.ProxyHandler({})] if direct else []
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _Straight(), *proxies)
    try:
        with opener.open(request, timeout=PATIENCE) as response:
            said = json_of(_body(response))
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(error, where) from error
    except urllib.error.URLError as error:
        raise _unreached(error.reason, where, direct=direct) from error
    except (OSError, http.client.HTTPException, UnicodeError, OverflowError) as error:
        # The last two: an invitation names a machine or a port that there cannot be.
        raise _unreached(error, where, direct=direct) from error
    _require_alike(said, where)
    return said


def skew(said: Mapping[str, Any]) -> str:
    """Return a sentence if this machine's clock and the hub's differ, by what the hub has just said; else nothing."""
    now = said.get("now")
    if not isinstance(now, int | float) or not abs(now) < 1e12 or abs(apart := time() - now) < SKEWED:
        return ""
    way, amount = ("ahead of" if apart > 0 else "behind"), _spoken(abs(apart))
    return f"This machine's clock is {amount} {way} the hub's; set one of them right (both should follow NTP)."


class _Straight(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else than it was told to."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _body(response: IO[bytes]) -> bytes:
    """Read an answer up to the size of the largest, and for so long: it may come byte by byte.

    Raises
    ------
    OSError
        If it takes longer.
    """
    body, until = bytearray(), monotonic() + 2 * PATIENCE
    while len(body) <= LARGEST and (part := response.read1(LARGEST + 1 - len(body))):  # type: ignore[attr-defined]
        body += part
        if monotonic() > until:
            raise TimeoutError("the answer does not come to its end")
    return bytes(body)


def _refusal(error: urllib.error.HTTPError, where: str) -> MedflError:
    """Return what the hub refuses with, in its own words."""
    try:
        said = json_of(_body(error))["error"]
        code, names = str(said["code"]), ("what", "where", "received", "remedy")
        spoken = [{name: printable(text) for name, text in texts(one, *names).items()} for one in said["complaints"]]
        first = spoken[0]
    except (WireError, KeyError, TypeError, IndexError, OSError, http.client.HTTPException):
        return EngineError(
            "what answers there is no hub of MEDfl",
            where=where,
            received=f"HTTP status {error.code}",
            remedy="check host and port; behind nginx or Caddy all of /v1/ must be passed on to the hub",
        )
    place = ", ".join(filter(None, (f"hub {where}", first["where"])))
    return by_code(code)(first["what"], where=place, received=first["received"], remedy=first["remedy"])


def _unreached(reason: object, where: str, *, direct: bool) -> MedflError:
    """Say why there was no answer."""
    if isinstance(reason, ssl.SSLCertVerificationError):
        if "not yet valid" in reason.verify_message or "expired" in reason.verify_message:
            return EnrolmentError(
                "the hub's certificate does not hold at this machine's time",
                where=where,
                received=f"{reason.verify_message}; this machine's clock says {_now()}",
                remedy="set this machine's clock right; if it is, ask whoever runs the hub to renew its certificate",
            )
        return EnrolmentError(
            "what answers there does not show the hub's certificate",
            where=where,
            received=reason.verify_message,
            remedy="nothing was sent. Ask your network people whether something opens encrypted traffic on the way; "
            "if the hub has a new certificate: medfl site enrol",
        )
    if isinstance(reason, ssl.SSLError):
        return EngineError(
            "no encrypted connection to the hub",
            where=where,
            received=reason.reason or type(reason).__name__,
            remedy="check that the port is the hub's, and that no proxy on the way speaks plain HTTP",
        )
    said = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return EngineError(
        "the hub cannot be reached",
        where=where,
        received=said,
        remedy="see whether the tunnel is up (medfl vpn status) and the hub runs; to go around the tunnel again: "
        "medfl vpn leave"
        if direct
        else "see whether the hub runs; check network, firewall (out, TCP) and, with a proxy, HTTPS_PROXY",
    )


def _require_alike(said: Mapping[str, Any], where: str) -> None:
    if said.get("protocol") != PROTOCOL:
        raise EnrolmentError(
            "site and hub speak different versions of enrolment",
            where=where,
            received=f"version {str(said.get('protocol'))[:20]} at the hub, {PROTOCOL} here",
            remedy="upgrade MEDfl where the number is lower: pip install --upgrade medfl",
        )


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _now() -> str:
    return strftime("%Y-%m-%d %H:%M UTC", gmtime())


def _spoken(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 7200 else f"{seconds / 60:.0f} minutes"
