"""A small disk of its own for a folder, so that a test can fill it: where the machine lets one be mounted."""

from __future__ import annotations

import os
import shutil
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


def has_own_disk(folder: Path) -> bool:
    """Say whether a folder is a disk of its own."""
    return folder.is_mount()


@contextmanager
def filled(folder: Path, *, left: int = 0) -> Iterator[None]:
    """Leave so many bytes of room on the disk of a folder, until the end of the block."""
    ballast = folder / f".ballast-{left}"
    # Written piece by piece without a buffer: what does not fit any more must not be written at the file's end.
    with ballast.open("wb", buffering=0) as file:
        while left == 0 or shutil.disk_usage(folder).free > left:
            try:
                file.write(bytes(2**16))
            except OSError:
                break
    try:
        yield
    finally:
        ballast.unlink()


def _does(*command: str) -> bool:
    with suppress(FileNotFoundError):
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - the commands of above
        return done.returncode == 0
    return False
