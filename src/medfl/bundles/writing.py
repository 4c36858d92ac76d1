"""Writes a bundle: gathers what is in it, lists it, signs the list, and lays all of it out in one file."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from medfl.bundles import crate
from medfl.bundles.archive import Piece, media, pack
from medfl.bundles.contents import Contents, contents, listing
from medfl.bundles.signing import Signer, signer_of
from medfl.bundles.words import left_out
from medfl.errors import UserError
from medfl.publish.export import refused
from medfl.store.home import Home

FORMAT, NEWEST = "medfl-bundle", 1
MANIFEST, SIGNATURE = "manifest.json", "signature.json"


@dataclass(frozen=True, slots=True)
class Written:
    """A bundle that was written.

    Parameters
    ----------
    path
        Where it is.
    execution, digest
        The execution in it, and its study's digest.
    files
        How many files it holds.
    signer
        Fingerprint of the key that signed it, 64 hex digits.
    authority
        Fingerprint of the hub's authority that vouches for the key; empty where there is none.
    """

    path: Path
    execution: str
    digest: str
    files: int
    signer: str
    authority: str = ""


def write(home: Home, execution: str, target: Path) -> Written:
    """Write the bundle of an execution into a new file: the same bytes each time, by the same version and key.

    Raises
    ------
    UserError
        If there is such a file already, or it cannot be where it is asked for.
    NotFoundError
        If there is no such execution, or a model of it is gone.
    BusyError
        If it is being worked on.
    StoreError
        If something cannot be read or written.
    """
    if target.exists():
        raise UserError(
            "there is such a file already", where=str(target), remedy="name another with --out, or remove it"
        )
    signer, found = signer_of(home.folder), contents(home, execution)
    pieces = signed(found, signer)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}.draft")
    try:
        with draft.open("xb") as out:
            pack(pieces, out)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(target)
    except OSError as error:
        raise refused(error, target) from error
    finally:
        draft.unlink(missing_ok=True)
    return _written(target, found, len(pieces), signer)


def write_to(home: Home, execution: str, out: IO[bytes]) -> None:
    """Write the bundle of an execution, as :func:`write` does, into a file that is open."""
    pack(signed(contents(home, execution), signer_of(home.folder)), out)


def signed(found: Contents, signer: Signer) -> tuple[Piece, ...]:
    """Return all files of a bundle: its contents, their description, the list of them, and its signature."""
    files = listing(found.pieces)
    told = {name: {**line, "media": media(name)} for name, line in files.items()}
    described = Piece.of(
        crate.NAME, "Describes the files for machines (RO-Crate 1.1)", crate.crate(found.view, told, made_by=_version())
    )
    manifest = (
        json.dumps(_manifest(found, files | listing([described])), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    ).encode()
    return (
        *found.pieces,
        described,
        Piece.of(MANIFEST, "Every file with its SHA-256", manifest),
        Piece.of(SIGNATURE, "The signature of manifest.json", signer.signature(manifest)),
    )


def _manifest(found: Contents, files: dict[str, Any]) -> dict[str, Any]:
    view = found.view
    return {
        "format": FORMAT,
        "version": NEWEST,
        "medfl": _version(),
        "study": view.study,
        "execution": view.execution,
        "digest": view.digest,
        "status": {run.run: run.status for run in view.every},
        "journal": {"events": found.events, "head": found.head},
        "left_out": list(left_out(view)),
        "files": files,
    }


def _written(target: Path, found: Contents, files: int, signer: Signer) -> Written:
    vouched = signer.vouched.fingerprint if signer.vouched else ""
    return Written(target, found.view.execution, found.view.digest, files, signer.fingerprint, vouched)


def _version() -> str:
    return version("medfl")
