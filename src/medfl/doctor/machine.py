"""What a machine lacks: room on its disk, memory, a folder that only its owner reads."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

from medfl.doctor.finding import Finding, blocked, caution, clear

GIGABYTE = 1e9
ROOM = (0.2, 1.0)
"""Gigabytes on disk: below the first nothing can be kept safely, below the second it will not last."""
MEMORY = (0.3, 1.0)
"""Gigabytes of memory that is free: the agent alone needs 0.2, training the rest."""


def disk(folder: Path) -> Finding:
    """Look how much room there is for a folder, whether or not it is there yet."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    free = shutil.disk_usage(there).free / GIGABYTE
    return _amount("disk", free, ROOM, f"free for {folder}", "free some space, or put the folder elsewhere with --home")


def memory(meminfo: Path = Path("/proc/meminfo")) -> Finding:
    """Look how much memory is available; where the system does not say so (macOS), that is said."""
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines() if ":" in line)
        free = float(lines["MemAvailable"].split()[0]) * 1024 / GIGABYTE
    except (OSError, KeyError, ValueError, IndexError):
        return clear("memory", "this system does not say how much is free")
    return _amount("memory", free, MEMORY, "available", "close other programs, or give this machine more")


def privacy(folder: Path) -> Finding:
    """Look whether a folder of keys is for its owner only."""
    if not folder.exists():
        return clear("folder", f"{folder} is not there yet")
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        return blocked(
            "folder", f"others on this machine can look into {folder} (mode {mode:o})", f"chmod 700 {folder}"
        )
    return clear("folder", f"only its owner can look into {folder}")


def _amount(hop: str, free: float, least: tuple[float, float], what: str, remedy: str) -> Finding:
    said = f"{free:.1f} GB {what}"
    if free < least[0]:
        return blocked(hop, said, remedy)
    return caution(hop, said, remedy) if free < least[1] else clear(hop, said)
