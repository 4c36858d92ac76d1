"""A deployment on one machine: a SuperLink, and a process for each site that talks to it as an agent would."""

from __future__ import annotations

import datetime
import ipaddress
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from medfl.messages import Refusal, Reply, Request
from medfl.run.flower.coordinator import register
from medfl.run.flower.engine import FlowerEngine
from medfl.run.flower.keeping import Kept, last_line
from medfl.run.flower.node import Address
from medfl.run.flower.serving import serve
from medfl.run.flower.superlink import HOST, QUIET, Certificates, SuperLink
from medfl.run.processes import ONE_THREAD

COMING = 120.0
"""Seconds that all sites together have for their start."""
VALID = datetime.timedelta(days=30)


class Rehearsal(FlowerEngine):
    """The engine over a SuperLink and sites of its own, all on this machine and ended with it.

    Parameters
    ----------
    folder
        Where the SuperLink's state, the keys and the sites' postboxes are.
    sites
        The sites' names.
    command
        What starts a site's process; it reads one frame of JSON from its standard input and then calls
        :func:`serve_as_told` with it.
    words
        What that frame says besides where the SuperLink is.
    """

    def __init__(
        self, folder: Path, sites: Iterable[str], *, command: Sequence[str], words: Mapping[str, Any] | None = None
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = sorted(sites)
        keys = {name: public_key(folder / f"{name}.pem") for name in names}
        with ExitStack() as stack:
            self.link = stack.enter_context(SuperLink(folder / "superlink", certificates(folder)))
            self.link.wait()
            super().__init__(self.link, register(self.link, keys))
            self.agents: dict[str, Kept] = {}
            for name in names:
                agent = self._agent(folder, name, command=command, words=words or {})
                stack.callback(agent.end)
                self.agents[name] = agent
            stack.callback(self.leave)
            self.wait(COMING, logs=lambda name: last_line(folder / f"{name}.log"))
            self._stack = stack.pop_all()

    def close(self) -> None:
        """End the sites and the SuperLink."""
        self._stack.close()

    def _agent(self, folder: Path, name: str, *, command: Sequence[str], words: Mapping[str, Any]) -> Kept:
        where = {
            "site": name,
            "address": self.link.address,
            "root": str(self.link.certificates.root),
            "key": str(folder / f"{name}.pem"),
            "postbox": str(folder / "postboxes" / name),
        }
        opening = json.dumps({**words, "flower": where}).encode()
        return Kept(command, environment=QUIET | ONE_THREAD, log=folder / f"{name}.log", opening=opening)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve_as_told(words: Mapping[str, Any], answer: Callable[[Request], Reply | Refusal]) -> None:
    """Answer for the site that the first frame names, until the process ends."""
    told = words["flower"]
    serve(Address(told["address"], Path(told["root"]), Path(told["key"])), answer, folder=Path(told["postbox"]))


def certificates(folder: Path) -> Certificates:
    """Make an authority of this folder's own and a certificate of it for 127.0.0.1, unless they are there."""
    made = Certificates(folder / "root.crt", folder / "superlink.crt", folder / "superlink.pem")
    if not made.certificate.exists():
        authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        root = _certificate("MEDfl rehearsal", authority, by=None)
        made.root.write_bytes(root.public_bytes(serialization.Encoding.PEM))
        _keep(made.key, own)
        signed = _certificate(HOST, own, by=(root, authority))
        made.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return made


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    by: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
) -> x509.Certificate:
    """Return a certificate: of an authority where nobody else signs it, of a server on this machine otherwise."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signer = key if by is None else by[1]
    draft = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if by is not None:
        address = x509.IPAddress(ipaddress.ip_address(HOST))
        draft = draft.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return draft.sign(signer, hashes.SHA256())


def public_key(path: Path) -> bytes:
    """Return the public key of a site of this rehearsal, as Flower wants it; make its private key if there is none."""
    if not path.exists():
        _keep(path, ec.generate_private_key(ec.SECP384R1()))
    private = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} is no key on an elliptic curve")
    return public_key_to_bytes(private.public_key())


def _keep(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
