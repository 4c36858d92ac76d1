"""Roads to a hub that are blocked at one hop or another: real sockets, real certificates, real proxies."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Talk = Callable[[socket.socket], None]
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Shown:
    """A certificate that signs itself, for 127.0.0.1."""

    pem: str
    file: Path

    def context(self) -> ssl.SSLContext:
        """Return what a server shows it with."""
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        found.load_cert_chain(self.file)
        return found


def certificate(folder: Path, name: str, *, days: tuple[int, int] = (-1, 300)) -> Shown:
    """Make a certificate of this name, good from and to so many days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(Encoding.PEM)
    file = folder / f"{name.replace(' ', '-')}.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + pem)
    return Shown(pem.decode(), file)


@contextmanager
def serving(talk: Talk, *, shown: Shown | None = None) -> Iterator[int]:
    """Answer each connection with `talk`, over TLS where a certificate is shown; yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            try:
                line.settimeout(10)
                with line if shown is None else shown.context().wrap_socket(line, server_side=True) as open_line:
                    talk(open_line)
            except OSError:
                continue

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        # Closing alone does not wake a thread that accepts.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def head(line: socket.socket) -> str:
    """Read the head of a request."""
    said = b""
    while b"\r\n\r\n" not in said:
        more = line.recv(65536)
        if not more:
            break
        said += more
    return said.decode("latin-1")


def hub(words: dict[str, object], *, upgrades: bool = True) -> Talk:
    """Return a hub that says these words, and opens WebSockets or does not."""

    def talk(line: socket.socket) -> None:
        asked = head(line)
        if "Upgrade: websocket" in asked:
            status = "101 Switching Protocols" if upgrades else "403 Forbidden"
            line.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        body = json.dumps(words).encode()
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    return talk


def proxy(status: str, *, asked: list[str]) -> Talk:
    """Return a proxy that answers so, and passes on where that is 200."""

    def talk(line: socket.socket) -> None:
        asked.append(head(line))
        line.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())
        if not status.startswith("200"):
            return
        host, port = asked[-1].split(" ")[1].rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=10) as onward:
            back = threading.Thread(target=_carry, args=(onward, line), daemon=True)
            back.start()
            _carry(line, onward)
            back.join(10)

    return talk


def _carry(source: socket.socket, sink: socket.socket) -> None:
    try:
        while body := source.recv(65536):
            sink.sendall(body)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return
