"""The hub's folder: its authority, its certificate, its register of sites, its runs."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from medfl.enrolment import TRANSPORT, Invitation, Signed, certificate_digest, json_of
from medfl.errors import EnrolmentError, StoreError, WireError
from medfl.hub.authority import Authority, certificate_at, hosts_of, own_is_old, pem_of, take_over
from medfl.hub.behind import proxy_of
from medfl.hub.deadline import deadline_of
from medfl.hub.queue import Queue
from medfl.hub.register import Record, Register
from medfl.hub.told import Told
from medfl.hub.vpn import Vpn
from medfl.private import held, make_private, require_private, write_private
from medfl.tunnel import is_host

PORT = 8443
"""Where a hub answers unless told otherwise."""


@dataclass(frozen=True, slots=True)
class About:
    """What a hub is.

    Parameters
    ----------
    name
        What people call it.
    host, port
        Where sites reach it.
    own
        Whether its certificate for TLS is of its own making; else somebody brought it.
    """

    name: str
    host: str
    port: int
    own: bool = True


@dataclass(frozen=True, slots=True)
class Brought:
    """A certificate for TLS that somebody brings, instead of one of the hub's own making.

    Parameters
    ----------
    certificate, key
        PEM files.
    """

    certificate: Path
    key: Path


class HubPlace:
    """A hub's folder.

    Parameters
    ----------
    folder
        Where it is; else what the environment's MEDFL_HUB_HOME says, else ``~/.medfl-hub``.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or Path(os.environ.get("MEDFL_HUB_HOME") or "~/.medfl-hub")).expanduser().absolute()

    def make(self, about: About, *, brought: Brought | None = None) -> str:
        """Make a hub here, and return the token of its first administrator.

        Raises
        ------
        EnrolmentError
            If there is one already, or the host or a certificate cannot be used.
        """
        self._require_free()
        require_host(about.host)
        authority = Authority.make(about.name)
        authority.keep(self._keys)
        if brought is None:
            authority.serve([about.host], self._tls)
            trusted = pem_of(authority.certificate).decode()
        else:
            trusted = take_over(brought.certificate, brought.key, hosts=[about.host], folder=self._tls)
        self._trust(authority, trusted)
        token = secrets.token_urlsafe(32)
        write_private(self.folder / "administrators.json", _text({"first": _digest(token)}))
        Register(self.folder / "sites.db").make(authority, about.name)
        # Last, since by it a hub is known: whoever is killed before that starts anew.
        write_private(self.folder / "hub.json", _text(asdict(about)))
        return token

    @cached_property
    def about(self) -> About:
        """What the hub is.

        Raises
        ------
        EnrolmentError
            If there is none here, or others can read its folder.
        StoreError
            If its file is damaged.
        """
        path = self.folder / "hub.json"
        if not path.is_file():
            raise EnrolmentError(
                "there is no hub here",
                where=str(self.folder),
                remedy="make one: medfl hub init --name NAME --host HOST, or say where it is with --home",
            )
        require_private(self.folder)
        try:
            said = json_of(path.read_bytes())
            return About(str(said["name"]), str(said["host"]), int(said["port"]), bool(said["own"]))
        except (WireError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise StoreError(
                "what the hub knows of itself cannot be read",
                where=str(path),
                received=type(error).__name__,
                remedy="put a copy of the hub's folder back",
            ) from error

    @property
    def authority(self) -> Authority:
        """Its authority, with the private key: needed to approve and to revoke, not to serve."""
        return Authority.at(self._keys)

    @property
    def register(self) -> Register:
        """Its sites."""
        self.about  # noqa: B018 - without a hub, it is said that there is none
        return Register(self.folder / "sites.db")

    def invitation(self, site: str, secret: bytes, expires: int) -> Invitation:
        """Return the invitation that leads a site to this hub."""
        digest = certificate_digest(certificate_at(self.authority_file))
        return Invitation(self.about.host, self.about.port, site, digest, secret, expires)

    @property
    def certificate(self) -> Path:
        """Its certificate for TLS, with those that lead to a public root where it has some."""
        return self._tls / "hub.crt"

    @property
    def key(self) -> Path:
        """The private key of that."""
        return self._tls / "hub.pem"

    @property
    def authority_file(self) -> Path:
        """The authority's certificate."""
        return self._keys / "authority.crt"

    @property
    def trust(self) -> Signed:
        """The certificate that sites trust on the network, signed by the authority."""
        return Signed.from_json(json_of((self._tls / "trust.json").read_bytes()))

    @property
    def vpn(self) -> Vpn:
        """Its VPN, if it has one."""
        self.about  # noqa: B018 - without a hub, it is said that there is none
        return Vpn(self.folder / "vpn")

    @property
    def hosts(self) -> list[str]:
        """By what sites reach it: its host, and its address in the VPN."""
        offer = self.vpn.offer
        return [self.about.host] if offer is None else list(dict.fromkeys([self.about.host, str(offer.address)]))

    @property
    def queue(self) -> Queue:
        """What it has taken on and not finished."""
        return Queue(self.folder / "queue")

    @property
    def deadline(self) -> float:
        """Seconds that its sites have for one answer."""
        return deadline_of(self.folder)

    @property
    def behind(self) -> str:
        """Address of the web server that stands before it, whose word of others' addresses counts; empty for none."""
        return proxy_of(self.folder)

    @property
    def superlink(self) -> Path:
        """The folder of its SuperLink."""
        return self.folder / "superlink"

    @property
    def loopback(self) -> tuple[Path, Path]:
        """Certificate and key that the SuperLink shows to the hub's own processes; nobody else reaches it."""
        return self.superlink / "hub.crt", self.superlink / "hub.pem"

    def running(self) -> AbstractContextManager[None]:
        """Return what holds the hub while it runs: a second process must not serve it.

        Raises
        ------
        BusyError
            If one does.
        """
        self.about  # noqa: B018 - without a hub, it is said that there is none
        return held(self.folder / "hub.lock", what="this hub")

    @property
    def log(self) -> Path:
        """Where it writes down what it did and whom it refused."""
        return self.folder / "hub.log"

    def renew(self) -> None:
        """Make certificates of the hub's own anew in their last year; sites trust the authority, and notice nothing."""
        require_private(self.key)
        if self.about.own and (own_is_old(self.certificate) or set(self.hosts[1:]) - self._shown):
            self.authority.serve(self.hosts, self._tls)
        if not self.loopback[0].exists() or own_is_old(self.loopback[0]):
            self.authority.serve(["127.0.0.1"], self.superlink)

    def replace(self, brought: Brought) -> None:
        """Take another certificate for TLS that somebody brings, as after its renewal.

        Raises
        ------
        EnrolmentError
            If it cannot be used.
        """
        self._trust(self.authority, take_over(brought.certificate, brought.key, hosts=self.hosts, folder=self._tls))
        write_private(self.folder / "hub.json", _text(asdict(self.about) | {"own": False}))
        self.__dict__.pop("about")

    def require_shown(self, host: str) -> None:
        """Refuse an address that the certificate that somebody brought is not for.

        Raises
        ------
        EnrolmentError
            If it is not.
        """
        if not self.about.own and host not in self._shown:
            raise EnrolmentError(
                f"the certificate that was brought is not for {host}",
                where=str(self.certificate),
                received=", ".join(sorted(self._shown)) or "no name of a host",
                remedy=f"bring one that names the host and {host}: medfl hub certificate; or make a hub with a "
                "certificate of its own",
            )

    def told(self) -> dict[str, Told]:
        """Return what each enrolled site has told of itself, by name."""
        enrolled = [record.name for record in self.register.sites() if record.status == "approved"]
        return {name: Told.at(self.folder, name) for name in enrolled}

    def revoke(self, site: str) -> Record:
        """Put a site out of the register, and out of the configuration of the VPN where there is one."""
        record = self.register.revoke(site, self.authority)
        if self.vpn.offer is not None:
            self.vpn.write(self.register.sites())
        return record

    def is_administrator(self, token: str) -> bool:
        """Say whether a token is an administrator's."""
        known = json_of((self.folder / "administrators.json").read_bytes())
        return any(secrets.compare_digest(_digest(token), str(one)) for one in known.values())

    @property
    def _shown(self) -> set[str]:
        """Whom its certificate is for."""
        return set(hosts_of(certificate_at(self.certificate)))

    @property
    def _keys(self) -> Path:
        return self.folder / "authority"

    @property
    def _tls(self) -> Path:
        return self.folder / "tls"

    def _trust(self, authority: Authority, trusted: str) -> None:
        signed = authority.signed(trusted, purpose=TRANSPORT)
        write_private(self._tls / "trust.json", _text(signed.to_json()))

    def _require_free(self) -> None:
        if (self.folder / "hub.json").exists():
            raise EnrolmentError(
                "there is a hub here already",
                where=str(self.folder),
                received=f"the hub {self.about.name!r}",
                remedy="start it: medfl hub start; or make another one elsewhere with --home",
            )
        make_private(self.folder)
        if not any(self.folder.iterdir()):
            self.folder.chmod(0o700)
        require_private(self.folder)


def require_host(host: str) -> None:
    """Refuse what is neither a name nor an address of a machine.

    Raises
    ------
    EnrolmentError
        If it is none.
    """
    if not is_host(host):
        raise EnrolmentError(
            "this is no name of a machine",
            where="--host",
            received=repr(host[:80]),
            remedy="give the name by which hospitals reach the hub, as in hub.example.org, without https://",
        )


def _text(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
