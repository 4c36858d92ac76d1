"""The proxy that the environment names, and the way through it."""

from __future__ import annotations

import base64
import socket
import urllib.request
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

from medfl.doctor.finding import Finding, blocked
from medfl.enrolment import address

LONGEST = 65536
"""Bytes of the longest answer that is read from a proxy."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy for HTTPS.

    Parameters
    ----------
    host, port
        Where it is.
    user, password
        What it is shown; empty for nothing.
    """

    host: str
    port: int
    user: str = ""
    password: str = ""

    def __str__(self) -> str:
        return address(self.host, self.port)

    def __repr__(self) -> str:
        return f"Proxy({self}, {'with' if self.user else 'without'} credentials)"

    @classmethod
    def of_environment(cls, host: str) -> Self | None:
        """Return the proxy that HTTPS_PROXY names for a host; None where there is none, or NO_PROXY names the host.

        Raises
        ------
        ValueError
            If what is named is no address.
        """
        named = urllib.request.getproxies().get("https")
        if not named or urllib.request.proxy_bypass(host):
            return None
        parts = urlsplit(named if "://" in named else f"http://{named}")
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("HTTPS_PROXY is not of the form http://[USER:PASSWORD@]HOST:PORT")
        return cls(parts.hostname, parts.port or 80, unquote(parts.username or ""), unquote(parts.password or ""))


class NotLetThroughError(Exception):
    """A proxy does not pass a connection on."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(finding.said)


def through(line: socket.socket, proxy: Proxy, *, host: str, port: int) -> socket.socket:
    """Return a line to a proxy as one that goes on to a host (RFC 9110, section 9.3.6).

    Raises
    ------
    NotLetThroughError
        With the proxy's reason.
    """
    where = address(host, port)
    asked = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
    if proxy.user:
        shown = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        asked.append(f"Proxy-Authorization: Basic {shown}")
    line.sendall(("\r\n".join(asked) + "\r\n\r\n").encode())
    status, reason = _status(line)
    if status == 200:
        return line
    raise NotLetThroughError(_refused(status, reason, proxy, where))


def _status(line: socket.socket) -> tuple[int, str]:
    """Return what a proxy answers: status and reason; 0 for no HTTP."""
    said = bytearray()
    # One byte at a time: what follows the head belongs to the tunnel.
    while not said.endswith(b"\r\n\r\n") and len(said) < LONGEST:
        byte = line.recv(1)
        if not byte:
            break
        said += byte
    first = said.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    if len(first) < 2 or not first[0].startswith("HTTP/") or not (first[1].isascii() and first[1].isdigit()):
        return 0, ""
    return int(first[1]), first[2][:80] if len(first) > 2 else ""


def _refused(status: int, reason: str, proxy: Proxy, where: str) -> Finding:
    if status == 407 and proxy.user:
        return blocked("proxy", f"the proxy {proxy} does not accept the credentials of {proxy.user!r}",
                       "mend user and password in HTTPS_PROXY; write special letters as %XX")  # fmt: skip
    if status == 407:
        return blocked("proxy", f"the proxy {proxy} asks who you are",
                       "write HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT in a file that only you can read")  # fmt: skip
    if status == 0:
        return blocked("proxy", f"what answers at {proxy} is no proxy for HTTPS",
                       "check host and port in HTTPS_PROXY")  # fmt: skip
    return blocked("proxy", f"the proxy {proxy} does not pass on to {where}: {status} {reason}".strip(),
                   f"ask your network people to allow CONNECT to {where}")  # fmt: skip
