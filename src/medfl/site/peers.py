"""The other hospitals of a consortium that has no enrolment of MEDfl's: whose key is whose, as each site keeps it.

Nobody is trusted at first sight: a key that a hub brings counts only if this file has the identity that signed it, and
the file is written by the site's own people, who have compared fingerprints with the others.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from medfl.errors import PlanError
from medfl.privacy.secure.identity import SECRET
from medfl.spec.checks import SITE

FILE = "peers.json"
_CARD = re.compile(rf"([^:\s]+):([0-9a-f]{{{2 * SECRET}}})")


def card(site: str, identity: bytes) -> str:
    """Return a site's name and public identity in one word, to be given to the others."""
    return f"{site}:{identity.hex()}"


def fingerprint(site: str, identity: bytes) -> str:
    """Return eight groups of five digits to compare by telephone; they stand for the name and the key."""
    found = hashlib.sha256(b"medfl peer\x1f" + site.encode() + b"\x1f" + identity).digest()
    return " ".join(f"{int.from_bytes(found[at : at + 4]) % 100_000:05d}" for at in range(0, SECRET, 4))


def read(text: str) -> tuple[str, bytes]:
    """Return the name and the identity that a card says.

    Raises
    ------
    PlanError
        If it is no card.
    """
    found = _CARD.fullmatch(text.strip())
    if found is None or not SITE.fullmatch(found[1]):
        raise PlanError(
            "this is not the card of a site",
            received=repr(text[:100]),
            remedy="give what the other hospital's medfl flower site says after Card:, as NAME:KEY",
        )
    return found[1], bytes.fromhex(found[2])


def known(folder: Path) -> dict[str, bytes] | None:
    """Return the identities that a site's home has, by site; None where nobody has been introduced yet.

    Raises
    ------
    PlanError
        If the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return dict(read(f"{name}:{key}") for name, key in said.items())
    except (OSError, ValueError, AttributeError, PlanError) as error:
        raise PlanError(
            "the file of the other hospitals' keys cannot be read",
            where=str(path),
            received=type(error).__name__,
            remedy="remove it and add each card anew: medfl flower peer CARD --home HOME",
        ) from error


def keep(folder: Path, site: str, identity: bytes, *, replace: bool = False) -> Mapping[str, bytes]:
    """Keep another hospital's identity and return all that are known.

    Raises
    ------
    PlanError
        If it has another identity already, and it was not said that the new one takes its place.
    """
    peers = known(folder) or {}
    if not replace and peers.get(site, identity) != identity:
        raise PlanError(
            "this site is known by another key",
            where=f"site {site}",
            received=f"fingerprint {fingerprint(site, identity)}",
            remedy="ask that hospital by telephone whether it has a new key; if so, add --replace",
        )
    peers[site] = identity
    path = folder / FILE
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({name: key.hex() for name, key in sorted(peers.items())}, indent=2), encoding="utf-8")
    draft.replace(path)
    return peers
