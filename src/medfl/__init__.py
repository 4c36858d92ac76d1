"""Federated learning that hospitals trust and researchers enjoy: the public names.

They are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medfl.errors import MedflError
    from medfl.learn.models.torch import torch_model
    from medfl.simulate import Results, simulate
    from medfl.spec.reading import read as read_study
    from medfl.spec.study import Study

_HOMES = {
    "MedflError": ("medfl.errors", "MedflError"),
    "Results": ("medfl.simulate", "Results"),
    "Study": ("medfl.spec.study", "Study"),
    "read_study": ("medfl.spec.reading", "read"),
    "simulate": ("medfl.simulate", "simulate"),
    "torch_model": ("medfl.learn.models.torch", "torch_model"),
}

__all__ = ["MedflError", "Results", "Study", "read_study", "simulate", "torch_model"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'medfl' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    # Kept under its name at once: "simulate" is also a module, which its import would leave there instead.
    globals()[name] = value = getattr(import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
