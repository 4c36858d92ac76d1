"""What a site has to spend: its ledger, its secret, and what its owner allows for a data set."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from medfl.errors import StoreError
from medfl.messages import LEDGERS, SECURE, Request
from medfl.privacy.ledger import DataSet, Ledger, Limit, Pin, Reservation, Spend
from medfl.privacy.noise import Keystream, simulated, stream

APART = ("judge", LEDGERS, SECURE)
"""What of a request does not change what is released: how it is read, what the hub remembers of the ledger, masks."""


@dataclass(frozen=True, slots=True)
class Purse:
    """One site's privacy budget.

    Parameters
    ----------
    dataset
        The name that the site gave its data set.
    ledger
        Where it is written down.
    secret
        The key of its noise; None in a simulation, where it follows from the run's seed.
    limit
        What may be spent in all; None for no limit beyond each study's own.
    """

    dataset: str
    ledger: Ledger
    secret: bytes | None = None
    limit: Limit | None = None

    def stream(self, request: Request, *names: str) -> Keystream:
        """Return the noise that belongs to these names.

        With a secret of its own a site adds the run's id: a table that changed meanwhile must not meet the same noise.
        """
        if self.secret is None:
            return stream(simulated(request.seed, request.site), *names)
        return stream(self.secret, request.run, *names)

    def veiled(self, request: Request, content: bytes) -> str:
        """Return a digest that only this site can compute: nobody can try rows against it."""
        key = simulated(request.seed, request.site) if self.secret is None else self.secret
        return hmac.new(key, b"rows\x1f" + content, hashlib.sha256).hexdigest()

    def spend(self, reservation: Reservation, *spends: Spend, request: Request) -> Pin:
        """Write down what is about to be answered.

        Raises
        ------
        RefusedError
            As :meth:`medfl.privacy.ledger.Ledger.spend` does.
        """
        return self.ledger.spend(reservation, *spends, limit=self.limit, pinned=remembered(request))

    def named(self, columns: Sequence[str]) -> DataSet:
        """Return the data set with these columns."""
        return DataSet(self.dataset, hashlib.sha256(json.dumps(sorted(columns)).encode()).hexdigest())


class Allowance(Protocol):
    """What a site's owner allows for its data set in all."""

    @property
    def epsilon(self) -> float:
        """The ε of all studies together."""
        ...

    @property
    def delta(self) -> float:
        """The δ that it is told at."""
        ...


def purse_in(folder: Path, name: str, allowance: Allowance | None = None) -> Purse:
    """Return the purse of a simulated site, kept in a folder beside the sites' vaults."""
    ledger = Ledger(folder / ".ledgers" / name, folder / ".anchors" / f"{name}.json")
    limit = None if allowance is None else Limit(allowance.epsilon, allowance.delta)
    return Purse(name, ledger, limit=limit)


def ledger_purse(folder: Path, dataset: str, allowance: Allowance | None = None) -> Purse:
    """Return the purse of a hospital's data set: one ledger for all of them, and a secret for its noise.

    Parameters
    ----------
    folder
        The site's folder.
    dataset
        The name that the site gave its data set.
    allowance
        What its owner allows for the data set.

    Raises
    ------
    StoreError
        If the secret is damaged.
    """
    limit = None if allowance is None else Limit(allowance.epsilon, allowance.delta)
    return Purse(dataset, hospital_ledger(folder), secret=secret_in(folder / "keys" / "noise"), limit=limit)


def hospital_ledger(folder: Path) -> Ledger:
    """Return the ledger of a hospital, of all its data sets."""
    return Ledger(folder / "ledger", folder / "ledger-anchor.json")


def purses_in(folder: Path) -> tuple[Purse, ...]:
    """Return the purses of the simulated sites that have spent anything, by name."""
    place = folder / ".ledgers"
    names = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
    return tuple(purse_in(folder, name) for name in names)


def secret_in(path: Path) -> bytes:
    """Return a site's secret, drawn and written when it is first asked for, readable by its owner only.

    Raises
    ------
    StoreError
        If what is there is no secret.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        pass
    found = path.read_bytes()
    if len(found) != 32:
        raise StoreError("the site's secret is damaged", where=str(path), remedy="put a sound copy back")
    return found


def remembered(request: Request) -> Pin | None:
    """Return how far the ledger had come when the hub last heard of it."""
    told = request.content.get(LEDGERS, {}).get(request.site)
    return None if told is None else Pin(int(told["lines"]), str(told["head"]))


def digest(request: Request) -> str:
    """Return the digest of all that an answer follows from."""
    content = {key: value for key, value in request.content.items() if key not in APART}
    found = hashlib.sha256(_text([request.study, request.seed, request.task, request.round, content]))
    for name, array in sorted(request.arrays.items()):
        found.update(_text([name, str(array.dtype), list(array.shape)]))
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
