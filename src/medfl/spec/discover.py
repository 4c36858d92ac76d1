"""Finds the algorithms that are installed.

The entry points of group ``medfl.algorithms`` name packages; every module of such a package is one algorithm. So a new
rule is one new file next to the others, or in a package of one's own, and no list has to be kept. The spec does not
know the room of learning: it knows only what is announced.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType

from medfl.errors import SystemFault
from medfl.spec.algorithm import AlgorithmPart

GROUP = "medfl.algorithms"


@cache
def algorithms() -> tuple[type[AlgorithmPart], ...]:
    """Return every installed algorithm, sorted by its name in a spec.

    Raises
    ------
    SystemFault
        If none is found (the package is not installed, only copied), or two have one name.
    """
    packages = sorted({point.value for point in entry_points(group=GROUP)})
    found: dict[str, type[AlgorithmPart]] = {}
    for part in (part for package in packages for module in _modules(package) for part in _parts(module)):
        if found.setdefault(kind_of(part), part) is not part:
            raise SystemFault(
                f"two installed algorithms are called {kind_of(part)!r}",
                where=f"entry points of group {GROUP!r}",
                received=f"{found[kind_of(part)].__module__} and {part.__module__}",
                remedy="give one of them another kind, or uninstall its package",
            )
    if not found:
        raise SystemFault(
            "no aggregation algorithm is installed",
            where=f"entry points of group {GROUP!r}",
            remedy="install MEDfl as a package: pip install medfl (or pip install -e . in its folder)",
        )
    return tuple(found[kind] for kind in sorted(found))


def kind_of(part: type[AlgorithmPart]) -> str:
    """Return the name an algorithm is asked for by."""
    return str(part.model_fields["kind"].default)


def _modules(package: str) -> list[ModuleType]:
    home = import_module(package)
    return [import_module(f"{package}.{info.name}") for info in pkgutil.iter_modules(home.__path__)]


def _parts(module: ModuleType) -> list[type[AlgorithmPart]]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, AlgorithmPart)
        and value.__module__ == module.__name__
        and value.model_fields["kind"].default is not None
        and isinstance(value.model_fields["kind"].default, str)
    ]
