"""What a site keeps between rounds and never sends, such as a control variate.

A round reads what the newest round before it kept, so that a round asked twice gives the same answer twice, and a site
that was not asked for some rounds goes on from where it was.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Protocol

import numpy as np
from safetensors.numpy import load, save

from medfl.errors import RefusedError, WireError
from medfl.learn.algorithm import Memory

FORGOTTEN = "forgotten"
"""A file that says that what was kept after some round is gone."""
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


class Vault(Protocol):
    """Keeps the memory of each run and round."""

    def recall(self, run: str, round: int) -> Memory:
        """Return the newest of what was kept after this round or one before; nothing if there was none."""
        ...

    def keep(self, run: str, round: int, memory: Memory) -> None:
        """Keep it, durably, before the reply leaves."""
        ...

    def newest(self, run: str) -> int:
        """Return the last round after which something was kept; 0 if there was none."""
        ...


class FolderVault:
    """One safetensors file a round; only the last two are needed.

    Parameters
    ----------
    folder
        Made when first needed, readable by its owner only.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._nothing: str | None = None

    def recall(self, run: str, round: int) -> Memory:
        """Read the newest file up to that round, if there is one.

        Most algorithms keep nothing; then none is looked for.

        Raises
        ------
        RefusedError
            If there was one that is forgotten: the round would begin from something else than it did.
        """
        if run == self._nothing:
            return {}
        kept = [number for number in _rounds(self._of(run)) if number <= round]
        if not kept and round > 0 and (self._of(run) / FORGOTTEN).exists():
            raise RefusedError(
                "what the site had kept before this round is forgotten: later rounds have been answered",
                where=f"run {run}, round {round + 1}",
                remedy="the hub has gone back too far, as from an old backup: start a new run",
            )
        return load(_file(self._of(run), max(kept)).read_bytes()) if kept else {}

    def keep(self, run: str, round: int, memory: Memory) -> None:
        """Write a file and forget what no request can ask for any more."""
        if not memory and (run == self._nothing or not self._of(run).exists()):
            self._nothing = run
            return
        self._nothing = None
        folder = self._of(run)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = _file(folder, round)
        draft = path.with_suffix(".draft")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(save({name: np.asarray(array, order="C") for name, array in memory.items()}))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        # This round may be asked again, and starts from the newest before it: what is older has had its day.
        for old in sorted(number for number in _rounds(folder) if number < round)[:-1]:
            (folder / FORGOTTEN).touch(mode=0o600)
            _file(folder, old).unlink(missing_ok=True)

    def newest(self, run: str) -> int:
        """Return the last round after which something was kept; 0 if there was none."""
        return 0 if run == self._nothing else max(_rounds(self._of(run)), default=0)

    def _of(self, run: str) -> Path:
        """Return the folder of a run; its name is the hub's word, and must not lead out of the vault."""
        if not _RUN.fullmatch(run):
            raise WireError("a request names its run in a way that no run is named", received=repr(run[:80]))
        return self._folder / run


def _file(folder: Path, round: int) -> Path:
    return folder / f"{round}.safetensors"


def _rounds(folder: Path) -> list[int]:
    """Return the rounds after which something was kept."""
    return [int(path.stem) for path in folder.glob("*.safetensors")]
