"""On what a run was computed: the versions that take part in its arithmetic, and the machine's kind."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("medfl", "numpy", "pandas", "scipy", "safetensors")


@cache
def versions(model_kind: str) -> dict[str, str]:
    """Return the version of Python and of each package that the numbers of such a model depend on."""
    found = {"python": platform.python_version()}
    for package in (*_PACKAGES, *(["torch"] if model_kind == "torch" else [])):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def machine() -> str:
    """Return operating system and processor as text; no host name, no user."""
    return f"{platform.system()} {platform.release()} {platform.machine()}"
