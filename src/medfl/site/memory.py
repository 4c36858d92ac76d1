"""What a site keeps between rounds and never sends, such as a control variate.

A round reads what the round before it kept, so that a round asked twice gives the same answer twice.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Protocol

import numpy as np
from safetensors.numpy import load, save

from medfl.errors import WireError
from medfl.learn.algorithm import Memory

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


class Vault(Protocol):
    """Keeps the memory of each run and round."""

    def recall(self, run: str, round: int) -> Memory:
        """Return what was kept after this round; nothing if there was none."""
        ...

    def keep(self, run: str, round: int, memory: Memory) -> None:
        """Keep it, durably, before the reply leaves."""
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
        self._nothing: tuple[str, int] | None = None

    def recall(self, run: str, round: int) -> Memory:
        """Read the file of that round, if there is one; most algorithms keep nothing, and then none is looked for."""
        if (run, round) == self._nothing:
            return {}
        try:
            return load(self._path(run, round).read_bytes())
        except FileNotFoundError:
            return {}

    def keep(self, run: str, round: int, memory: Memory) -> None:
        """Write a file and forget what no request can ask for any more."""
        self._nothing = None if memory else (run, round)
        if not memory:
            return
        path = self._path(run, round)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(save({name: np.asarray(array, order="C") for name, array in memory.items()}))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        self._path(run, round - 2).unlink(missing_ok=True)

    def _path(self, run: str, round: int) -> Path:
        """Return the file of a round; a run's name is the hub's word, and must not lead out of the folder."""
        if not _RUN.fullmatch(run):
            raise WireError("a request names its run in a way that no run is named", received=repr(run[:80]))
        return self._folder / run / f"{round}.safetensors"
