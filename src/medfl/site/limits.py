"""What the process that works at a site may take of the hospital's machine.

The bound on memory is RLIMIT_DATA: all that a process may write to and shares with nobody. A request for more fails in
the process itself and at once, as an error that can be told; the operating system need not choose whom to kill.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from medfl.errors import OutOfMemoryError, PlanError

try:
    import resource
except ImportError:  # pragma: no cover - Windows has none: there only what is watched from outside bounds memory.
    resource = None  # type: ignore[assignment]

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
"""Sums in another order would be other sums: the process works with one thread, however many cores it may use."""
NICE = 5
"""How far the hospital's other work goes before it, as ``nice`` counts."""
LEAST = 500 * 10**6
"""Bytes with which a worker can begin at all: PyTorch alone takes some 200 MB."""
USUAL = 0.75
"""Share of the machine's memory that it may use where nobody has said how much."""
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker may take.

    Parameters
    ----------
    memory
        Bytes; no bound where None.
    cores
        How many processors it may be on; all where None.
    """

    memory: int | None = None
    cores: int | None = None

    @classmethod
    def usual(cls, memory: int | None = None, cores: int | None = None) -> Self:
        """Return these limits; for memory, where none is given, most of what the machine has."""
        return cls(memory or _most(), cores)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` returned."""
        return cls(said["memory"], said["cores"])

    def to_json(self) -> dict[str, int | None]:
        """Return it as the first message of a worker's pipe has it."""
        return {"memory": self.memory, "cores": self.cores}

    def take(self) -> None:
        """Bind this process to them, as far as the system knows such bounds; for good."""
        if self.memory is not None and resource is not None:
            most = resource.getrlimit(resource.RLIMIT_DATA)[1]
            bound = self.memory if most == resource.RLIM_INFINITY else min(self.memory, most)
            resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
        with suppress(OSError):
            os.nice(NICE)
        with suppress(OSError):
            # Should the machine run out of memory all the same, this is the process to end: another one takes over.
            Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
        if self.cores is not None and hasattr(os, "sched_setaffinity"):
            with suppress(OSError):
                os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: self.cores])


def out_of_memory(task: str) -> OutOfMemoryError:
    """Return the error of a process that was given no more memory, at a stage of its work."""
    allowed = None if resource is None else resource.getrlimit(resource.RLIMIT_DATA)[0]
    return beyond(None if resource is None or allowed == resource.RLIM_INFINITY else allowed, task)


def beyond(memory: int | None, task: str) -> OutOfMemoryError:
    """Return the error of a site that needs more memory than this at a stage of its work."""
    amount = "this machine could give" if memory is None else f"the {in_words(memory)} that it may use"
    return OutOfMemoryError(
        f"out of memory at the stage {task!r}: the site needed more than {amount}",
        remedy="let it use more (medfl site start --memory), or use fewer rows, smaller batches or a smaller model",
    )


def is_out_of_memory(error: Exception) -> bool:
    """Say whether that is what an error means, also where a library has a word of its own for it."""
    return isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def used(pid: int) -> int | None:
    """Return the bytes that a process uses and shares with nobody; None where the system does not say."""
    try:
        words = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
        return (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def bytes_in(text: str) -> int:
    """Read an amount of memory as people write it, such as 4GB.

    Raises
    ------
    PlanError
        If it is none, or too little to work with.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]I?|)B?", text.strip().upper())
    amount = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    if amount < LEAST:
        raise PlanError(
            "a site cannot work with so much memory" if found else "this is no amount of memory",
            where="--memory",
            received=repr(text[:40]),
            remedy=f"write it as in 4GB or 800MB; at least {in_words(LEAST)}",
        )
    return amount


def in_words(memory: int) -> str:
    """Return an amount of memory for people."""
    return f"{memory / 1e9:.3g} GB" if memory >= 10**9 else f"{memory / 1e6:.0f} MB"


def _most() -> int | None:
    """Return most of what the machine has; None where the system does not say."""
    try:
        return int(USUAL * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return None
