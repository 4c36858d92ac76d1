"""Finds the algorithms and models that are installed.

The entry points of groups ``medfl.algorithms`` and ``medfl.models`` name packages; every module of such a package is
looked at for classes of these. So a new rule is one new file next to the others, or in a package of one's own, and no
list has to be kept. The spec does not know the room of learning: it knows only what is announced.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import TypeVar

from medfl.errors import SystemFault
from medfl.spec.algorithm import AlgorithmPart
from medfl.spec.model import BUILT_IN, ModelPart

GROUP = "medfl.algorithms"
MODELS = "medfl.models"

P = TypeVar("P", AlgorithmPart, ModelPart)


@cache
def algorithms() -> tuple[type[AlgorithmPart], ...]:
    """Return every installed algorithm, sorted by its name in a spec.

    Raises
    ------
    SystemFault
        If none is found (the package is not installed, only copied), or two have one name.
    """
    found = _named(_parts(GROUP, AlgorithmPart), GROUP, "algorithms")
    if not found:
        raise SystemFault(
            "no aggregation algorithm is installed",
            where=f"entry points of group {GROUP!r}",
            remedy="install MEDfl as a package: pip install medfl (or pip install -e . in its folder)",
        )
    return found


@cache
def models() -> tuple[type[ModelPart], ...]:
    """Return every model that another package brings, sorted by its name in a spec.

    An entry point of the group that names a function, ``package:function``, is a PyTorch module's, and none of these.

    Raises
    ------
    SystemFault
        If two have one name, or one has that of a built-in model.
    """
    found = _named(_parts(MODELS, ModelPart), MODELS, "models")
    for part in found:
        if kind_of(part) in BUILT_IN:
            raise _twice(kind_of(part), "models", group=MODELS, where=f"MEDfl itself and {part.__module__}")
    return found


def titled(kind: str) -> str:
    """Return what a model of another package is, as it stands in a sentence; its kind where it is not installed."""
    title = next((part.title for part in models() if kind_of(part) == kind), "")
    return title or f"a model of kind {kind}"


def kind_of(part: type[AlgorithmPart] | type[ModelPart]) -> str:
    """Return the name an algorithm or model is asked for by."""
    return str(part.model_fields["kind"].default)


def _named(parts: Iterable[type[P]], group: str, what: str) -> tuple[type[P], ...]:
    """Return the parts by their names, each of which stands for one only."""
    found: dict[str, type[P]] = {}
    for part in parts:
        if (other := found.setdefault(kind_of(part), part)) is not part:
            raise _twice(kind_of(part), what, group=group, where=f"{other.__module__} and {part.__module__}")
    return tuple(found[kind] for kind in sorted(found))


def _twice(kind: str, what: str, *, group: str, where: str) -> SystemFault:
    return SystemFault(
        f"two installed {what} are called {kind!r}",
        where=f"entry points of group {group!r}",
        received=where,
        remedy="give one of them another kind, or uninstall its package",
    )


def _parts(group: str, base: type[P]) -> list[type[P]]:
    """Return the classes of this base in every module of the packages that are announced."""
    packages = sorted({point.value for point in entry_points(group=group) if ":" not in point.value})
    return [
        value
        for package in packages
        for module in _modules(package)
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == module.__name__
        and isinstance(value.model_fields["kind"].default, str)
    ]


def _modules(package: str) -> list[ModuleType]:
    home = import_module(package)
    return [import_module(f"{package}.{info.name}") for info in pkgutil.iter_modules(home.__path__)]
