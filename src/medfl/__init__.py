"""Federated learning that hospitals trust and researchers enjoy: the public names.

All but ``simulate``, which is light, are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Now and not when first used: a module of the same name, imported later, would take the function's place.
from medfl.simulate import Results, simulate

if TYPE_CHECKING:
    from medfl.bundling import bundle, reproduce, verify
    from medfl.errors import MedflError
    from medfl.learn.models.torch import torch_model
    from medfl.spec.reading import read as read_study
    from medfl.spec.study import Study

_HOMES = {
    "bundle": ("medfl.bundling", "bundle"),
    "reproduce": ("medfl.bundling", "reproduce"),
    "verify": ("medfl.bundling", "verify"),
    "MedflError": ("medfl.errors", "MedflError"),
    "Study": ("medfl.spec.study", "Study"),
    "read_study": ("medfl.spec.reading", "read"),
    "torch_model": ("medfl.learn.models.torch", "torch_model"),
}

__all__ = [
    "MedflError",
    "Results",
    "Study",
    "bundle",
    "read_study",
    "reproduce",
    "simulate",
    "torch_model",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'medfl' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    globals()[name] = value = getattr(import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
