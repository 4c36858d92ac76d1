"""On what a run was computed: the versions that take part in its arithmetic, and the machine's kind."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("medfl", "numpy", "pandas", "scipy", "safetensors", "torch")


@cache
def versions() -> dict[str, str]:
    """Return the version of Python and of each installed package that the numbers depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def machine() -> str:
    """Return operating system and processor as text; no host name, no user."""
    return f"{platform.system()} {platform.release()} {platform.machine()}"
