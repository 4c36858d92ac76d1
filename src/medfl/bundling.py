"""Bundles from Python: a study in one signed file, verified, and run again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medfl.bundles.checking import Verified
    from medfl.bundles.writing import Written
    from medfl.reproducing import Reproduced
    from medfl.simulate import Results
    from medfl.site.sources import Tables


def bundle(results: Results, path: str | Path) -> Written:
    """Write one signed file with everything of an execution but its patients' data.

    Parameters
    ----------
    results
        What :func:`medfl.simulate` returned.
    path
        The file; a new one.

    Raises
    ------
    MedflError
        What is wrong, where, and what to do.
    """
    from medfl.bundles.writing import write

    return write(results.home, results.execution, Path(path))


def verify(path: str | Path, *, signer: str | Path | None = None) -> Verified:
    """Look whether a bundle is what it says it is; ``verify(…).sound`` says it in a word.

    Parameters
    ----------
    path
        The bundle.
    signer
        Who is to have signed it: the fingerprint that :func:`bundle` gave, or a file with it, with the public key, or
        with the certificate of the hub's authority.

    Raises
    ------
    MedflError
        If there is no such file, or it was written by a newer version, or no signer is named so.
    """
    from medfl.bundles.checking import verify as verified
    from medfl.bundles.signing import trusted

    return verified(Path(path), signer=None if signer is None else trusted(str(signer)))


def reproduce(
    path: str | Path,
    *,
    home: str | Path | None = None,
    data: str | Path | None = None,
    tables: Tables | None = None,
) -> Reproduced:
    """Carry out a bundled simulation again and compare; ``reproduce(…).same`` says it in a word.

    Parameters
    ----------
    path
        The bundle.
    home
        Folder of the store that keeps what comes out; thrown away where None.
    data
        Folder that the study's relative paths start from; the working directory where None.
    tables
        As for :func:`medfl.simulate`, where the study was given data frames.

    Raises
    ------
    MedflError
        If the bundle is not what it says it is, or the study cannot be carried out here.
    """
    from medfl.reproducing import reproduce as reproduced

    return reproduced(Path(path), home=_path(home), data=_path(data), tables=tables)


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)
