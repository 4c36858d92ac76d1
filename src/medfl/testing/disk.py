"""A small disk of its own for a folder, so that a test can fill it: where the machine lets one be mounted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MEGABYTES = 128


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a disk of 128 MB in memory at a folder; say whether that could be done."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Root, and the right to mount, which a container may lack.
    options = f"size={MEGABYTES}m,mode=700"
    mounted = os.geteuid() == 0 and _does("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    try:
        yield mounted
    finally:
        if mounted:
            _does("umount", "--lazy", str(folder))


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Leave no room on the disk of a folder, until the end of the block."""
    ballast = folder / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2**16))
    try:
        yield
    finally:
        ballast.unlink()


def _does(*command: str) -> bool:
    with suppress(FileNotFoundError):
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - the commands of above
        return done.returncode == 0
    return False
