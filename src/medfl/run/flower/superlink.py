"""Flower's SuperLink as a process that is kept running: state on disk, TLS, known nodes only, loopback only.

``python -m medfl.run.flower.superlink`` is that process.
"""

from __future__ import annotations

import secrets
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Protocol

from medfl.errors import EngineError
from medfl.run.flower.keeping import Kept, last_line
from medfl.run.flower.orphans import end_with

HOST = "127.0.0.1"
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
"""Flower reports home and looks for updates unless it is told not to."""
LONG = 32
"""Bytes of the secret that alone lets somebody carry out runs."""
PATIENCE = 60.0
"""Seconds that a SuperLink has for its start."""
SECRET = "secret"  # noqa: S105 - the name of its file
"""The file in its folder with what alone lets somebody carry out runs."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the PEM files of TLS are.

    Parameters
    ----------
    root
        The certificate that signed the SuperLink's own.
    certificate, key
        The SuperLink's own certificate, for 127.0.0.1, and its private key.
    """

    root: Path
    certificate: Path
    key: Path


class Link(Protocol):
    """A SuperLink as its user needs it: where it is, what its certificate is checked with, what opens its runs."""

    @property
    def address(self) -> str:
        """Host and port."""
        ...

    @property
    def certificates(self) -> Certificates:
        """What it is recognised by."""
        ...

    @property
    def secret(self) -> bytes:
        """What alone lets somebody carry out runs."""
        ...


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A SuperLink on this machine that another process keeps running.

    Parameters
    ----------
    address
        Host and port.
    certificates
        What it is recognised by.
    secret
        What alone lets somebody carry out runs.
    """

    address: str
    certificates: Certificates
    secret: bytes

    @classmethod
    def at(cls, folder: Path, certificates: Certificates) -> Elsewhere:
        """Return the one whose folder this is.

        Raises
        ------
        EngineError
            If none was started there.
        """
        try:
            port, secret = int((folder / "port").read_text(encoding="ascii")), (folder / SECRET).read_bytes()
        except (OSError, ValueError) as error:
            raise EngineError(
                "there is no SuperLink to go over", where=str(folder), remedy="start the hub: medfl hub start"
            ) from error
        return cls(f"{HOST}:{port}", certificates, secret)


class SuperLink:
    """A SuperLink on this machine, started again whenever it dies.

    Parameters
    ----------
    folder
        Where its database, its log and its secret are; one that was used before is gone on with.
    certificates
        What it proves its identity with.
    port
        Where it listens, on 127.0.0.1 only; a free one where None.
    """

    def __init__(self, folder: Path, certificates: Certificates, *, port: int | None = None) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder, self.certificates = folder, certificates
        self.port = port or free_port()
        self.secret = _secret(folder / SECRET).read_bytes()
        command = [sys.executable, "-m", __name__, str(folder), str(self.port)]
        command += [str(certificates.root), str(certificates.certificate), str(certificates.key)]
        (folder / "port").write_text(str(self.port), encoding="ascii")
        self._process = Kept(command, environment=QUIET | {"FLWR_HOME": str(folder)}, log=folder / "log")

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """The id of its process; another one after it died."""
        return self._process.pid

    @property
    def answers(self) -> bool:
        """Whether it can be connected to now."""
        return _connects(self.port)

    def wait(self, seconds: float = PATIENCE) -> None:
        """Return when it can be connected to.

        Raises
        ------
        EngineError
            If it cannot be after so many seconds.
        """
        until, pause = monotonic() + seconds, Event()
        while not _connects(self.port):
            if monotonic() > until:
                raise EngineError(
                    f"Flower's SuperLink did not start within {seconds:g} s",
                    where=self.address,
                    received=last_line(self.folder / "log"),
                    remedy="see what it says; look for another process on this port",
                )
            pause.wait(0.05)

    def close(self) -> None:
        """End it."""
        self._process.end()

    def __enter__(self) -> SuperLink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _connects(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _secret(path: Path) -> Path:
    """Make the secret that alone lets somebody carry out runs over this SuperLink."""
    # Who was killed while it was made has left none, and an empty secret would be one that everybody knows.
    if not path.exists() or path.stat().st_size != LONG:
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        part.write_bytes(secrets.token_bytes(LONG))
        part.replace(path)
    return path


if __name__ == "__main__":
    # Flower takes a second to import, which whoever only starts this process need not wait for.
    from medfl.run.flower.serving_link import run

    end_with(sys.stdin.buffer)
    run(Path(sys.argv[1]), int(sys.argv[2]), Certificates(*map(Path, sys.argv[3:6])))
